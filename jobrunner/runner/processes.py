"""What a worker has running.

Every process that it starts carries `JOBRUNNER_WORKER=<worker id>` and `JOBRUNNER_OWNER=<mark of
the store's namespace>` in its environment, and so do the processes below it; see `leftovers`.
"""

import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec

from jobrunner.runner.tree import Held, Reaper, Tree

if TYPE_CHECKING:  # it loads the manifest's models, which the guard has no use for
    from jobrunner.runner.cgroups.groups import WorkerGroups

WORKER_VARIABLE = "JOBRUNNER_WORKER"
OWNER_VARIABLE = "JOBRUNNER_OWNER"
KEEPER_VARIABLE = "JOBRUNNER_KEEPER"  # of a keeper alone


@dataclass(frozen=True, slots=True)
class ProcessGroup:
    """A process group by its leader; the start time and the boot id tell a pid from its reuse."""

    pid: int
    started_at: float


class ProcessRegistry:
    """The process trees of one worker that run now. Usable from any thread."""

    def __init__(
        self,
        worker: str,
        reaper: int | None = None,
        owner: str = "",
        groups: "WorkerGroups | None" = None,
    ) -> None:
        """`reaper` is the pid of the process that orphans go to: a subreaper above this one;
        `owner` the mark of the store's namespace, `StoreAddress.mark`."""
        self.worker = worker
        self.groups = groups
        self.owner = owner
        self.variables = marks(worker, owner)  # for every process that is started
        self._marker = f"{WORKER_VARIABLE}={worker}".encode()
        self._reaper = None if reaper is None else Reaper(reaper, self._marker)
        self._trees: dict[Tree, str] = {}  # with the job's id
        self._lock = threading.Lock()

    def add(
        self,
        leader: int,
        job_id: str,
        *variables: str,
        held: Held = Held(),  # noqa: B008 - frozen
    ) -> Tree:
        """Note a process group. `variables` (`NAME=value`) are what only this tree carries."""
        markers = frozenset({self._marker, *(variable.encode() for variable in variables)})
        tree = Tree(leader, markers, self._reaper, held)
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
