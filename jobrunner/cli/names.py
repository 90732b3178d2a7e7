"""Names a user gives, checked against what the daemon published."""

from collections.abc import Collection

from jobrunner.cli.store import OpenStore
from jobrunner.errors import JobNotFound
from jobrunner.nearest import named, nearest
from jobrunner.store.lookup import Selection, list_jobs
from jobrunner.store.published import PublishedCron, PublishedTask, read_published


def require_task(store: OpenStore, name: str) -> PublishedTask:
    """The task of that name. Raises JobNotFound, with the nearest name."""
    tasks = store.run(read_published(store.keys)).tasks
    if name not in tasks:
        raise unknown("task", name, tasks)
    return tasks[name]


def require_known_task(store: OpenStore, name: str) -> None:
    """Raises JobNotFound for a task that is not declared and of which there is no job, either.

    For commands that found no jobs: the task may have none, may have left the manifest, or is
    mistyped.
    """
    if not store.run(list_jobs(store.keys, Selection(task=name, limit=1))):
        require_task(store, name)


def published_cron(store: OpenStore, name: str) -> PublishedCron:
    """The cron of that name. Raises JobNotFound, with the nearest name."""
    crons = store.run(read_published(store.keys)).crons
    if name not in crons:
        raise unknown("cron", name, crons)
    return crons[name]


def unknown(kind: str, name: str, known: Collection[str]) -> JobNotFound:
    """There is no task or cron of that name; tells which there are, and the nearest."""
    near = nearest(name, known)
    return JobNotFound(
        f"no {kind} '{name}'",
        why=f"the {kind}s are {named(known, near)}" if known else f"there are no {kind}s",
        fix=f"did you mean '{near[0]}'?" if near else "`jobrunner status` shows what there is",
    )
