"""A function host: `python -m jobrunner.runner.hostchild SOCKET TOKENS PARENT FOLDER BYTES`.

Performs synchronous functions for one worker, one after the other, so that a timeout can end a
function that no exception reaches, and a crash costs one job. Ends with the worker.
"""

import asyncio
import ctypes
import faulthandler
import fcntl
import importlib
import logging
import os
import signal
import socket
import sys
import termios
import threading
import time
from collections import deque
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from jobrunner.clock import from_ms
from jobrunner.context import Context
from jobrunner.errors import InvalidArguments
from jobrunner.model import JobError, Reason
from jobrunner.runner.calling import BadResultValue, Callee, encode_result, load_callee
from jobrunner.runner.descriptors import keep_descriptors
from jobrunner.runner.forks import ForkGuard, InThisProcess
from jobrunner.runner.here import enter_anew
from jobrunner.runner.hostwire import (
    Call,
    End,
    FrameReader,
    Go,
    Loaded,
    Progress,
    Raised,
    Ready,
    Reply,
    Request,
    Returned,
    Withheld,
    decode_request,
    frame,
)
from jobrunner.runner.masking import Masker
from jobrunner.runner.prctl import die_with_parent
from jobrunner.runner.tokens import TokenTaker
from jobrunner.runner.tracebacks import exception_error, exception_names
from jobrunner.runner.withheld import keep

READ_BYTES = 64 << 10
LOG_FORMAT = "%(levelname)s %(name)s: %(message)s"
STOPPED_EXIT = 128 + signal.SIGTERM


class Stopped(BaseException):
    """TERM has come during a call: `finally` blocks run, `except Exception` does not hold it."""


@dataclass(frozen=True, slots=True)
class _Failure:
    """Why a call has no result."""

    error: JobError
    reason: Reason = Reason.ERROR
    exceptions: tuple[str, ...] = ()


class FunctionHost:
    """Serves calls from the worker's socket."""

    def __init__(
        self, worker: socket.socket, tokens: TokenTaker, folder: str, most_result: int
    ) -> None:
        """`most_result`: bytes of a result."""
        self._worker = worker
        self._most_result = most_result
        self._tokens = tokens
        self._folder = folder
        self._frames = FrameReader()
        self._received: deque[Call] = deque()
        self._is_held = False  # until the worker has read the output of the last call
        self._is_calling = False
        self._outputs = [os.dup(stream) for stream in (1, 2)]  # whatever functions do to theirs
        self._callees: dict[str, Callee] = {}
        self._sending = threading.Lock()  # progress may come from the function's threads
        self._flush_c = ctypes.CDLL(None).fflush
        self._injector: Any = None
        self._loop = asyncio.Runner()  # one for all calls: dependencies may keep connections

    def serve(self) -> None:
        """Perform calls until the worker closes the socket."""
        self._send(Ready())
        while (call := self._next_call()) is not None:
            if self._tokens.take(call.number):
                end = self._perform(call)
                self._is_held = end.has_output
                self._send(end)  # before the next token is taken: the worker relies on it

    def _next_call(self) -> Call | None:
        while self._is_held or not self._received:
            data = self._worker.recv(READ_BYTES)
            if not data:
                return None
            for request in map(decode_request, self._frames.feed(data)):
                self._take(request)
        return self._received.popleft()

    def _take(self, request: Request) -> None:
        if isinstance(request, Go):
            self._is_held = False
        elif isinstance(request, Withheld):
            keep(request.variables)
        else:
            self._received.append(request)

    def _perform(self, call: Call) -> End:
        if signal.getsignal(signal.SIGTERM) != self._on_term:  # a function may have changed it
            signal.signal(signal.SIGTERM, self._on_term)
        enter_anew(self._folder)
        began = time.monotonic()
        try:
            self._is_calling = True
            end = self._attempt(call)
            self._is_calling = False
        except Stopped:
            self._flush()
            os._exit(STOPPED_EXIT)  # at once: threads of the function have no say in it
        self._flush()  # before the reply: the worker reads the output's end when it comes
        seconds, has_output = time.monotonic() - began, self._has_output()
        if isinstance(end, _Failure):
            return Raised(end.error, end.reason, end.exceptions, seconds, has_output)
        return Returned(end, seconds, has_output)

    def _attempt(self, call: Call) -> "bytes | _Failure | None":
        """The result in JSON, or why there is none. Raises Stopped."""
        try:
            with InThisProcess():
                return encode_result(self._call(call), self._most_result)
        except Stopped:
            raise
        except InvalidArguments as error:
            wrong = JobError(type="InvalidArguments", message=str(error))
            return _Failure(wrong, Reason.INVALID_ARGUMENTS)
        except BadResultValue as error:
            return _Failure(JobError(type="result", message=str(error)))
        except BaseException as error:  # SystemExit, too, is the failure of this job only
            masker = Masker(call.secrets)
            return _Failure(exception_error(error, masker), exceptions=exception_names(error))

    def _on_term(self, _number: int, _frame: object) -> None:
        if self._is_calling:
            raise Stopped
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        signal.raise_signal(signal.SIGTERM)

    def _has_output(self) -> bool:
        """Whether the worker has not yet read all that was printed."""
        return any(_unread_bytes(stream) for stream in self._outputs)

    def _call(self, call: Call) -> Any:
        callee = self._callee(call.target)
        if self._needs_taskiq(callee):
            context = self._context(call)
            invoked = self._taskiq().invoke(callee, call.arguments, context, call.labels)
            return self._loop.run(invoked)
        keywords = callee.keywords(call.arguments, lambda: self._context(call))
        value = callee.call(keywords)
        return self._loop.run(value) if asyncio.iscoroutine(value) else value

    def _callee(self, target: str) -> Callee:
        callee = self._callees.get(target)
        if callee is None:
            callee = self._callees[target] = load_callee(target)
            self._send(Loaded())
        return callee

    def _needs_taskiq(self, callee: Callee) -> bool:
        # A module that adds middlewares has loaded the broker to do so.
        has_broker = "jobrunner.broker" in sys.modules
        return callee.uses_taskiq or (has_broker and self._taskiq().has_middlewares)

    def _taskiq(self) -> Any:
        # By name and only now: the broker is a higher layer, and few functions need it.
        if self._injector is None:
            module = importlib.import_module("jobrunner.broker")
            broker = module.default_broker()
            broker.is_worker_process = True  # so that the handlers of a worker's start run
            self._loop.run(broker.startup())
            self._injector = module.Injector(broker)
        return self._injector

    def _context(self, call: Call) -> Context:
        return Context(
            job_id=call.job_id,
            task=call.task,
            attempt=call.attempt,
            fence=call.fence,
            queue=call.queue,
            fire_time=None if call.fire_time is None else from_ms(call.fire_time),
            report=lambda value: self._send(Progress(value)),
        )

    def descriptors(self) -> Iterator[int]:
        """Those by which this host is known to its worker."""
        yield from (self._worker.fileno(), self._tokens.read_end, *self._outputs)

    def flush(self) -> None:
        """Write what was printed, before a fork: else both processes write it."""
        for stream in (sys.stdout, sys.stderr):
            with suppress(AttributeError, OSError, ValueError):  # closed or replaced by a function
                stream.flush()
        self._flush_c(None)

    def _flush(self) -> None:
        for number, name in enumerate(("stdout", "stderr"), start=1):
            try:
                getattr(sys, name).flush()
            except (AttributeError, OSError, ValueError):
                # The function has closed or replaced it: the next one gets a stream that works.
                os.dup2(self._outputs[number - 1], number)
                setattr(
                    sys, name, os.fdopen(number, "w", buffering=1, encoding="utf-8", closefd=False)
                )
        self._flush_c(None)  # what C code has printed

    def _send(self, message: Reply) -> None:
        with self._sending:
            self._worker.sendall(frame(message))


def _unread_bytes(pipe: int) -> int:
    answer = fcntl.ioctl(pipe, termios.FIONREAD, b"\0" * 4)
    return int.from_bytes(answer, sys.byteorder)


def main() -> None:
    """Serve the worker that has started this process."""
    fd, tokens, parent, folder, most_result = sys.argv[1:]
    die_with_parent(int(parent))
    keep_descriptors()  # what a function starts has no use for them
    faulthandler.enable()  # a crash in C shows where in Python it happened
    sys.path.insert(0, folder)
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(line_buffering=True)  # type: ignore[union-attr]  # a text file here
    logging.basicConfig(format=LOG_FORMAT, level=logging.INFO, stream=sys.stderr)
    with socket.socket(fileno=int(fd)) as worker:
        host = FunctionHost(worker, TokenTaker(int(tokens)), folder, int(most_result))
        ForkGuard(host.descriptors, before=host.flush).install()
        host.serve()


if __name__ == "__main__":
    main()
