"""What a Python function may know and say about the job it performs."""

import logging
import os
from collections.abc import Callable
from datetime import datetime
from typing import Any

from jobrunner.message import encode_value

MOST_PROGRESS = 64 << 10  # bytes; it is written twice a second, and shown in a line


class Context:
    """Handed to a function whose signature has a parameter annotated with `Context`."""

    __slots__ = ("_pid", "_report", "attempt", "fence", "fire_time", "job_id", "queue", "task")

    def __init__(
        self,
        *,
        job_id: str,
        task: str,
        attempt: int,
        fence: str,
        queue: str,
        fire_time: datetime | None = None,
        report: Callable[[bytes], None] | None = None,
    ) -> None:
        self.job_id = job_id
        self.task = task
        self.attempt = attempt  # counted from 1
        self.fence = fence  # grows with each hand-out: a database can refuse an older one
        self.queue = queue
        self.fire_time = fire_time  # UTC; None for a job that no cron asked for
        self._report = report
        self._pid = os.getpid()

    def progress(self, value: Any) -> None:
        """Say how far the job is, in any JSON value; the latest is shown by `show` and `status`.

        Written at most twice a second, the last one always. Callable from any thread.
        Raises TypeError for a value that JSON cannot carry, ValueError for one of more than 64 KiB
        or with a NaN or an infinity, and RuntimeError in a process that the function has forked:
        only its own process has a way to the worker.
        """
        if os.getpid() != self._pid:
            raise RuntimeError(
                "progress can be told only by the process that the function was called in, "
                "not by one that it has forked"
            )
        text = encode_value(value)
        if len(text) > MOST_PROGRESS:
            raise ValueError(
                f"progress has {len(text):,} bytes as JSON, and may have {MOST_PROGRESS:,}: "
                "it says how far the job is; return data, or print it"
            )
        if self._report is not None:
            self._report(text)

    @property
    def logger(self) -> logging.Logger:
        """Its lines go to the job's output."""
        return logging.getLogger(f"task.{self.task}")
