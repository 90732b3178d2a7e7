"""Processes below the supervisor: whether a worker is dead, and the dead that it must bury."""

import os
from collections.abc import Collection

from jobrunner.runner.processes import WORKER_VARIABLE
from jobrunner.runner.proctable import carries, children, pid_space, started_at
from jobrunner.store.leases import WorkerEntry


def is_known_dead(worker: WorkerEntry) -> bool:
    """Whether a worker is gone for certain. Its process can have a later one's pid by now.

    False in doubt: another machine's, another container's or another user's process is judged by
    its lease alone.
    """
    if worker.pid_space != pid_space():
        return False
    try:
        os.kill(worker.pid, 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        return False
    marker = f"{WORKER_VARIABLE}={worker.id}".encode()
    if started_at(worker.pid) is None:
        return True
    return carries(worker.pid, [marker]) is False  # None: it shows no environment, so in doubt


class Reaper:
    """Takes the exit status of orphans that came to us as subreaper, or they stay as zombies."""

    def __init__(self) -> None:
        self._seen: set[int] = set()

    def reap(self, own: Collection[int]) -> None:
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
