"""What runners are given and give back: an attempt, its outcome, and the stop signal."""

import asyncio
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from enum import StrEnum
from pathlib import Path
from typing import Any

import msgspec

from jobrunner.manifest.parts import Env
from jobrunner.manifest.spec import Task
from jobrunner.model import JobError, LeftProcess, Reason, Usage


class Attempt(msgspec.Struct, frozen=True):
    """One try at a job, with everything a runner needs to know. Arguments are validated already."""

    job_id: str
    task_name: str
    task: Task  # with the manifest's `defaults` merged in
    number: int  # counted from 1
    fence: str
    queue: str
    worker: str  # id of the worker process
    namespace: str
    folder: Path  # the manifest's: relative paths begin there
    arguments: dict[str, Any] = {}
    labels: dict[str, Any] = {}  # taskiq's
    cron: str | None = None
    fire_time: datetime | None = None  # UTC
    entry_fence: int = 1  # of the queue's entry; `fence` is another number under a lock
    argv: list[str] | None = None  # of an ad-hoc command, which no task declares
    # Files and variables, weakest first (Manifest.env_layers); empty: only those of the task.
    env_layers: Sequence[tuple[list[str], Env]] = ()


class Ended(StrEnum):
    """How an attempt ended."""

    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"
    ABANDONED = "abandoned"  # stopped for the worker's sake; the job itself has not ended


class Outcome(msgspec.Struct, frozen=True, gc=False):
    """The end of an attempt, with the facts that the retry policy asks for."""

    ended: Ended
    duration: timedelta  # by the monotonic clock
    result: bytes | None = None  # JSON
    error: JobError | None = None
    reason: Reason | None = None  # of a failure: error, timeout, lost, invalid_arguments
    exit_code: int | None = None  # of a command
    stderr: str = ""  # of a success, its last line there, shortened
    usage: Usage | None = None
    left: list[LeftProcess] | None = None  # what was stopped after the command had ended
    exceptions: tuple[str, ...] = ()  # names of the exception's class and its bases, short and full
    was_killed: bool = False  # by a TERM or KILL that was not ours


class StopReason(StrEnum):
    """Why a running attempt is stopped before its end."""

    CANCEL = "cancel"  # a user wants it: the job ends as cancelled
    LEASE_LOST = "lease_lost"  # another worker may own the job now: no grace is given
    SHUTDOWN = "shutdown"  # the drain is over: the job goes back to its queue


ENDED_BY = {
    StopReason.CANCEL: Ended.CANCELLED,
    StopReason.LEASE_LOST: Ended.ABANDONED,
    StopReason.SHUTDOWN: Ended.ABANDONED,
}


class Stop:
    """A one-shot signal to one attempt; the first reason counts. Belongs to the worker's loop."""

    __slots__ = ("_callbacks", "reason")

    def __init__(self) -> None:
        self.reason: StopReason | None = None
        self._callbacks: list[Callable[[StopReason], None]] = []

    def set(self, reason: StopReason) -> None:
        """Stop the attempt; a second call changes nothing. In the loop's thread only."""
        if self.reason is not None:
            return
        self.reason = reason
        callbacks, self._callbacks = self._callbacks, []
        for callback in callbacks:
            callback(reason)

    def set_from_thread(self, loop: asyncio.AbstractEventLoop, reason: StopReason) -> None:
        """`set`, done by the worker's loop as soon as it can."""
        loop.call_soon_threadsafe(self.set, reason)

    def on_set(self, callback: Callable[[StopReason], None]) -> None:
        """Call back once when the signal is set; at once when it is set already."""
        if self.reason is not None:
            callback(self.reason)
        else:
            self._callbacks.append(callback)

    def forget(self, callback: Callable[[StopReason], None]) -> None:
        """Take a callback back; it need not be there any more."""
        if callback in self._callbacks:
            self._callbacks.remove(callback)
