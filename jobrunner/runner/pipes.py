"""Reads the output pipes of a process without threads."""

import asyncio
import os

from jobrunner.runner.output import Output
from jobrunner.runner.readiness import Readers
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
        self._readers: Readers | None = None  # while it reads by itself
        self._end: asyncio.Future[None] | None = None
        self._is_watched = False
        self._waits_for_room = False

    def descriptors(self) -> list[int]:
        """The ends that are open."""
        return [end for end in (self.read_end, self.write_end) if end >= 0]

    def start(self, readers: Readers) -> None:
        """Read from now on what comes; the end is seen only after `release`."""
        self._readers = readers
        self.watch()

    def release(self) -> None:
        """Close our write end, now that the process has its own copy, or has had it."""
        if self.write_end >= 0:
            os.close(self.write_end)
            self.write_end = -1

    def watch(self) -> None:
        """Read what comes as it comes."""
        if self._readers is not None and not self._is_watched and not self.is_at_end:
            self._is_watched = True
            self._readers.add_reader(self.read_end, self._on_readable)

    def pause(self) -> None:
        """Leave what comes in the pipe, for `drain`."""
        self._waits_for_room = False
        if self._readers is not None and self._is_watched:
            self._is_watched = False
            self._readers.remove_reader(self.read_end)

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
        self.pause()
        self._readers = None
        self.release()
        if self.read_end >= 0:
            os.close(self.read_end)
            self.read_end = -1
        self.is_at_end = True

    def _on_readable(self) -> None:
        if not self._is_watched:
            return  # paused by a callback of the same pass of the loop
        self._read()
        output = self._output
        if output is not None and output.is_full and not self.is_at_end:
            self.pause()
            self._waits_for_room = True
            output.on_room(self._resume)

    def _read(self) -> bool:
        """Read once; False when nothing is there now."""
        try:
            data = os.read(self.read_end, READ_BYTES)
        except BlockingIOError:
            return False
        if not data:
            self.pause()
            self.is_at_end = True
            if self._end is not None and not self._end.done():
                self._end.set_result(None)
        elif self._output is not None:
            self._output.feed(self._stream, data)
        return bool(data)

    def _resume(self) -> None:
        if self._waits_for_room:
            self._waits_for_room = False
            self.watch()


class OutputPipes:
    """Both output pipes of a process that works for one attempt after the other."""

    def __init__(self) -> None:
        self._pipes: list[PipeReader] = []
        try:
            for stream in (Stream.STDOUT, Stream.STDERR):
                self._pipes.append(PipeReader(stream))
        except OSError:
            self.close()
            raise
        self.is_watched = True  # output is read as it comes, not by `drain` only

    @property
    def write_ends(self) -> tuple[int, int]:
        """For the process to inherit: stdout and stderr."""
        stdout, stderr = self._pipes
        return stdout.write_end, stderr.write_end

    def descriptors(self) -> list[int]:
        """The ends that are open."""
        return [end for pipe in self._pipes for end in pipe.descriptors()]

    def start(self, readers: Readers) -> None:
        """Read from now on; the process has its copies of the write ends."""
        for pipe in self._pipes:
            pipe.release()
            pipe.start(readers)

    def switch(self, output: Output | None) -> None:
        """Give what comes from now on to another attempt; None drops it."""
        for pipe in self._pipes:
            pipe.switch(output)

    def watch(self, is_watched: bool) -> None:
        """Begin or cease to read output as it comes."""
        if is_watched == self.is_watched:
            return
        self.is_watched = is_watched
        for pipe in self._pipes:
            if is_watched:
                pipe.watch()
            else:
                pipe.pause()

    def drain(self) -> None:
        """Read what is there now."""
        for pipe in self._pipes:
            pipe.drain()

    def close(self) -> None:
        """Read what is there, and no more; who still writes gets SIGPIPE."""
        for pipe in self._pipes:
            pipe.drain()
            pipe.close()
