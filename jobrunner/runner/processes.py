"""What a worker has running, and how to kill what a dead worker left.

Every process that a worker starts carries `JOBRUNNER_WORKER=<worker id>` in its environment, and
so do the processes below it. The store has pid, start time and boot id of process groups as a
second way to find them.
"""

import contextlib
import os
import signal
import threading
import time
from collections.abc import Iterable
from dataclasses import dataclass

import msgspec

from jobrunner.runner.proctable import all_pids, carries, descendants, pid_space, started_at
from jobrunner.runner.tree import Reaper, Tree

WORKER_VARIABLE = "JOBRUNNER_WORKER"
LEFTOVERS_PATIENCE_S = 5.0  # for processes to vanish after KILL
LEFTOVERS_POLL_S = 0.005


@dataclass(frozen=True, slots=True)
class ProcessGroup:
    """A process group by its leader; the start time and the boot id tell a pid from its reuse."""

    pid: int
    started_at: float


class ProcessRegistry:
    """The process trees of one worker that run now. Usable from any thread."""

    def __init__(self, worker: str, reaper: int | None = None) -> None:
        """`reaper` is the pid of the process that orphans go to: a subreaper above this one."""
        self.worker = worker
        self._marker = f"{WORKER_VARIABLE}={worker}".encode()
        self._reaper = None if reaper is None else Reaper(reaper, self._marker)
        self._trees: dict[Tree, str] = {}  # with the job's id
        self._lock = threading.Lock()

    def add(self, leader: int, job_id: str, *variables: str) -> Tree:
        """Note a process group. `variables` (`NAME=value`) are what only this tree carries."""
        markers = frozenset({self._marker, *(variable.encode() for variable in variables)})
        tree = Tree(leader, markers, self._reaper)
        with self._lock:
            self._trees[tree] = job_id
        return tree

    def assign(self, tree: Tree, job_id: str) -> None:
        """The tree works for this job now; of a function host, which has many in turn."""
        with self._lock:
            self._trees[tree] = job_id

    def remove(self, tree: Tree) -> None:
        """Forget a tree that is gone."""
        with self._lock:
            self._trees.pop(tree, None)

    def group_of(self, job_id: str) -> ProcessGroup | None:
        """The leader of a job's processes, for its record."""
        with self._lock:
            found = (tree for tree, owner in self._trees.items() if owner == job_id)
            tree = next(found, None)
        return None if tree is None else ProcessGroup(tree.leader, tree.started_at)

    def groups_json(self) -> bytes:
        """The leaders of all that runs now, for the worker's record; see `parse_groups`."""
        with self._lock:
            groups = [ProcessGroup(tree.leader, tree.started_at) for tree in self._trees]
        return msgspec.json.encode(groups)

    def kill_job(self, job_id: str) -> None:
        """KILL to one job's processes, e.g. because its lock is about to end."""
        with self._lock:
            trees = [tree for tree, owner in self._trees.items() if owner == job_id]
        for tree in trees:
            tree.kill()

    def kill_all(self) -> None:
        """KILL to everything at once, e.g. because the lease is about to end."""
        with self._lock:
            trees = list(self._trees)
        for tree in trees:
            tree.kill()


def parse_groups(text: bytes | str) -> list[ProcessGroup]:
    """The groups of `groups_json`. Raises msgspec.DecodeError."""
    return msgspec.json.decode(text, type=list[ProcessGroup])


def find_marked(worker: str) -> list[int]:
    """Pids of living processes that were started by or below a worker."""
    marker = (f"{WORKER_VARIABLE}={worker}".encode(),)
    return [pid for pid in all_pids() if carries(pid, marker) and started_at(pid) is not None]


def kill_leftovers(
    worker: str, groups: Iterable[ProcessGroup] = (), space: str | None = None
) -> list[int]:
    """KILL what a dead worker left, and wait until it is gone; returns pids that would not die.

    `groups` are those on record, with pids of `space`: in another one the pids are others'. Blocks,
    usually for some milliseconds, at most 5 s.
    """
    recorded = list(groups) if space == pid_space() else []
    give_up_at = time.monotonic() + LEFTOVERS_PATIENCE_S
    while True:
        alive = _leftovers(worker, recorded)
        if not alive or time.monotonic() > give_up_at:
            return sorted(alive)
        for pid in alive:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(LEFTOVERS_POLL_S)


def _leftovers(worker: str, recorded: Iterable[ProcessGroup]) -> set[int]:
    found = set(find_marked(worker))
    for group in recorded:
        if started_at(group.pid) == group.started_at:
            found |= {group.pid, *descendants(group.pid)}
    return {pid for pid in found if pid != os.getpid() and started_at(pid) is not None}
