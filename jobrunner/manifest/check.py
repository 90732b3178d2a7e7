"""What no single value shows: whether the parts of a manifest fit each other."""

import re
from collections.abc import Iterator
from datetime import timedelta

from jobrunner.errors import Problem
from jobrunner.manifest.check_crons import check_crons, check_zone
from jobrunner.manifest.check_tasks import check_fail_when, check_queue, check_task
from jobrunner.manifest.draft import Draft
from jobrunner.manifest.explain import listed, nearest, quoted
from jobrunner.manifest.naming import NAME_RULE, is_valid_name, make_valid
from jobrunner.manifest.spec import TaskDefaults

_SCHEMES = ("redis://", "rediss://", "unix://")
_MODULE = re.compile(r"[^\W\d]\w*(?:\.[^\W\d]\w*)*")


def check(draft: Draft) -> Iterator[Problem]:
    """Every problem between the parts, in no particular order."""
    yield from _check_name(draft)
    yield from _check_imports(draft)
    yield from _check_store(draft)
    yield from check_zone(draft, ("timezone",), draft.file.timezone)
    yield from _check_worker_queues(draft)
    yield from draft.check_env(("env",), draft.file.env)
    yield from _check_defaults(draft, draft.file.defaults)
    for name, task in draft.file.tasks.items():
        yield from check_task(draft, name, task)
    yield from check_crons(draft)


def _check_name(draft: Draft) -> Iterator[Problem]:
    name = draft.file.name
    if name and not is_valid_name(name):
        what = f"name {quoted(name)} is not allowed"
        yield draft.problem(("name",), what, NAME_RULE, f"write e.g. {make_valid(name)!r}")


def _check_imports(draft: Draft) -> Iterator[Problem]:
    for index, module in enumerate(draft.file.imports):
        if not _MODULE.fullmatch(module):
            yield draft.problem(
                ("imports", index),
                f"{quoted(module)} is not the name of a module",
                "imports lists Python modules, not files",
                "write e.g. shop.jobs for shop/jobs.py",
            )


def _check_store(draft: Draft) -> Iterator[Problem]:
    url = draft.file.store.url
    if url and not url.startswith(_SCHEMES):
        # The rest may hold a password.
        scheme, mark, _ = url.partition("://")
        given = f"begins with {quoted(scheme + mark)}" if mark else "is no URL"
        yield draft.problem(
            ("store", "url"),
            f"'url' of store {given}",
            f"a store is reached by {', '.join(_SCHEMES)}",
            "write e.g. redis://localhost:6379/0, or leave it out for an embedded server",
        )


def _check_worker_queues(draft: Draft) -> Iterator[Problem]:
    used = draft.queues()
    for index, queue in enumerate(draft.file.workers.queues or []):
        # A task from an imported module may bring its own queue.
        if queue not in used and draft.is_complete:
            near = nearest(queue, used)
            yield draft.problem(
                ("workers", "queues", index),
                f"no task uses queue {quoted(queue)}",
                f"the queues of this manifest are {listed(used)}",
                f"write {near!r}" if near else "remove it, or give it to a task",
            )


def _check_defaults(draft: Draft, defaults: TaskDefaults) -> Iterator[Problem]:
    path = ("defaults",)
    yield from draft.check_env((*path, "env"), defaults.env)
    yield from draft.check_inherited((*path, "inherit_env"), defaults.inherit_env)
    yield from check_queue(draft, (*path, "queue"), defaults.queue)
    yield from check_fail_when(draft, path, defaults)
    if defaults.timeout == timedelta(0):
        yield draft.no_time((*path, "timeout"))
