"""From a manifest as written to the one that runs: nothing in it is left to be merged."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TypeVar

from jobrunner.manifest.parts import Param, Spec
from jobrunner.manifest.places import Path as KeyPath
from jobrunner.manifest.spec import CronSpec, Lock, Manifest, ManifestFile, Task, TaskDefaults
from jobrunner.params import ParamType

S = TypeVar("S", bound=Spec)
T = TypeVar("T", bound=TaskDefaults)


def effective(
    written: ManifestFile,
    path: Path,
    name: str,
    async_tasks: Mapping[str, bool],
    references: Iterable[tuple[KeyPath, str]] = (),
) -> Manifest:
    """The manifest that runs. `path` is the absolute one of the main file; `name` the namespace.

    `references` are values that may be secret, with the variable that each was filled in from.
    """
    folder = path.parent
    tasks = {
        task: _effective_task(task, declared, written.defaults, folder)
        for task, declared in written.tasks.items()
    }
    short_crons = {
        task: CronSpec(task=task, cron=declared.cron)
        for task, declared in written.tasks.items()
        if declared.cron is not None
    }
    parts = dict(written) | {
        "name": name,
        # `url: "${REDIS_URL:-}"` asks for the embedded server where the variable is not set.
        "store": written.store.model_copy(update={"url": written.store.url or None}),
        "env_file": _absolute(written.env_file, folder),
        "defaults": _rooted(written.defaults, folder),
        "tasks": tasks,
        "crons": {
            name: _in_zone(cron, written.timezone)
            for name, cron in {**written.crons, **short_crons}.items()
        },
        "path": str(path),
        "async_tasks": dict(async_tasks),
        "store_variables": sorted({name for at, name in references if at[0] == "store"}),
        "secret_variables": sorted({name for at, name in references if _is_secret(written, at)}),
    }
    return Manifest.model_validate(parts)


def _is_secret(written: ManifestFile, path: KeyPath) -> bool:
    """Whether the value there is one of a secret parameter."""
    section, name, _, param, *_ = (*path, "", "", "", "")
    cron = written.crons.get(str(name)) if section == "crons" else None
    task = written.tasks.get(cron.task if cron else str(name))
    declared = task.params.get(str(param)) if task else None
    return section in ("tasks", "crons") and declared is not None and declared.secret


def _in_zone(cron: CronSpec, timezone: str) -> CronSpec:
    """A cron that names no time zone has the manifest's."""
    if "timezone" in cron.model_fields_set:
        return cron
    return cron.model_copy(update={"timezone": timezone})


def _effective_task(name: str, task: Task, defaults: TaskDefaults, folder: Path) -> Task:
    whole = _rooted(merged(defaults, task), folder)
    return whole.model_copy(update={"lock": _lock(name, whole), "lock_ttl": None, "cron": None})


def adhoc_task(manifest: Manifest) -> Task:
    """The task of `jobrunner exec`, with the manifest's defaults; each job brings its command."""
    command = Param(type=ParamType.ANY, description="program and arguments")
    own = Task(description="commands of `jobrunner exec`", params={"command": command})
    return merged(manifest.defaults, own)


def _rooted(task: T, folder: Path) -> T:
    """With absolute paths: workers do not run in the manifest's folder."""
    update = {"cwd": str(folder / (task.cwd or "")), "env_file": _absolute(task.env_file, folder)}
    return task.model_copy(update=update)


def _lock(name: str, task: Task) -> Lock | None:
    return task.lock if task.lock_ttl is None else Lock(name=name, ttl=task.lock_ttl)


def _absolute(files: list[str], folder: Path) -> list[str]:
    return [str(folder / file) for file in files]


def merged(weak: Spec, strong: S) -> S:
    """`strong` with what only `weak` says; parts and mappings are merged key by key.

    Only keys that were written count, so a key set to its default value wins as any other.
    """
    update: dict[str, object] = {}
    for key in weak.model_fields_set:
        below = getattr(weak, key)
        above = getattr(strong, key)
        if key not in strong.model_fields_set:
            update[key] = below
        elif isinstance(below, Spec) and isinstance(above, Spec):
            update[key] = merged(below, above)
        elif isinstance(below, dict) and isinstance(above, dict):
            update[key] = {**below, **above}
    return strong.model_copy(update=update)
