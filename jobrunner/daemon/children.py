"""Processes below the supervisor: whether a worker lives, and the dead that it must bury."""

import os
from collections.abc import Container

from jobrunner.runner.processes import WORKER_VARIABLE
from jobrunner.runner.proctable import carries, children, started_at


def is_worker_alive(worker: str, pid: int) -> bool:
    """Whether this host's process `pid` is that worker, and no later process of the same pid."""
    marker = f"{WORKER_VARIABLE}={worker}".encode()
    return started_at(pid) is not None and carries(pid, [marker])


class Reaper:
    """Takes the exit status of orphans that came to us as subreaper, or they stay as zombies."""

    def __init__(self) -> None:
        self._seen: set[int] = set()

    def reap(self, own: Container[int]) -> None:
        """Reap what was dead at the last call already; others wait for the workers, `own`.

        The delay leaves other children of ours, such as the embedded server, to who started them.
        """
        dead = {p for p in children(os.getpid()) if p not in own and started_at(p) is None}
        for pid in dead & self._seen:
            try:
                os.waitpid(pid, os.WNOHANG)
            except ChildProcessError:
                continue  # somebody was faster
        self._seen = dead
