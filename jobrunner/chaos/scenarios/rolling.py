"""Two daemons on one store whose manifests differ."""

from collections.abc import Callable, Iterator, Sequence

from jobrunner.chaos.arena import Arena, Setting
from jobrunner.chaos.evidence import Evidence
from jobrunner.chaos.history import NOBODY
from jobrunner.chaos.scenario import Scenario
from jobrunner.chaos.scenarios.reloads import PASSING, RELOADED, reload, with_passing, without
from jobrunner.chaos.site import Site
from jobrunner.model import Reason


def roll(arena: Arena) -> None:
    """One daemon learns of a task, the other one does not, whatever it is asked to do."""
    old, new = arena.sites
    before = without(arena.setting.declaration, PASSING)
    old.write(arena.manifest(before))
    old.start()
    new.write(arena.manifest())
    new.start()
    arena.load.start()
    steps: Sequence[Callable[[], None]] = (
        lambda: reload(arena, old, RELOADED),
        lambda: reload(arena, new, RELOADED),
        lambda: _restart(arena, old),
        lambda: _restart(arena, new),
    )
    for _ in arena.moments(per_s=0.7):
        arena.recorder.fault("rolling-change", NOBODY)
        arena.rng.choice(steps)()
    # The daemon that starts last tells clients what there is.
    reload(arena, new, RELOADED)


def _restart(arena: Arena, site: Site) -> None:
    if (code := site.stop()) != 0:
        arena.notes.problems.append(f"the daemon ended with exit code {code} after a stop")
    site.start()


def nothing_is_unknown(evidence: Evidence) -> Iterator[str]:
    """One daemon knows the task: none of its jobs fails for the other one's ignorance."""
    for job in evidence.jobs.values():
        if job.reason is Reason.UNKNOWN_TASK:
            yield f"{job.task} {job.id} is {job.state} ({job.reason})"


SCENARIOS = (
    Scenario(
        "rolling-change",
        "One of two daemons knows a task that the other one does not: the task's jobs wait for "
        "the one that knows it.",
        roll,
        lambda: Setting(with_passing(), sites=2),
        seconds=15,
        rounds=2,
        starts_by_itself=True,
        judge=nothing_is_unknown,
    ),
)
