"""What a worker has running, and how to kill what a dead worker left.

Every process that a worker starts carries `JOBRUNNER_WORKER=<worker id>` and `JOBRUNNER_OWNER=<mark
of the store's namespace>` in its environment, and so do the processes below it. Nothing else proves
that a process is ours: ids of workers, pids and start times in the store are what somebody wrote
there. The mark is a daemon's own; so who can write the store of one namespace reaches no process
of another one, nor any that no worker has started.
"""

import contextlib
import os
import signal
import threading
import time
from dataclasses import dataclass

import msgspec

from jobrunner.runner.proctable import all_pids, carries, descendants, started_at
from jobrunner.runner.tree import Reaper, Tree

WORKER_VARIABLE = "JOBRUNNER_WORKER"
OWNER_VARIABLE = "JOBRUNNER_OWNER"
LEFTOVERS_PATIENCE_S = 5.0  # for processes to vanish after KILL
LEFTOVERS_POLL_S = 0.005


@dataclass(frozen=True, slots=True)
class ProcessGroup:
    """A process group by its leader; the start time and the boot id tell a pid from its reuse."""

    pid: int
    started_at: float


class ProcessRegistry:
    """The process trees of one worker that run now. Usable from any thread."""

    def __init__(self, worker: str, reaper: int | None = None, owner: str = "") -> None:
        """`reaper` is the pid of the process that orphans go to: a subreaper above this one;
        `owner` the mark of the store's namespace, `StoreAddress.mark`."""
        self.worker = worker
        self.owner = owner
        self.variables = marks(worker, owner)  # for every process that is started
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
        """The leaders of all that runs now, for the worker's record: for people who look there."""
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


def marks(worker: str, owner: str) -> dict[str, str]:
    """The variables by which processes of a worker are known."""
    return {WORKER_VARIABLE: worker, OWNER_VARIABLE: owner}


def find_marked(worker: str, owner: str) -> list[int]:
    """Pids of living processes that were started by a worker, and of their descendants."""
    markers = [f"{name}={value}".encode() for name, value in marks(worker, owner).items()]
    carrying = [pid for pid in all_pids() if carries(pid, markers)]
    found = {pid for root in carrying for pid in (root, *descendants(root))}
    return [pid for pid in found if started_at(pid) is not None]


def kill_leftovers(worker: str, owner: str) -> list[int]:
    """KILL what a dead worker left, and wait until it is gone; returns pids that would not die.

    `worker` may be any text that stands in the store; `owner` is ours. Blocks, usually for some
    milliseconds, at most 5 s.
    """
    give_up_at = time.monotonic() + LEFTOVERS_PATIENCE_S
    while True:
        alive = set(find_marked(worker, owner)) - {os.getpid()}
        if not alive or time.monotonic() > give_up_at:
            return sorted(alive)
        for pid in alive:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(LEFTOVERS_POLL_S)
