"""Kills what a dead worker left: only what is proved to be ours.

The proof is the environment that we have set, or a control group that we have made, and parentage
below such a process. Ids of workers, pids and start times in the store prove nothing: they are what
somebody wrote there. The mark of the namespace is a daemon's own; so who can write the store of one
namespace reaches no process of another one, nor any that no worker has started.
"""

import contextlib
import os
import signal
import time
from collections import defaultdict
from dataclasses import dataclass

import msgspec

from jobrunner.runner.cgroups.discovery import Cgroups
from jobrunner.runner.cgroups.remains import kill_worker, members_of_worker, remove_worker
from jobrunner.runner.processes import KEEPER_VARIABLE, marks
from jobrunner.runner.proctable import (
    all_pids,
    carries,
    descendants,
    job_of,
    started_at,
)

PATIENCE_S = 5.0  # for processes to vanish after KILL
POLL_S = 0.005
KEEPER_MARK = f"{KEEPER_VARIABLE}=1".encode()


class Ours(msgspec.Struct, frozen=True):
    """By what the processes of this daemon's namespace are known on this machine."""

    owner: str  # the mark of the store's namespace, `StoreAddress.mark`
    cgroups: Cgroups = Cgroups()


@dataclass(frozen=True, slots=True)
class Leftovers:
    """What was found: jobs by pid, and who would not die."""

    found: dict[int, str | None]
    survivors: list[int]

    def by_job(self) -> dict[str, str]:
        """Pids that were killed of each job, for the log; without hosts of functions and the like.

        Without names: a job may call a process as its secret, and those are not known here.
        """
        jobs: dict[str, list[str]] = defaultdict(list)
        for pid, job_id in sorted(self.found.items()):
            if job_id is not None and pid not in self.survivors:
                jobs[job_id].append(str(pid))
        return {job_id: " ".join(pids) for job_id, pids in jobs.items()}


def find_leftovers(worker: str, ours: Ours) -> dict[int, str | None]:
    """Pids of living processes that were started by a worker, and of their descendants.

    With the job that each belongs to, where that can be told.
    """
    markers = [f"{name}={value}".encode() for name, value in marks(worker, ours.owner).items()]
    roots = {pid: job_of(pid) for pid in all_pids() if carries(pid, markers)}
    in_groups = members_of_worker(ours.cgroups, worker)
    found = {pid: job or roots.get(pid) for pid, job in in_groups.items()}
    for root, job in {**roots, **found}.items():
        found |= dict.fromkeys([pid for pid in descendants(root) if pid not in found], job)
        found.setdefault(root, job)
    found.pop(os.getpid(), None)
    return {pid: job for pid, job in found.items() if started_at(pid) is not None}


def kill_leftovers(worker: str, ours: Ours) -> Leftovers:
    """KILL what a dead worker left, and wait until it is gone.

    `worker` may be any text that stands in the store. Blocks, usually for some milliseconds, at
    most 5 s.
    """
    give_up_at = time.monotonic() + PATIENCE_S
    found: dict[int, str | None] = {}
    while True:
        alive = find_leftovers(worker, ours)
        if not alive or time.monotonic() > give_up_at:
            remove_worker(ours.cgroups, worker)
            return Leftovers(found, sorted(alive))
        for pid, job in alive.items():
            if not carries(pid, [KEEPER_MARK]):
                found.setdefault(pid, job)
        kill_worker(ours.cgroups, worker)
        _kill(list(alive))
        time.sleep(POLL_S)


def _kill(pids: list[int]) -> None:
    """Keepers last: as long as one lives, what is below it cannot get away."""
    keepers = {pid for pid in pids if carries(pid, [KEEPER_MARK])}
    for pid in [pid for pid in pids if pid not in keepers] or keepers:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(pid, signal.SIGKILL)
