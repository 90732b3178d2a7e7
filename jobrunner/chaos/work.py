"""What jobs do during a round: they write to the history when they begin, live and end.

A beat comes every 50 ms: the last line of an attempt tells how long it lived at least.
"""

import asyncio
import ctypes
import os
import resource
import signal
import time
from collections.abc import Callable

from jobrunner.chaos.history import VARIABLE, EffectKind, Recorder
from jobrunner.context import Context
from jobrunner.runner.proctable import descendants

BEAT_S = 0.05

# The same for commands; `ms` is a parameter, the rest of the names come from the worker.
_SAY = """
say() {
    job="$JOBRUNNER_JOB_ID $JOBRUNNER_ATTEMPT $JOBRUNNER_FENCE"
    echo "$1 $job $$ $PPID" >> "$CHAOS_HISTORY"
}
say start
"""
COMMAND = f"""{_SAY}
left=$MS
while [ "$left" -gt 0 ]; do
    sleep 0.05
    left=$((left - 50))
    say beat
done
say end
"""

# Needs ever more memory, up to far more than its limit.
HOARD = f"""{_SAY}
echo "fault hoard $$" >> "$CHAOS_HISTORY"
hoard=0123456789abcdef
while [ "${{#hoard}}" -lt 1000000000 ]; do
    hoard=$hoard$hoard
done
say end
"""


class _Attempt:
    """Writes the lines of one attempt. `worker` is the pid of the worker that performs it."""

    def __init__(self, context: Context, worker: int) -> None:
        self._context = context
        self._worker = worker
        self._recorder = Recorder(os.environ[VARIABLE])

    def __enter__(self) -> "_Attempt":
        self.say(EffectKind.START)
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None or issubclass(kind, Exception):
            self.say(EffectKind.END if kind is None else EffectKind.ERROR)
        self._recorder.close()

    def say(self, kind: EffectKind) -> None:
        context = self._context
        self._recorder.effect(
            kind, context.job_id, context.attempt, context.fence, os.getpid(), self._worker
        )

    def fault(self, name: str) -> None:
        """It is about to kill this process."""
        self._recorder.fault(name, [os.getpid(), *descendants(os.getpid())])


async def quick(ctx: Context) -> None:
    """Does nothing, in the worker's loop."""
    with _Attempt(ctx, os.getpid()):
        return


async def work(ms: int, ctx: Context) -> int:
    """Takes so many milliseconds, in the worker's loop."""
    with _Attempt(ctx, os.getpid()) as attempt:
        for pause in _pauses(ms):
            await asyncio.sleep(pause)
            attempt.say(EffectKind.BEAT)
    return ctx.attempt


def hosted(ms: int, ctx: Context) -> int:
    """Takes so many milliseconds, in a function host."""
    with _Attempt(ctx, os.getppid()) as attempt:
        for pause in _pauses(ms):
            time.sleep(pause)
            attempt.say(EffectKind.BEAT)
    return ctx.attempt


async def flaky(ms: int, good: int, ctx: Context) -> int:
    """Fails before the attempt with the number `good`."""
    with _Attempt(ctx, os.getpid()):
        await asyncio.sleep(ms / 1000)
        if ctx.attempt < good:
            raise ValueError(f"attempt {ctx.attempt} fails, {good} will not")
    return ctx.attempt


async def block(ms: int, ctx: Context) -> None:
    """Blocks the worker's loop."""
    with _Attempt(ctx, os.getpid()):
        time.sleep(ms / 1000)


async def hold(ms: int, ctx: Context) -> None:
    """Holds the interpreter lock, so that no thread of the worker can do anything."""
    with _Attempt(ctx, os.getpid()):
        ctypes.PyDLL(None).usleep(ms * 1000)  # a PyDLL keeps the lock during its calls


def leave(ms: int, ctx: Context) -> None:
    """Ends its function host, as a library may that knows no better."""
    _crash(ms, ctx, "leave", lambda: os._exit(3))


def segfault(ms: int, ctx: Context) -> None:
    """Crashes its function host by reading what is nobody's."""
    _crash(ms, ctx, "segfault", lambda: ctypes.string_at(0))


def kill_itself(ms: int, ctx: Context) -> None:
    """KILLs its function host, as the system does when memory runs out."""
    _crash(ms, ctx, "host-kills-itself", lambda: os.kill(os.getpid(), signal.SIGKILL))


def _crash(ms: int, ctx: Context, name: str, crash: Callable[[], object]) -> None:
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # nobody wants the dumps
    with _Attempt(ctx, os.getppid()) as attempt:
        time.sleep(ms / 1000)
        attempt.fault(name)
        crash()


async def poison(ms: int, ctx: Context) -> None:
    """KILLs its worker, with all that runs there."""
    with _Attempt(ctx, os.getpid()) as attempt:
        await asyncio.sleep(ms / 1000)
        attempt.fault("poison")
        os.kill(os.getpid(), signal.SIGKILL)


def _pauses(ms: int) -> list[float]:
    beats, rest = divmod(ms / 1000, BEAT_S)
    return [BEAT_S] * int(beats) + [rest]
