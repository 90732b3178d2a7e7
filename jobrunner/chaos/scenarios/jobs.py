"""Jobs that harm themselves and their surroundings, and jobs that are older than any worker."""

import os
import time
from collections.abc import Iterator

from jobrunner.chaos.arena import Arena, Setting
from jobrunner.chaos.evidence import Evidence, spans_of
from jobrunner.chaos.history import EffectKind, read_history
from jobrunner.chaos.load import Habits
from jobrunner.chaos.scenario import Scenario
from jobrunner.chaos.site import until
from jobrunner.chaos.tasks import MS, Declaration, Kind, usual_tasks
from jobrunner.chaos.work import HOARD
from jobrunner.client.sync import Client
from jobrunner.daemon.plan import make_plan, published
from jobrunner.model import Job, JobState, Reason
from jobrunner.store.published import publish

MAX_LOST = 3
PEACEFUL = ("quick", "work", "each", "eager", "hosted", "command", "one", "one-command", "two")
SUBMIT_WITHIN_S = 60.0
# Nothing but the jobs themselves may end one.
LET_ALONE = Habits(per_s=40, bulk=20, cancels=0, retries=0, deletes=0, after=0)


def harm(arena: Arena) -> None:
    """Among the load's jobs, which do no harm, come others that do: first one of each kind."""
    harmful = [task for task in arena.setting.declaration.tasks if task not in PEACEFUL]
    address = arena.address
    with Client(address.name, address.url, socket=address.socket) as client:
        for task in harmful:
            _submit(arena, client, task)
        for _ in arena.moments(per_s=1.5):
            _submit(arena, client, arena.rng.choice(harmful))


def _submit(arena: Arena, client: Client, task: str) -> None:
    job = client.submit(task, {"ms": arena.rng.randint(5, 300)})
    arena.load.acknowledged[job.id] = task


# Crashes.


def _fatal(function: str) -> Kind:
    target = f"jobrunner.chaos.work:{function}"
    return Kind({"python": target, "max_lost": MAX_LOST}, weight=0)


def _with_neighbours(harmful: dict[str, Kind]) -> Declaration:
    neighbours = {name: kind for name, kind in usual_tasks().items() if name in PEACEFUL}
    return Declaration(tasks={**neighbours, **harmful})


def _crashing() -> Declaration:
    hoard = {"shell": HOARD, "params": MS, "limits": {"memory": "64MiB"}}
    crashes = {function: _fatal(function) for function in ("leave", "segfault", "kill_itself")}
    return _with_neighbours({**crashes, "hoard": Kind(hoard, weight=0)})


def crashes_are_their_own(evidence: Evidence) -> Iterator[str]:
    """Who crashes its host fails as lost, a command fails as it exits, all others complete."""
    effects = evidence.history.by_job()
    for job in evidence.jobs.values():
        attempts = len(spans_of(effects.get(job.id, ())))
        expected = _end_of(job.task)
        if (job.state, job.reason, attempts) != expected:
            yield f"{_named(job)} in {attempts} attempts, and not {expected}"


def _end_of(task: str) -> tuple[JobState, Reason | None, int]:
    """State, reason and number of attempts."""
    if task in PEACEFUL:
        return JobState.COMPLETED, None, 1
    if task == "hoard":
        return JobState.FAILED, Reason.ERROR, 1
    return JobState.FAILED, Reason.LOST, MAX_LOST


def _poisoned() -> Declaration:
    return _with_neighbours({"poison": _fatal("poison")})


def poison_fails_as_lost(evidence: Evidence) -> Iterator[str]:
    """Who kills its worker fails as lost, who was near it completes."""
    for job in evidence.jobs.values():
        is_poison = job.task == "poison"
        expected = (JobState.FAILED, Reason.LOST) if is_poison else (JobState.COMPLETED, None)
        if (job.state, job.reason) != expected:
            yield f"{_named(job)}, and not {expected}"


def _named(job: Job) -> str:
    return f"{job.task} {job.id} is {job.state} ({job.reason}: {job.error})"


# Before any worker.


def submit_before_any_worker(arena: Arena) -> None:
    """A daemon has published its tasks and died before it had a worker; clients come, then more."""
    arena.site.write(arena.manifest())
    arena.run(publish(arena.keys, published(make_plan(arena.site.manifest, os.environ))))
    arena.load.start()
    time.sleep(arena.seconds / 2)
    until(lambda: len(arena.load.acknowledged) > 0, SUBMIT_WITHIN_S, "a submit has returned")
    if effects := read_history(arena.history_path).effects:
        arena.notes.problems.append(f"{effects[0].job} ran before any worker did")
    arena.site.start()
    time.sleep(arena.seconds / 2)


def early_jobs_run(evidence: Evidence) -> Iterator[str]:
    """What completed did run; and nobody but a client has ended a job."""
    effects = evidence.history.by_job()
    for job in evidence.jobs.values():
        ran = any(effect.kind is EffectKind.END for effect in effects.get(job.id, ()))
        if job.state is JobState.COMPLETED and not ran:
            yield f"{_named(job)}, and never ran"
        if job.reason in {Reason.LOST, Reason.UNKNOWN_TASK, Reason.INVALID_ARGUMENTS}:
            yield _named(job)


SCENARIOS = (
    Scenario(
        "crash-hosts",
        "Functions that crash their process fail as lost after `max_lost` attempts, commands "
        "beyond their memory limit as they exit; all other jobs complete, once.",
        harm,
        lambda: Setting(_crashing(), habits=LET_ALONE),
        seconds=15,
        rounds=2,
        judge=crashes_are_their_own,
    ),
    Scenario(
        "poison",
        "Jobs that kill their worker fail as lost after `max_lost` attempts; those beside them "
        "run again and complete.",
        harm,
        lambda: Setting(_poisoned(), habits=LET_ALONE),
        seconds=15,
        rounds=2,
        judge=poison_fails_as_lost,
    ),
    Scenario(
        "before-any-worker",
        "Jobs that were submitted before any worker ever ran are run by the first one.",
        submit_before_any_worker,
        seconds=5,
        starts_by_itself=True,
        judge=early_jobs_run,
    ),
)
