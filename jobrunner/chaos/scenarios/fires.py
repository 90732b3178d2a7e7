"""Crons that fire every second while their schedulers are killed and the store goes away."""

import math
import time
from datetime import UTC, datetime
from functools import partial

from jobrunner.chaos.arena import Arena, Setting
from jobrunner.chaos.evidence import FireSpan
from jobrunner.chaos.faults import Faults
from jobrunner.chaos.load import Habits
from jobrunner.chaos.scenario import Scenario
from jobrunner.chaos.site import until
from jobrunner.chaos.tasks import Declaration, Kind
from jobrunner.chaos.work import COMMAND
from jobrunner.store.crons import read_crons

CAUGHT_UP_S = 60.0
CRONS = ("allowed", "skipping", "queueing", "replacing")


def kill_schedulers(arena: Arena) -> None:
    """Supervisors are killed, of one daemon or of several that race for each fire time."""
    since = math.ceil(time.time()) + 1  # from here on each second is asked for
    faults = Faults(arena)
    for _ in arena.moments(per_s=0.7):
        site = arena.rng.choice(arena.sites)
        if site.is_alive():
            faults.kill_supervisor(site)
        site.spawn()
    arena.ensure()
    last = math.floor(time.time())
    until(lambda: _handled(arena, last), CAUGHT_UP_S, "the crons have caught up")
    times = [datetime.fromtimestamp(second, UTC) for second in range(since, last + 1)]
    arena.notes.fires += [FireSpan(cron, times) for cron in CRONS]


def _handled(arena: Arena, last: int) -> bool:
    records = arena.run(read_crons(arena.keys, CRONS))
    return all(
        record.handled is not None and record.handled.timestamp() >= last for record in records
    )


def _declaration() -> Declaration:
    work = Kind({"python": "jobrunner.chaos.work:work"}, 5, 200)
    command = Kind({"shell": COMMAND, "params": {"ms": {"type": "integer"}}}, 50, 500)

    def cron(task: str, overlap: str, ms: int, misfire: str) -> dict[str, object]:
        return {
            "task": task,
            "cron": "* * * * * *",
            "overlap": overlap,
            "misfire": misfire,
            "grace": "2s",
            "params": {"ms": ms},
            "catch_up": {"count": 1000},
        }

    return Declaration(
        tasks={"work": work, "command": command},
        crons={
            "allowed": cron("work", "allow", 200, "all"),
            "skipping": cron("command", "skip", 1500, "once"),
            "queueing": cron("work", "queue", 400, "once"),
            "replacing": cron("command", "replace", 1500, "skip"),
        },
    )


def _setting(sites: int) -> Setting:
    return Setting(_declaration(), sites=sites, habits=Habits(clients=1, per_s=5, bulks=0))


SCENARIOS = tuple(
    Scenario(
        f"kill-{sites}-schedulers" if sites > 1 else "kill-the-scheduler",
        f"{sites} schedulers of crons that fire each second are killed again and again; each fire "
        "time has one job, or a record of why it has none."
        if sites > 1
        else "The one scheduler is killed again and again; its crons miss no fire time in silence.",
        kill_schedulers,
        partial(_setting, sites),
        seconds=20,
    )
    for sites in (1, 3)
)
