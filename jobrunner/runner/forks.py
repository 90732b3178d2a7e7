"""Keeps a process that user code forks from acting as the process that it is a copy of.

A function may fork without executing another program: `os.fork`, `multiprocessing`, code that
makes itself a daemon. The copy has our sockets, pipes, signal handlers and event loop, and would go
on behind the function as a second host or worker. Two things prevent that:

- `InThisProcess` surrounds every call of user code: a child that comes back from it, however that
  is, ends there as a program would, by its exit code.
- `ForkGuard` is told of each fork. In the child our descriptors lead nowhere, signals do what they
  do by default, and who goes back to the event loop of the parent ends, too.

A child that `multiprocessing` starts, or that executes a program, never comes back.
"""

import dis
import inspect
import os
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Iterable
from contextlib import suppress
from types import FrameType, TracebackType
from typing import NoReturn

from jobrunner import log
from jobrunner.log import EventLog

FAILED = 1
LAST_WORDS_S = 1.0  # for what an ending child has printed
# Some tools send these to whatever runs, for their logs to be reopened, say. Nothing is meant.
STRAY = (signal.SIGUSR1, signal.SIGUSR2)
# Of which supervisor or workers have handlers.
HANDLED = frozenset({signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT, *STRAY})
EXECUTOR = "concurrent.futures.thread"  # its threads wait for more to do, for ever in a child
AWAITED = (
    "jobrunner: a child that was forked in an asynchronous function has ended: it waited for "
    "something in the event loop, which belongs to its parent\n"
)


def tell_ignored(number: signal.Signals) -> None:
    """Log a signal that by default would end the process, a loss for each job that runs in it."""
    EventLog().warning("ignored a signal", pid=os.getpid(), signal=number.name)


class InThisProcess:
    """`with InThisProcess(): value = function()`: a child forked within does not get out."""

    __slots__ = ("_pid",)

    def __enter__(self) -> None:
        self._pid = os.getpid()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        if os.getpid() != self._pid:
            end_child(error)


def end_child(error: BaseException | None = None) -> NoReturn:
    """End this forked process as a program that returned, or raised `error`.

    Without handlers of `atexit`, threads and `finally` blocks: those are the parent's.
    """
    code = FAILED
    with suppress(BaseException):
        code = _exit_code(error)
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
        log.flush(LAST_WORDS_S)  # a worker's streams write in a thread
    os._exit(code)


def _exit_code(error: BaseException | None) -> int:
    if error is None:
        return 0
    if not isinstance(error, SystemExit):
        traceback.print_exception(error)
        return FAILED
    if error.code is None or isinstance(error.code, int):
        return (error.code or 0) & 0xFF
    sys.stderr.write(f"{error.code}\n")
    return FAILED


class ForkGuard:
    """What happens at each fork of this process, from `install` to its end."""

    def __init__(
        self,
        descriptors: Callable[[], Iterable[int]],
        *,
        before: Callable[[], None] = lambda: None,
        in_child: Callable[[], None] = lambda: None,
        loop_frame: FrameType | None = None,
    ) -> None:
        """`descriptors` are those of this process that no child may use.

        `before` is called before a fork, `in_child` after it in the child. `loop_frame` is the one
        that runs the event loop, if user code runs in that; see `frame_of_loop`.
        """
        self._descriptors = descriptors
        self._before = before
        self._in_child = in_child
        self._loop_frame = loop_frame
        self._blocked = threading.local()

    def install(self) -> None:
        """From now on; it cannot be undone."""
        os.register_at_fork(
            before=self._begin, after_in_parent=self._go_on, after_in_child=self._be_a_stranger
        )

    def _begin(self) -> None:
        # A signal in the first moment of the child would reach the parent through a socket that
        # they share: the one by which the handlers of signals wake the event loop.
        self._blocked.mask = signal.pthread_sigmask(signal.SIG_BLOCK, HANDLED)
        self._before()

    def _go_on(self) -> None:
        signal.pthread_sigmask(signal.SIG_SETMASK, self._blocked.mask)

    def _be_a_stranger(self) -> None:
        try:
            _lead_nowhere(self._descriptors())
            _forget_handlers()
            self._in_child()
            self._stay_out_of_loops()
        finally:
            self._go_on()

    def _stay_out_of_loops(self) -> None:
        """End the child when the code that forked gives control back to whoever called it."""
        frame: FrameType | None = sys._getframe()
        while frame is not None and not self._is_loop(frame):
            frame = frame.f_back
        if frame is None:
            return
        sys.setprofile(_ender(frame))
        if (multiprocessing := sys.modules.get("multiprocessing.util")) is not None:
            # A child of `multiprocessing` never returns, so it need not pay for the watch.
            multiprocessing.register_after_fork(self, lambda _: sys.setprofile(None))

    def _is_loop(self, frame: FrameType) -> bool:
        return frame is self._loop_frame or frame.f_globals.get("__name__") == EXECUTOR


def frame_of_loop() -> FrameType | None:
    """The frame that runs the event loop; to be called in a coroutine that it runs."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None and frame.f_code.co_flags & inspect.CO_COROUTINE:
        frame = frame.f_back
    return frame


def _lead_nowhere(descriptors: Iterable[int]) -> None:
    """Not closed: their numbers stay taken, so that objects which have them do no harm."""
    nowhere = os.open(os.devnull, os.O_RDWR)
    for descriptor in descriptors:
        with suppress(OSError):
            os.dup2(nowhere, descriptor, inheritable=False)
    os.close(nowhere)


def _forget_handlers() -> None:
    signal.set_wakeup_fd(-1)
    for number in HANDLED:
        if callable(signal.getsignal(number)):
            by_default = signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL
            signal.signal(number, by_default)


def _ender(loop: FrameType) -> Callable[[FrameType, str, object], None]:
    """A profiler that ends the process as soon as something returns to `loop`, or is called by it.

    Only so is every way covered: other tasks, callbacks, and functions that wait.
    """

    def watch(frame: FrameType, event: str, _arg: object) -> None:
        if frame.f_back is not loop:
            return
        if event == "return":
            _end_by(dis.opname[frame.f_code.co_code[frame.f_lasti]])
        elif event == "call":
            end_child()

    return watch


def _end_by(instruction: str) -> NoReturn:
    """End by what the outermost function did last."""
    if instruction.startswith("RETURN"):
        end_child()
    if instruction.startswith("YIELD"):
        with suppress(OSError):
            os.write(2, AWAITED.encode())
    os._exit(FAILED)
