"""Tells when a child process has ended, without a thread per process where the system can."""

import asyncio
import os
import resource
import sys
import threading
from collections.abc import Callable

from jobrunner.log import EventLog
from jobrunner.model import Usage
from jobrunner.runner.readiness import Readers

STATUS_LOST = 255  # somebody else in this process has reaped the child
BLOCK_BYTES = 512  # of the kernel's counts of what was transferred
MAXRSS_BYTES = 1 if sys.platform == "darwin" else 1024  # per unit of the largest memory

OnExit = Callable[[int, Usage | None], None]


def on_exit(readers: Readers, pid: int, callback: OnExit) -> None:
    """Reap a child when it ends; then call back in the loop with its exit code, or -signal, and
    what it and those of its descendants that it had reaped have used."""
    fd = _pidfd(pid)
    if fd is None:
        args = (asyncio.get_running_loop(), pid, callback)
        threading.Thread(target=_wait_in_thread, args=args, daemon=True).start()
        return

    def ended() -> None:
        readers.remove_reader(fd)
        os.close(fd)
        callback(*_reap(pid))

    readers.add_reader(fd, ended)


def _pidfd(pid: int) -> int | None:
    if sys.platform != "linux":
        return None
    try:
        return os.pidfd_open(pid)
    except OSError:
        return None  # a kernel before 5.3, or a sandbox that forbids it


def usage_of(cpu_s: float, memory: int | None, blocks_read: int, blocks_written: int) -> Usage:
    """The usage in a `struct rusage`."""
    return Usage(
        round(cpu_s * 1000),
        None if memory is None else memory * MAXRSS_BYTES,
        blocks_read * BLOCK_BYTES,
        blocks_written * BLOCK_BYTES,
    )


def _reap(pid: int) -> tuple[int, Usage | None]:
    try:
        _, status, used = os.wait4(pid, 0)
    except ChildProcessError:
        EventLog().warning("lost an exit status: a function reaped all children", pid=pid)
        return STATUS_LOST, None
    # It began as a copy of this process, whose memory counts as its own: so that is only known when
    # it is more than this one ever had.
    own = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    memory = used.ru_maxrss if used.ru_maxrss > own else None
    usage = usage_of(used.ru_utime + used.ru_stime, memory, used.ru_inblock, used.ru_oublock)
    return os.waitstatus_to_exitcode(status), usage


def _wait_in_thread(loop: asyncio.AbstractEventLoop, pid: int, callback: OnExit) -> None:
    loop.call_soon_threadsafe(callback, *_reap(pid))
