"""Waits for the end of an attempt, its stop or its timeout, whichever comes first."""

import asyncio
from datetime import timedelta
from enum import Enum
from typing import Any

from jobrunner.model import Reason
from jobrunner.runner.attempt import ENDED_BY, Ended, Outcome, Stop, StopReason
from jobrunner.runner.failures import timeout_error


class TimedOut(Enum):
    """Besides the stop reasons, why an attempt is stopped."""

    TIMED_OUT = "timed out"
    USED_UP = "used up"  # its limits.cpu


Cause = StopReason | TimedOut


async def first_of(
    finished: "asyncio.Future[Any]", stop: Stop, timeout: timedelta | None
) -> Cause | None:
    """None when `finished` is done first, else why it has to be stopped."""
    loop = asyncio.get_running_loop()
    cause: asyncio.Future[Cause | None] = loop.create_future()

    def settle(why: Cause | None) -> None:
        if not cause.done():
            cause.set_result(why)

    def note_finished(_: "asyncio.Future[Any]") -> None:
        settle(None)

    finished.add_done_callback(note_finished)
    stop.on_set(settle)
    timer = None
    if timeout is not None:
        timer = loop.call_later(timeout.total_seconds(), settle, TimedOut.TIMED_OUT)
    try:
        return await cause
    finally:
        finished.remove_done_callback(note_finished)
        stop.forget(settle)
        if timer is not None:
            timer.cancel()


def stopped(cause: Cause, duration: timedelta, timeout: timedelta | None) -> Outcome:
    """The outcome of an attempt that was stopped."""
    if isinstance(cause, StopReason):
        return Outcome(ENDED_BY[cause], duration)
    return Outcome(Ended.FAILED, duration, error=timeout_error(timeout), reason=Reason.TIMEOUT)
