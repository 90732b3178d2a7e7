"""The checks of the crons. Their expressions are read by a higher layer."""

from collections.abc import Iterator
from datetime import date, timedelta

from jobrunner.errors import InvalidArguments, Problem
from jobrunner.manifest.check_tasks import SHORTEST_LOCK, pattern_fault, short_lock
from jobrunner.manifest.draft import Draft
from jobrunner.manifest.explain import listed, nearest, quoted
from jobrunner.manifest.naming import (
    NAME_RULE,
    find_zone,
    is_valid_name,
    make_valid,
    zone_advice,
    zone_names,
)
from jobrunner.manifest.places import Path, describe
from jobrunner.manifest.spec import CronSpec
from jobrunner.params import check_arguments

KINDS = ("cron", "every")
SHORTEST_INTERVAL = timedelta(seconds=1)
_ANY_DAY = date(2000, 1, 1)

CronPath = tuple[str, str]


def check_crons(draft: Draft) -> Iterator[Problem]:
    """Every problem of the crons, apart from those of single values and of expressions."""
    for name, cron in draft.file.crons.items():
        yield from _check_cron(draft, name, cron)
    yield from _check_short_forms(draft)


def _check_cron(draft: Draft, name: str, cron: CronSpec) -> Iterator[Problem]:
    path = ("crons", name)
    if not is_valid_name(name):
        what = f"cron name {quoted(name)} is not allowed"
        fix = f"rename it, e.g. to {make_valid(name, 'cron')!r}"
        yield Problem(draft.places.locate_key(path), what, NAME_RULE, fix)
    yield from _check_kind(draft, path, cron)
    yield from check_zone(draft, (*path, "timezone"), cron.timezone)
    yield from _check_task(draft, path, cron)
    if cron.lock_ttl is not None and cron.lock_ttl < SHORTEST_LOCK:
        yield short_lock(draft, (*path, "lock_ttl"))


def _check_kind(draft: Draft, path: CronPath, cron: CronSpec) -> Iterator[Problem]:
    given = draft.given(path, KINDS)
    if len(given) != 1:
        yield Problem(
            draft.places.locate_key((*path, given[1]) if given else path),
            f"cron {path[1]!r} has {' and '.join(given) or 'no time to fire'}",
            f"a cron has exactly one of {', '.join(KINDS)}",
            "keep one of them" if given else 'add e.g. cron: "0 2 * * *" or every: 90s',
        )
    elif cron.every is not None and cron.every < SHORTEST_INTERVAL:
        what = f"'every' of cron {path[1]!r} must be at least one second"
        yield draft.problem((*path, "every"), what, None, "write e.g. 90s")


def check_zone(draft: Draft, path: Path, timezone: str) -> Iterator[Problem]:
    """Whether there is such a time zone."""
    if find_zone(timezone) is None:
        advice = zone_advice(timezone)
        near = None if advice else nearest(timezone, zone_names())
        yield draft.problem(
            path,
            f"time zone {quoted(timezone)} of {describe(path[:-1])} is unknown",
            "zones are named as in the time zone database",
            advice or (f"write {near!r}" if near else "write e.g. Europe/Berlin or UTC"),
        )


def _check_task(draft: Draft, path: CronPath, cron: CronSpec) -> Iterator[Problem]:
    tasks = draft.declared["tasks"]
    if cron.task not in tasks:
        if draft.is_complete:
            near = nearest(cron.task, tasks)
            yield draft.problem(
                (*path, "task"),
                f"cron {path[1]!r} asks for task {quoted(cron.task)}, which does not exist",
                f"the tasks are {listed(tasks)}" if tasks else "no task is declared",
                f"write {near!r}" if near else f"declare {quoted(cron.task)} under tasks",
            )
        return
    yield from _check_arguments(draft, path, cron)


def _check_arguments(draft: Draft, path: CronPath, cron: CronSpec) -> Iterator[Problem]:
    task = draft.file.tasks.get(cron.task)
    if task is None or draft.has_faulty(("tasks", cron.task)) or draft.has_faulty(path):
        return  # it may have problems because others have not been solved
    is_open = task.kind in (None, "python") and cron.task not in draft.functions
    if is_open and not task.params:
        return  # the function's parameters are known when its module was imported
    if any(pattern_fault(param.pattern) for param in task.params.values()):
        return  # no value can be matched with it, and the task's check has told
    try:
        check_arguments(cron.task, task.param_specs(), cron.params, from_text=False, today=_ANY_DAY)
    except InvalidArguments as error:
        why, fix = error.why, error.fix or ""
        yield draft.problem((*path, "params"), f"cron {path[1]!r}: {error.what}", why, fix)


def _check_short_forms(draft: Draft) -> Iterator[Problem]:
    """A cron inside a task has the task's name, and that may be taken."""
    for name, task in draft.file.tasks.items():
        if task.cron is not None and name in draft.declared["crons"]:
            yield draft.problem(
                ("tasks", name, "cron"),
                f"cron {name!r} is declared twice",
                f"it was first declared at {draft.places.locate_key(('crons', name))}",
                "remove this one, or rename the other",
            )
