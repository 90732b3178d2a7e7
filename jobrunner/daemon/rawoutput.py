"""What functions write to descriptors 1 and 2 of their worker themselves, on its way to the log.

An asynchronous function shares its worker's process: C code or `os.write` to the end of a log that
nobody reads would hold up all jobs of that worker. So those descriptors are pipes, which the daemon
always reads, and what the log has no room for is dropped. The daemon, and not a thread of the
worker: C code may write while it keeps all threads of its process waiting.
"""

import asyncio
import os
from contextlib import suppress

from jobrunner.log import ATOMIC_WRITE, Outlet

READ_BYTES = 64 << 10
MOST_READS = 17  # a pipe holds 1 MiB at most: who writes without end must not keep us here


class RawOutput:
    """The pipes of one worker; made before it, and closed by itself. Belongs to the loop."""

    def __init__(self, outlets: tuple[Outlet, Outlet]) -> None:
        """Raises OSError."""
        self._pipes: list[_Pipe] = []
        try:
            for outlet in outlets:
                self._pipes.append(_Pipe(outlet))
        except OSError:
            self.close()
            raise

    @property
    def write_ends(self) -> tuple[int, int]:
        """For the worker to inherit: stdout and stderr."""
        stdout, stderr = self._pipes
        return stdout.write_end, stderr.write_end

    def start(self) -> None:
        """Read from now on, up to the end; the worker has its copies of the write ends."""
        for pipe in self._pipes:
            pipe.start()

    def drain(self) -> None:
        """Pass on what is there now."""
        for pipe in self._pipes:
            pipe.drain()

    def close(self) -> None:
        """Give it up; nobody was started."""
        for pipe in self._pipes:
            pipe.close()


class _Pipe:
    def __init__(self, outlet: Outlet) -> None:
        self._outlet = outlet
        self._read_end, self.write_end = os.pipe()
        os.set_blocking(self._read_end, False)
        self._rest = b""  # of a line

    def start(self) -> None:
        self._close_write_end()
        asyncio.get_running_loop().add_reader(self._read_end, self._read)

    def drain(self) -> None:
        for _ in range(MOST_READS):
            if self._read_end < 0 or not self._read():
                return

    def close(self) -> None:
        self._close_write_end()
        if self._read_end >= 0:
            os.close(self._read_end)
            self._read_end = -1

    def _close_write_end(self) -> None:
        if self.write_end >= 0:
            os.close(self.write_end)
            self.write_end = -1

    def _read(self) -> bool:
        """Read once; False when nothing is there now."""
        try:
            data = os.read(self._read_end, READ_BYTES)
        except OSError:  # nothing yet
            return False
        if data:
            self._pass_on(self._rest + data)
            return True
        with suppress(RuntimeError):
            asyncio.get_running_loop().remove_reader(self._read_end)
        self.close()
        if self._rest:
            self._pass_on(self._rest + b"\n")
        return False

    def _pass_on(self, data: bytes) -> None:
        """Whole lines, in pieces that no other process's lines are torn by."""
        while (end := data.rfind(b"\n", 0, ATOMIC_WRITE) + 1) or len(data) >= ATOMIC_WRITE:
            end = end or ATOMIC_WRITE
            self._outlet.put(data[:end])
            data = data[end:]
        self._rest = data
