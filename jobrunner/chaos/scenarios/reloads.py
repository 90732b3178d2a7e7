"""Manifests that change under load: good ones that are taken up, bad ones that are refused."""

import math
import signal
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from random import Random

from jobrunner.chaos.arena import Arena, Setting
from jobrunner.chaos.evidence import Evidence, FireSpan
from jobrunner.chaos.history import NOBODY
from jobrunner.chaos.scenario import Scenario
from jobrunner.chaos.site import Site, until
from jobrunner.chaos.tasks import Declaration, every_second, usual_tasks
from jobrunner.client.sync import Client
from jobrunner.model import Reason
from jobrunner.store.crons import read_crons
from jobrunner.store.published import read_published

RELOADED = "INFO reloaded"
REFUSED = "ERROR refused the manifest"
PATIENCE_S = 60.0
PASSING = "passing"  # the task that comes and goes
STEADY, SHIFTING = "steady", "shifting"  # crons: the same always, and with ever other schedules
STEPS = (1, 2, 3)  # seconds between fire times of the one that shifts; a minute has whole ones


def change_the_manifest(arena: Arena) -> None:
    """Good and bad manifests in turn; each is taken up, or refused, before the next one."""
    site, since = arena.site, _now()
    declaration = arena.setting.declaration
    witness = _perform_one(arena)
    for number, _ in enumerate(arena.moments(per_s=1.5)):
        if number > 0 and arena.rng.random() < 0.4:
            _refuse(arena, site, declaration)
        else:
            declaration = _changed(arena.setting.declaration, arena.rng)
            if number == 0:  # this happens in the shortest round
                declaration = without(declaration, PASSING)
            arena.recorder.fault("reload", NOBODY)
            site.write(arena.manifest(declaration))
            reload(arena, site, RELOADED)
        _expect_in_force(arena, declaration)
        if PASSING not in declaration.tasks:
            _retry_removed(arena, witness)
        _note_fires(arena, declaration)
    _reload_to(arena, site, arena.setting.declaration)
    _note_steady_fires(arena, since)


def _perform_one(arena: Arena) -> str:
    """A job, which has ended, of the task that comes and goes."""
    address = arena.address
    with Client(address.name, address.url, socket=address.socket) as client:
        job = client.submit(PASSING, {"ms": 1})
        arena.load.acknowledged[job.id] = PASSING
        client.wait([job.id], PATIENCE_S)
    return job.id


def _retry_removed(arena: Arena, job_id: str) -> None:
    """Queue a job of the task that went: it ends, in whatever way."""
    address = arena.address
    with Client(address.name, address.url, socket=address.socket) as client:
        arena.recorder.asked("retry", job_id)
        client.retry(job_id)
        client.wait([job_id], PATIENCE_S)


def _changed(declaration: Declaration, rng: Random) -> Declaration:
    """Another number of workers and slots, another schedule, and perhaps a task less."""
    shifting = {"task": "quick", "cron": f"*/{rng.choice(STEPS)} * * * * *"}
    changed = replace(
        declaration,
        crons={**declaration.crons, SHIFTING: shifting},
        processes=rng.randint(1, 3),
        slots=rng.randint(2, declaration.slots),
    )
    return without(changed, PASSING) if rng.random() < 0.5 else changed


def without(declaration: Declaration, task: str) -> Declaration:
    """The same without a task."""
    tasks = {name: kind for name, kind in declaration.tasks.items() if name != task}
    return replace(declaration, tasks=tasks)


def _refuse(arena: Arena, site: Site, declaration: Declaration) -> None:
    """Ask for the reload of a bad file: it changes nothing, and is said."""
    good = arena.manifest(declaration)
    spoil = arena.rng.choice([_cut, _misspelt, _without_function, _elsewhere, _empty])
    arena.recorder.fault("reload-of-a-bad-file", NOBODY)
    site.write(spoil(good))
    reload(arena, site, REFUSED)
    site.write(good)


def _cut(manifest: str) -> str:
    return manifest[: len(manifest) // 2]


def _misspelt(manifest: str) -> str:
    return manifest.replace('"tasks":', '"taks":')


def _without_function(manifest: str) -> str:
    return manifest.replace("chaos.work:hosted", "chaos.work:hostde")


def _elsewhere(manifest: str) -> str:
    return manifest.replace('"name": "', '"name": "other-', 1)


def _empty(_: str) -> str:
    return ""


def reload(arena: Arena, site: Site, answer: str, *, signals: int = 1) -> None:
    """HUP, and wait for an answer in the log. Raises Stuck."""
    answers = site.log().count(answer)
    for _ in range(signals):
        site.signal(signal.SIGHUP)
        time.sleep(arena.rng.uniform(0, 0.1))
    until(lambda: site.log().count(answer) > answers, PATIENCE_S, f"the log says {answer!r}")


def _reload_to(arena: Arena, site: Site, declaration: Declaration) -> None:
    """By several signals, of which some come while the reload is under way."""
    arena.recorder.fault("reload-while-reloading", NOBODY)
    site.write(arena.manifest(declaration))
    reload(arena, site, RELOADED, signals=4)


def _expect_in_force(arena: Arena, declaration: Declaration) -> None:
    """What clients are told of is this manifest."""
    published = arena.run(read_published(arena.keys))
    for what, told, declared in (
        ("tasks", published.tasks, declaration.tasks),
        ("crons", published.crons, declaration.crons),
    ):
        if told.keys() != declared.keys():
            arena.notes.problems.append(
                f"{what} in force are {sorted(told)}, and not {sorted(declared)}"
            )


def _note_fires(arena: Arena, declaration: Declaration) -> None:
    """The cron that shifts fires as it says now; waits for the next time it does."""
    if SHIFTING not in declaration.crons:
        return
    step = int(str(declaration.crons[SHIFTING]["cron"]).split()[0].removeprefix("*/"))
    since = _now()
    last = (since // step + 1) * step
    _wait_for_fire(arena, SHIFTING, last)
    arena.notes.fires.append(_span(SHIFTING, since, last, step))


def _note_steady_fires(arena: Arena, since: int) -> None:
    """The cron that no manifest has changed has missed nothing."""
    last = _now()
    _wait_for_fire(arena, STEADY, last)
    arena.notes.fires.append(_span(STEADY, since, last, 1))


def _wait_for_fire(arena: Arena, cron: str, second: int) -> None:
    def is_handled() -> bool:
        [record] = arena.run(read_crons(arena.keys, [cron]))
        return record.handled is not None and record.handled.timestamp() >= second

    until(is_handled, PATIENCE_S, f"{cron} has fired at {second}")


def _span(cron: str, since: int, last: int, step: int) -> FireSpan:
    """Every fire time after a second of the clock, up to another one."""
    seconds = [second for second in range(since + 1, last + 1) if second % step == 0]
    return FireSpan(cron, [datetime.fromtimestamp(second, UTC) for second in seconds])


def _now() -> int:
    return math.floor(time.time())


def only_the_removed_is_unknown(evidence: Evidence) -> Iterator[str]:
    """Jobs of the task that went fail as unknown, or have run; no others do."""
    for job in evidence.jobs.values():
        is_unknown = job.reason is Reason.UNKNOWN_TASK
        if is_unknown and job.task != PASSING:
            yield f"{job.task} {job.id} is {job.state} ({job.reason})"
        if job.task == PASSING and job.reason in {Reason.ERROR, Reason.LOST}:
            yield f"{job.task} {job.id} is {job.state} ({job.reason}: {job.error})"


def with_passing() -> Declaration:
    usual = usual_tasks()
    tasks = {**usual, PASSING: replace(usual["work"], weight=8.0)}
    return Declaration(tasks, drain="30s")


def _with_crons() -> Declaration:
    return replace(with_passing(), crons=every_second([STEADY], "quick"))


SCENARIOS = (
    Scenario(
        "reload",
        "The manifest changes under load: a good one is taken up whole, and no job is cut short; "
        "jobs of a task that it removed fail as unknown; a bad one changes nothing.",
        change_the_manifest,
        lambda: Setting(_with_crons()),
        seconds=20,
        rounds=3,
        judge=only_the_removed_is_unknown,
    ),
)
