"""Tells when a child process has ended, without a thread per process where the system can."""

import asyncio
import os
import sys
import threading
from collections.abc import Callable

from jobrunner.log import EventLog
from jobrunner.runner.readiness import Readers

STATUS_LOST = 255  # somebody else in this process has reaped the child


def on_exit(readers: Readers, pid: int, callback: Callable[[int], None]) -> None:
    """Reap a child when it ends; then call back in the loop with its exit code, or -signal."""
    fd = _pidfd(pid)
    if fd is None:
        args = (asyncio.get_running_loop(), pid, callback)
        threading.Thread(target=_wait_in_thread, args=args, daemon=True).start()
        return

    def ended() -> None:
        readers.remove_reader(fd)
        os.close(fd)
        callback(_reap(pid))

    readers.add_reader(fd, ended)


def _pidfd(pid: int) -> int | None:
    if sys.platform != "linux":
        return None
    try:
        return os.pidfd_open(pid)
    except OSError:
        return None  # a kernel before 5.3, or a sandbox that forbids it


def _reap(pid: int) -> int:
    try:
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    except ChildProcessError:
        EventLog().warning("lost an exit status: a function reaped all children", pid=pid)
        return STATUS_LOST


def _wait_in_thread(
    loop: asyncio.AbstractEventLoop, pid: int, callback: Callable[[int], None]
) -> None:
    loop.call_soon_threadsafe(callback, _reap(pid))
