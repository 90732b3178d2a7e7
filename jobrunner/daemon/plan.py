"""The daemon's plan: the manifest file, the functions its modules declare, and parsed crons.

Everything that can be wrong with a manifest is found here, before anything is changed; so a
start fails early, and a reload is all or nothing.
"""

import os
from asyncio import wait_for, wrap_future
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from hashlib import sha256
from pathlib import Path
from threading import Thread

from jobrunner.crons import Cron, InvalidCron, KnownRules, describe, interval_cron, parse_cron
from jobrunner.daemon.remarks import Remarks, remarks_on
from jobrunner.discover import discover
from jobrunner.embedded.binary import AUTO
from jobrunner.errors import ManifestError, Problem
from jobrunner.firing import ScheduledCron
from jobrunner.manifest.draft import Draft
from jobrunner.manifest.effective import adhoc_task
from jobrunner.manifest.found import FoundTask
from jobrunner.manifest.load import LoadedManifest, load_manifest, with_found_tasks
from jobrunner.manifest.source import LARGEST_FILE
from jobrunner.manifest.spec import CronSpec, Manifest
from jobrunner.manifest.trust import Guard, Untrusted, check_folder, open_guarded, read_guarded
from jobrunner.params import public, secret_names
from jobrunner.runner.environment import read_env_file
from jobrunner.store.published import ADHOC_TASK, Published, PublishedCron, PublishedTask


@dataclass(frozen=True, slots=True)
class Plan:
    """A manifest that was found good."""

    manifest: Manifest
    crons: list[ScheduledCron]
    digest: str = ""  # of the files' text, which holds no secrets but those written into it
    remarks: Remarks = field(default_factory=Remarks)


def make_plan(path: Path, environ: Mapping[str, str], guard: Guard = Guard.NONE) -> Plan:
    """Load and check everything. Blocks while the modules are imported, in a child process.

    `guard` says who may write what is read. Raises ManifestError with all problems.
    """
    rules: KnownRules = {}  # read once, though they are looked at three times
    check = partial(_check, rules=rules)
    loaded = load_manifest(path, environ, check, guard)
    unread = _check_env_files(loaded, guard)
    loaded = with_found_tasks(loaded, _found(loaded, guard), check)
    manifest = _with_adhoc(loaded)
    crons = [
        ScheduledCron(name, spec, parse(name, spec, rules), loaded.manifest.tasks[spec.task])
        for name, spec in loaded.manifest.crons.items()
    ]
    remarks = remarks_on(loaded, crons, environ, unread)
    return Plan(manifest, crons, _digest(loaded.files), remarks)


async def make_plan_aside(
    path: Path, environ: Mapping[str, str], guard: Guard, within_s: float
) -> Plan:
    """As `make_plan`, in a thread that nothing waits for any longer than that.

    A file system that does not answer holds up its reader: neither the next reload nor a stop.
    """
    made: Future[Plan] = Future()
    made.set_running_or_notify_cancel()  # from here on nobody else ends it

    def make() -> None:
        try:
            made.set_result(make_plan(path, environ, guard))
        except BaseException as error:
            made.set_exception(error)

    Thread(target=make, name="plan", daemon=True).start()
    try:
        return await wait_for(wrap_future(made), within_s)
    except TimeoutError as error:
        what = f"the manifest was not read within {within_s:g} s"
        why = "a file that it names, or the file system below it, does not answer"
        fix = "look at its files with `jobrunner validate`, then reload again"
        raise ManifestError([Problem(None, what, why, fix)]) from error


def _digest(files: Iterable[str]) -> str:
    """Tells whether the files have changed since. One that has just vanished counts as empty."""
    digest = sha256()
    for file in files:
        with suppress(OSError):
            digest.update(read_guarded(file, Guard.NONE, LARGEST_FILE))
    return digest.hexdigest()


def _with_adhoc(loaded: LoadedManifest) -> Manifest:
    """The manifest with the task of `jobrunner exec`, where that is allowed."""
    manifest = loaded.manifest
    if not manifest.adhoc:
        return manifest
    tasks = {**manifest.tasks, ADHOC_TASK: adhoc_task(manifest)}
    return manifest.model_copy(update={"tasks": tasks})


def _check_env_files(loaded: LoadedManifest, guard: Guard) -> list[Problem]:
    """Jobs run with what these say. One that is not there yet is in a folder that is checked.

    Returns a warning of each that cannot be read: it may come later. Raises ManifestError for
    those that others may write, or that are damaged.
    """
    problems, unread, read = [], [], set()
    for key, file in _env_files(loaded.manifest):
        path = loaded.manifest.folder / file
        try:
            _check_file(path, guard)
            if path not in read:
                read.add(path)
                read_env_file(path)
        except Untrusted as error:
            problems.append(Problem(loaded.locate(key), error.what, error.why, error.fix))
        except OSError as error:
            what = f"env_file {str(path)!r} cannot be read: {error.strerror}"
            fix = "put it there, or correct the name; the jobs that use it would fail"
            unread.append(Problem(loaded.locate(key), what, None, fix))
        except ValueError as error:
            what = f"env_file {str(path)!r} is damaged: {error}"
            fix = "write one NAME=value per line, in UTF-8"
            problems.append(Problem(loaded.locate(key), what, None, fix))
    if problems:
        raise ManifestError(problems)
    return unread


def _env_files(manifest: Manifest) -> Iterator[tuple[tuple[str, ...], str]]:
    """Each with the key that names it; those of `defaults` come before the tasks that have them."""
    named: dict[tuple[str, ...], list[str]] = {
        ("env_file",): manifest.env_file,
        ("defaults", "env_file"): manifest.defaults.env_file,
    }
    named |= {("tasks", name, "env_file"): task.env_file for name, task in manifest.tasks.items()}
    return ((key, file) for key, files in named.items() for file in files)


def _check_file(path: Path, guard: Guard) -> None:
    try:
        os.close(open_guarded(path, guard))
    except FileNotFoundError:
        with suppress(OSError):
            check_folder(path.parent, guard)
    except OSError:
        pass  # it is told when the file is read


def _found(loaded: LoadedManifest, guard: Guard) -> list[FoundTask]:
    manifest = loaded.manifest
    targets = {name: task.python for name, task in manifest.tasks.items() if task.python}
    discovery = discover(manifest.imports, targets, manifest.folder, guard=guard)
    if discovery.problems:
        raise ManifestError(discovery.located(loaded.locate))
    return discovery.found


def _check(draft: Draft, rules: KnownRules) -> Iterator[Problem]:
    yield from check_expressions(draft, rules)
    if draft.file.adhoc and ADHOC_TASK in draft.declared["tasks"]:
        yield Problem(
            draft.places.locate_key(("tasks", ADHOC_TASK)),
            f"task {ADHOC_TASK!r} has the name of ad-hoc commands",
            why="`adhoc: true` makes a task of this name for `jobrunner exec`",
            fix="rename the task, or remove `adhoc`",
        )


def check_expressions(draft: Draft, rules: KnownRules) -> Iterator[Problem]:
    """The problems of expressions and intervals, whatever else is wrong with their crons."""
    for name, spec in draft.file.crons.items():
        key = "cron" if spec.every is None else "every"
        yield from _check_expression(draft, name, spec, ("crons", name, key), rules)
    for name, task in draft.file.tasks.items():
        if task.cron is not None:
            spec = CronSpec(task=name, cron=task.cron)
            yield from _check_expression(draft, name, spec, ("tasks", name, "cron"), rules)


def _check_expression(
    draft: Draft, name: str, spec: CronSpec, path: tuple[str, str, str], rules: KnownRules
) -> Iterator[Problem]:
    if (spec.cron is None) == (spec.every is None):
        return  # it has both or none of them, which is told
    try:
        # A wrong zone is told by itself, and has no say here.
        parse(name, spec.model_copy(update={"timezone": "UTC"}), rules)
    except InvalidCron as error:
        yield Problem(draft.places.locate(path), error.what, error.why, error.fix, error.excerpt)


def parse(name: str, spec: CronSpec, rules: KnownRules | None = None) -> Cron:
    """The schedule of a cron of the manifest. Raises InvalidCron."""
    if spec.every is not None:
        return interval_cron(spec.every, spec.timezone, name)
    return parse_cron(spec.cron or "", spec.timezone, name, rules)


def published(plan: Plan) -> Published:
    """What clients may know of the plan."""
    manifest = plan.manifest
    tasks = {
        name: PublishedTask(
            name,
            kind=task.kind or "",
            description=task.description,
            params=[public(spec) for spec in task.param_specs()],
            queue=task.queue,
            priority=task.priority,
            lock=lock.name if (lock := manifest.lock_of(name)) else None,
            target=task.python or "",
            timeout_s=task.timeout.total_seconds() if task.timeout else None,
            most_arguments=manifest.bounds.arguments,
        )
        for name, task in manifest.tasks.items()
    }
    crons = {item.name: _published_cron(item) for item in plan.crons}
    return Published(tasks, crons, allows_adhoc=manifest.adhoc, digest=plan.digest)


def _published_cron(item: ScheduledCron) -> PublishedCron:
    secret = set(secret_names(item.task.param_specs(), item.spec.params))
    return PublishedCron(
        item.name,
        item.spec.task,
        schedule=item.cron.expression,
        words=describe(item.cron),
        timezone=item.cron.timezone,
        params={name: value for name, value in item.spec.params.items() if name not in secret},
        withheld=sorted(secret),
        is_enabled=item.spec.enabled,
        description=item.spec.description or item.task.description,
    )


def raise_if_moved(running: Manifest, changed: Manifest) -> None:
    """Refuse what a reload cannot change. Raises ManifestError."""
    for what, before, after in (
        ("name", running.name, changed.name),
        ("store.url", running.store.url, changed.store.url),
        ("store.server", running.store.server or AUTO, changed.store.server or AUTO),
    ):
        if before != after:
            problem = Problem(
                None,
                f"{what} has changed",
                why="the running daemon's jobs, locks and history are in the old place",
                fix="stop the daemon and start it again",
            )
            raise ManifestError([problem])
