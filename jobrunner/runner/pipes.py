"""Reads the output pipes of a process without threads."""

import asyncio
import os

from jobrunner.runner.output import Output
from jobrunner.store.logs import Stream

READ_BYTES = 64 << 10
DRAIN_READS = 17  # a pipe holds 1 MiB at most: who writes without end must not keep us here


class PipeReader:
    """One pipe from a process to an attempt's output."""

    def __init__(self, stream: Stream, output: Output | None = None) -> None:
        self.read_end, self.write_end = os.pipe()
        os.set_blocking(self.read_end, False)
        self.is_at_end = False
        self._stream = stream
        self._output = output
        self._loop: asyncio.AbstractEventLoop | None = None  # while it reads by itself
        self._end: asyncio.Future[None] | None = None

    def start(self, loop: asyncio.AbstractEventLoop) -> None:
        """Read from now on; the process has its copy of the write end."""
        os.close(self.write_end)
        self.write_end = -1
        self._loop = loop
        loop.add_reader(self.read_end, self._on_readable)

    def switch(self, output: Output | None) -> None:
        """Give what comes from now on to another attempt; None drops it."""
        self._output = output

    def drain(self) -> bool:
        """Read what is there now, without waiting; whether that was the end."""
        for _ in range(DRAIN_READS):
            if self.is_at_end or not self._read():
                break
        return self.is_at_end

    def end(self, loop: asyncio.AbstractEventLoop) -> asyncio.Future[None]:
        """Done when the last writer has closed the pipe."""
        self._end = loop.create_future()
        return self._end

    def close(self) -> None:
        """Read no more; who still writes gets SIGPIPE."""
        self._pause()
        self._loop = None
        for end in (self.read_end, self.write_end):
            if end >= 0:
                os.close(end)
        self.read_end = self.write_end = -1
        self.is_at_end = True

    def _on_readable(self) -> None:
        self._read()
        output = self._output
        if output is not None and output.is_full and not self.is_at_end:
            self._pause()
            output.on_room(self._resume)

    def _read(self) -> bool:
        """Read once; False when nothing is there now."""
        try:
            data = os.read(self.read_end, READ_BYTES)
        except BlockingIOError:
            return False
        if not data:
            self._pause()
            self.is_at_end = True
            if self._end is not None and not self._end.done():
                self._end.set_result(None)
        elif self._output is not None:
            self._output.feed(self._stream, data)
        return bool(data)

    def _pause(self) -> None:
        if self._loop is not None and not self.is_at_end:
            self._loop.remove_reader(self.read_end)

    def _resume(self) -> None:
        if self._loop is not None and not self.is_at_end:
            self._loop.add_reader(self.read_end, self._on_readable)
