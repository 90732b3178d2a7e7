"""Daemons that are stopped and started again under load, in time and before their time."""

import signal
import time
from collections.abc import Iterator

from jobrunner.chaos.arena import Arena, Setting
from jobrunner.chaos.evidence import Evidence
from jobrunner.chaos.history import NOBODY, EffectKind
from jobrunner.chaos.load import Habits
from jobrunner.chaos.scenario import Scenario
from jobrunner.chaos.site import START_PATIENCE_S, Site, until
from jobrunner.chaos.tasks import Declaration, Kind, usual_tasks
from jobrunner.model import Reason
from jobrunner.state import read_daemon

AMPLE = "30s"  # a drain that no job of the load needs
EARLY_S = 0.05  # about what it takes until the supervisor listens
START_S = 1.5  # about what a start takes: signals come before its end, and after it
RELOADS = 6  # asked for in a row
LATE_S = 0.4  # a second signal comes before, or after the end of a short drain


def drain(arena: Arena) -> None:
    """TERM with time enough for all that runs; then start again."""
    for _ in arena.moments(per_s=1):
        arena.recorder.fault("drain", NOBODY)
        begun = time.monotonic()
        _expect_end(arena, arena.site.stop())
        arena.notes.figures["drain"].append(time.monotonic() - begun)
        arena.site.start()


def cut_short(arena: Arena) -> None:
    """TERM with little time, sometimes ended by a second one; then start again."""
    site = arena.site
    for _ in arena.moments(per_s=2):
        name = arena.rng.choice(["drain-deadline", "second-signal"])
        with arena.recorder.lasting(name, site.pids()):
            site.signal(signal.SIGTERM)
            if name == "second-signal":
                time.sleep(arena.rng.uniform(0, LATE_S))
                site.signal(signal.SIGTERM)
            _expect_end(arena, site.wait())
        site.start()


def _expect_end(arena: Arena, code: int) -> None:
    """After a stop: it went well, and nothing runs any more."""
    problems = arena.notes.problems
    if code != 0:
        problems.append(f"the daemon ended with exit code {code} after a stop")
    problems += [
        f"{job.decode()} is in `running` after a stop"
        for job in arena.execute("ZRANGE", arena.keys.running(), 0, -1)
    ]


def nothing_counts(evidence: Evidence) -> Iterator[str]:
    """What a stop gave back has lost no attempt: each is the first, unless it failed itself."""
    for job_id, effects in evidence.history.by_job().items():
        numbers = [effect.attempt for effect in effects if effect.kind is EffectKind.START]
        if evidence.terms_of(job_id).attempts == 1 and max(numbers) > 1:
            yield f"{job_id} was given back, and its attempts are {numbers}"
    for job in evidence.jobs.values():
        if job.reason is Reason.LOST:
            yield f"{job.task} {job.id} was given back, and is failed as lost"


def signal_the_start(arena: Arena) -> None:
    """As soon as others can know of a daemon that starts, they ask it to reload or to stop."""
    site = arena.site
    _expect_end(arena, site.stop())
    for _ in arena.moments(per_s=5):
        site.spawn()
        until(lambda: _has_signed(site), START_PATIENCE_S, "the daemon has its state folder")
        time.sleep(arena.rng.uniform(0, arena.rng.choice([EARLY_S, START_S])))
        if arena.rng.random() < 0.5:
            arena.recorder.fault("reload-while-starting", NOBODY)
            for _ in range(RELOADS):
                site.signal(signal.SIGHUP)
                time.sleep(arena.rng.uniform(0, EARLY_S))
            site.wait_until_ready()
        else:
            arena.recorder.fault("stop-while-starting", NOBODY)
        _expect_end(arena, site.stop())


def _has_signed(site: Site) -> bool:
    """Whether the daemon can be found by `jobrunner stop` and `jobrunner reload`."""
    daemon = read_daemon(site.state)
    return daemon is not None and daemon.pid == site.pid


# No client does what makes a job's attempts count.
STEADY = Habits(retries=0)


def _long_jobs() -> Declaration:
    """Many jobs that a short drain is too short for; one loss would fail a job."""
    longer = {"work": 6.0, "hosted": 5.0, "command": 5.0}
    tasks = {
        name: Kind({**kind.keys, "max_lost": 1}, 300, 1500, longer[name])
        if name in longer
        else kind
        for name, kind in usual_tasks().items()
    }
    return Declaration(tasks, drain="0.2s", defaults={"max_lost": 1})


SCENARIOS = (
    Scenario(
        "drain",
        "A daemon is stopped by TERM under load and started again, again and again: what runs "
        "ends, what waits goes on waiting, and nothing runs twice.",
        drain,
        lambda: Setting(Declaration(drain=AMPLE)),
        seconds=15,
        rounds=2,
    ),
    Scenario(
        "drain-cut-short",
        "The drain's time ends, or a second signal ends it: what still runs is given back, runs "
        "again after the next start, and the attempt does not count.",
        cut_short,
        lambda: Setting(_long_jobs(), habits=STEADY),
        seconds=15,
        rounds=2,
        judge=nothing_counts,
    ),
    Scenario(
        "signals-while-starting",
        "A daemon that is just starting is asked to reload, or to stop: the one changes nothing, "
        "the other is done.",
        signal_the_start,
        lambda: Setting(Declaration(drain=AMPLE)),
        seconds=15,
        rounds=2,
    ),
)
