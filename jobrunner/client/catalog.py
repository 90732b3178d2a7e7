"""The tasks a client may submit to, as the daemon published them."""

from collections.abc import Mapping

from jobrunner.clock import Clock
from jobrunner.errors import JobNotFound, quoted
from jobrunner.nearest import named, nearest
from jobrunner.store.keys import Keys
from jobrunner.store.published import PublishedTask, read_published, read_published_task
from jobrunner.store.requests import Operation

# A submit costs one round trip while the task is remembered. A changed manifest is noticed after
# this, and the worker checks again in any case.
REMEMBERED_S = 5.0


class Catalog:
    """Published tasks, remembered for a few seconds."""

    def __init__(self, keys: Keys, clock: Clock) -> None:
        self._keys = keys
        self._clock = clock
        self._remembered: dict[str, tuple[float, PublishedTask]] = {}

    def task(self, name: str, target: str = "") -> Operation[PublishedTask]:
        """The task of that name, or of the function `target` (module:function), where it is given.

        Raises JobNotFound.
        """
        read_at, task = self._remembered.get(target or name, (0.0, None))
        now = self._clock.monotonic()
        if task is not None and now < read_at + REMEMBERED_S:
            return task
        task = yield from read_published_task(self._keys, name)
        if task is None or (target and task.target != target):
            task = yield from self._by_target(name, target, task)
        self._remembered[target or name] = (now, task)
        return task

    def _by_target(
        self, name: str, target: str, otherwise: PublishedTask | None
    ) -> Operation[PublishedTask]:
        """The task whose function it is: the manifest may name it otherwise than its decorator.

        A target that is nobody's may be another way to import the task of that name.
        """
        tasks = (yield from read_published(self._keys)).tasks
        found = [task for task in tasks.values() if target and task.target == target]
        if found:
            return found[0]
        if otherwise is None:
            raise _unknown_task(name, tasks, self._keys.name)
        return otherwise


def _unknown_task(name: str, tasks: Mapping[str, PublishedTask], namespace: str) -> JobNotFound:
    if not tasks:
        return JobNotFound(
            f"no task {quoted(name)}: no daemon has run in {namespace!r} yet",
            why="it publishes the tasks of the manifest when it starts",
            fix="start it with `jobrunner run`",
        )
    near = nearest(name, tasks)
    return JobNotFound(
        f"no task {quoted(name)}",
        why=f"the daemon's manifest declares {named(tasks, near)}",
        fix=f"did you mean {near[0]!r}?"
        if near
        else "declare it, then `jobrunner reload`; or correct the name",
    )
