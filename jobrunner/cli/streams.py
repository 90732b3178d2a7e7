"""The streams of the CLI, whatever it was started with: closed, full, or not waiting.

What cannot be written is kept, a little of it, instead of ending a command in its middle: a job may
have been made by then. The boundary in `app` tells of it.
"""

import errno
import io
import os
import select
import sys
from typing import TextIO, cast

KEPT = 4096  # bytes of what could not be written: enough for ids
NAMES = ("stdin", "stdout", "stderr")


class OutputFile(io.RawIOBase):
    """A descriptor to write to. After its first failure it only keeps what it is given."""

    def __init__(self, descriptor: int, failure: OSError | None = None) -> None:
        self._descriptor = descriptor
        self.failure = failure
        self.unwritten = b""

    def write(self, data: "bytes | bytearray | memoryview", /) -> int:  # type: ignore[override]
        """All or part of it, as `os.write`. Raises BrokenPipeError: the reader has gone."""
        while self.failure is None:
            try:
                return os.write(self._descriptor, data)
            except BlockingIOError:
                select.select([], [self._descriptor], [])  # somebody made it non-blocking
            except BrokenPipeError:
                raise
            except OSError as error:
                self.failure = error
        left = KEPT - len(self.unwritten)
        self.unwritten += bytes(data[: max(left, 0)])
        return len(data)

    def writable(self) -> bool:
        return True

    def fileno(self) -> int:
        return self._descriptor

    def isatty(self) -> bool:
        return os.isatty(self._descriptor)


class ClosedInput(io.TextIOBase):
    """Stands in for a stdin that is closed."""

    def readable(self) -> bool:
        return True

    def readline(self, _size: int = -1, /) -> str:  # type: ignore[override]
        raise OSError(errno.EBADF, "stdin is closed")

    def read(self, _size: int | None = -1, /) -> str:
        raise OSError(errno.EBADF, "stdin is closed")


def open_streams() -> None:
    """Give this process all three streams. To be called before any file is opened.

    A descriptor that is closed would go to the next file or socket, and get what is meant for the
    stream. Text that the encoding lacks is written as `?`.
    """
    closed = [number for number in range(3) if _is_closed(number)]
    for _ in closed:
        os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)  # takes the lowest free number
    if 0 in closed:
        sys.stdin = ClosedInput()
    sys.stdout = _output(sys.stdout, 1, is_closed=1 in closed)
    sys.stderr = _output(sys.stderr, 2, is_closed=2 in closed)


def output_file(stream: TextIO) -> OutputFile | None:
    """What is below a stream of `open_streams`; None for another."""
    raw = getattr(getattr(stream, "buffer", None), "raw", None)
    return raw if isinstance(raw, OutputFile) else None


def _is_closed(descriptor: int) -> bool:
    try:
        os.fstat(descriptor)
    except OSError:
        return True
    return False


def _output(found: TextIO | None, descriptor: int, *, is_closed: bool) -> TextIO:
    failure = OSError(errno.EBADF, f"{NAMES[descriptor]} is closed") if is_closed else None
    raw = OutputFile(descriptor, failure)
    is_line_buffered = descriptor == 2 or raw.isatty()
    return io.TextIOWrapper(
        cast(io.RawIOBase, io.BufferedWriter(raw)),  # type: ignore[type-var]
        encoding=found.encoding if found is not None else "utf-8",
        errors="replace",
        line_buffering=is_line_buffered,
    )
