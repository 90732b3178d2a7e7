"""Output of functions that share the worker's process: each goes to the job it belongs to.

A context variable says which output is current. asyncio copies it into every task, and
`asyncio.to_thread` into its thread, so whatever a job starts writes to that job.
"""

import asyncio
import io
import logging
import sys
import threading
from contextvars import ContextVar
from typing import TextIO

from jobrunner.runner.output import Output
from jobrunner.store.logs import Stream

current_output: ContextVar[Output | None] = ContextVar("current_output", default=None)
LOG_FORMAT = "%(levelname)s %(name)s: %(message)s"


class RoutedStream(io.TextIOBase):
    """Stands in for sys.stdout or sys.stderr; outside of a job it writes to the original."""

    def __init__(self, stream: Stream, original: TextIO, loop: asyncio.AbstractEventLoop) -> None:
        self._stream = stream
        self._original = original
        self._loop = loop
        self._loop_thread = threading.get_ident()

    def write(self, text: str) -> int:
        output = current_output.get()
        if output is None:
            return self._original.write(text)
        data = text.encode("utf-8", "replace")
        if threading.get_ident() == self._loop_thread:
            output.feed(self._stream, data)
        else:
            self._loop.call_soon_threadsafe(output.feed, self._stream, data)
        return len(text)

    def flush(self) -> None:
        self._original.flush()

    def writable(self) -> bool:
        return True

    def isatty(self) -> bool:
        return False  # a job's output is never a terminal, whatever the worker was started from

    def fileno(self) -> int:
        return self._original.fileno()

    @property
    def encoding(self) -> str:  # type: ignore[override]  # the base has a plain attribute
        return "utf-8"


def _is_in_a_job(_record: logging.LogRecord) -> bool:
    return current_output.get() is not None


def _is_outside_jobs(_record: logging.LogRecord) -> bool:
    return current_output.get() is None


def leave_job() -> None:
    """In a forked process: what it prints cannot reach the job; it goes to the worker's streams."""
    current_output.set(None)


def install_capture(loop: asyncio.AbstractEventLoop) -> None:
    """Route stdout, stderr and logging of this process; called once, in the thread of `loop`.

    Records of a job go to its stderr, and no longer to the handlers that the root logger has now.
    """
    sys.stdout = RoutedStream(Stream.STDOUT, sys.stdout, loop)
    sys.stderr = stderr = RoutedStream(Stream.STDERR, sys.stderr, loop)
    root = logging.getLogger()
    for handler in root.handlers:
        handler.addFilter(_is_outside_jobs)
    for_jobs = logging.StreamHandler(stderr)
    for_jobs.setFormatter(logging.Formatter(LOG_FORMAT))
    for_jobs.addFilter(_is_in_a_job)
    root.addHandler(for_jobs)
    root.setLevel(min(root.level or logging.INFO, logging.INFO))
