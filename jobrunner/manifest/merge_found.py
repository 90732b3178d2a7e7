"""Takes the functions found in a manifest's modules up into it."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from pydantic import ValidationError

from jobrunner.errors import Location, Problem
from jobrunner.manifest.effective import merged
from jobrunner.manifest.explain import explain
from jobrunner.manifest.found import FoundTask
from jobrunner.manifest.nodes import Keys
from jobrunner.manifest.parts import Param
from jobrunner.manifest.places import Places
from jobrunner.manifest.spec import CronSpec, ManifestFile, Task


@dataclass(slots=True)
class Merging:
    """The manifest so far."""

    file: ManifestFile
    places: Places
    async_tasks: dict[str, bool] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)


def merge_found(file: ManifestFile, places: Places, found: Iterable[FoundTask]) -> Merging:
    """The manifest with the found tasks and crons; `file` and `places` are not changed."""
    merging = Merging(file, Places(places.root, dict(places.others)))
    for task in found:
        _merge(merging, task)
    return merging


def _merge(merging: Merging, found: FoundTask) -> None:
    where = found.where or merging.places.locate(("imports",))
    taken = merging.file.tasks.get(found.name)
    same = [name for name, task in merging.file.tasks.items() if task.python == found.target]
    if not same and taken is not None and taken.kind in ("command", "shell"):
        declared_at = merging.places.locate_key(("tasks", found.name))
        merging.problems.append(_taken(found, where, declared_at, taken))
        return
    task = _task_of(merging, found, where)
    if task is None:
        return
    for name in same or [found.name]:
        _add_task(merging, name, task, where)
        merging.async_tasks[name] = found.is_async
    for cron in found.crons:
        _add_cron(merging, (same or [found.name])[0], cron, where)


def _task_of(merging: Merging, found: FoundTask, where: Location) -> Task | None:
    options = {"description": found.description, **found.options, "python": found.target}
    if not options["description"]:
        del options["description"]
    try:
        task = Task.model_validate({k: v for k, v in options.items() if k != "name"})
    except ValidationError as error:
        merging.problems += _explained(error, ("tasks", found.name), where)
        return None
    params = {spec.name: Param.of(spec) for spec in found.params}
    return task.model_copy(update={"params": params}) if params else task


def _add_task(merging: Merging, name: str, found: Task, where: Location) -> None:
    declared = merging.file.tasks.get(name)
    if declared is None:
        merging.places.others["tasks", name] = where
        task = found
    else:
        task = merged(_without_locks(found) if _has_lock(declared) else found, declared)
    tasks = {**merging.file.tasks, name: task}
    merging.file = merging.file.model_copy(update={"tasks": tasks})


def _has_lock(task: Task) -> bool:
    return not task.model_fields_set.isdisjoint(("lock", "lock_ttl"))


def _without_locks(task: Task) -> Task:
    """Its two ways to name a lock exclude each other, so a manifest's one replaces both."""
    written = {key: getattr(task, key) for key in task.model_fields_set - {"lock", "lock_ttl"}}
    return Task.model_validate(written)


def _add_cron(merging: Merging, task: str, found: Mapping[str, Any], where: Location) -> None:
    name = str(found.get("name") or task)
    is_short = name in merging.file.tasks and merging.file.tasks[name].cron is not None
    if is_short or (("crons", name) not in merging.places.others and name in merging.file.crons):
        return  # the manifest's own cron of that name replaces it
    if name in merging.file.crons:
        merging.problems.append(_twice(name, where, merging.places.others["crons", name]))
        return
    try:
        cron = CronSpec.model_validate(
            {"task": task, **{key: value for key, value in found.items() if key != "name"}}
        )
    except ValidationError as error:
        merging.problems += _explained(error, ("crons", name), where)
        return
    merging.places.others["crons", name] = where
    crons = {**merging.file.crons, name: cron}
    merging.file = merging.file.model_copy(update={"crons": crons})


def _explained(error: ValidationError, path: tuple[str, str], where: Location) -> list[Problem]:
    """The problems of what no manifest holds: each at the function."""
    return explain(error, Places(Keys(where, {}), {path: where}), path)


def _taken(found: FoundTask, where: Location, declared_at: Location, task: Task) -> Problem:
    return Problem(
        where,
        f"task {found.name!r} is declared twice: as a {task.kind} and as {found.target}",
        f"the {task.kind} is declared at {declared_at}",
        "rename one of the two; a function's task is renamed by @task(name=…)",
    )


def _twice(name: str, where: Location, first: Location) -> Problem:
    return Problem(
        where,
        f"cron {name!r} is declared twice",
        f"it was first declared at {first}",
        "rename one of the two by @cron(…, name=…)",
    )
