"""However many schedulers race, stall and are killed, each fire time is one job or one record."""

import re
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from random import Random
from typing import Any

import pytest

from jobrunner import scheduler
from jobrunner.clock import rfc3339
from jobrunner.model import TERMINAL, Job, Reason
from tests.clock import START, FakeClock
from tests.store.factories import Store
from tests.store.scheduler.scheduling import a_cron
from tests.store.scheduler.simulation import World

MINUTES = 400  # of virtual time, for each number of schedulers
SEEDS = range(1)  # raise these two for a longer run: a second has some 300 virtual minutes

# Each cron beside a rule of its fire times that owes nothing to the code under test.
CRONS: dict[str, tuple[dict[str, Any], Callable[[datetime], bool]]] = {
    "each": ({"cron": "* * * * *"}, lambda at: at.second == 0),
    "twos": (
        {"cron": "*/2 * * * *", "misfire": "all", "overlap": "queue", "catch_up": {"count": 9999}},
        lambda at: at.minute % 2 == 0,
    ),
    "threes": (
        {"every": "3m", "misfire": "skip", "overlap": "replace"},
        lambda at: at.timestamp() % 180 == 0,
    ),
    "sevens": (
        {"every": "7m", "misfire": "all", "overlap": "skip", "catch_up": {"count": 2}},
        lambda at: at.timestamp() % 420 == 0,
    ),
    "kolkata": (  # 5 h 30 min ahead of UTC
        {"cron": "30 */3 * * *", "timezone": "Asia/Kolkata", "misfire": "skip"},
        lambda at: at.minute == 0 and (at.hour + 5) % 24 % 3 == 0,
    ),
}


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("schedulers", [1, 2, 3, 4, 5])
def test_each_fire_time_is_one_job_or_in_one_record_whoever_is_killed(
    store: Store, clock: FakeClock, schedulers: int, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    # So few that often some of the crons are left to the next tick.
    monkeypatch.setattr(scheduler, "FIRES_PER_TICK", 2)
    end = START + timedelta(minutes=MINUTES, seconds=30)
    crons = [a_cron(name, **spec) for name, (spec, _) in CRONS.items()]
    world = World(store, crons, schedulers, Random(f"{schedulers}/{seed}"), clock)

    world.run(end)

    assert world.kills > 0
    jobs = [store.job(job_id) for job_id in store.records()]
    assert {job.state for job in jobs} <= TERMINAL
    for name, (_, is_due) in CRONS.items():
        expected = [at for at in minutes_until(end) if is_due(at)]
        own = [job for job in jobs if job.id.startswith(f"{name}@")]
        assert Counter(accounted(own, expected)) == Counter(expected), name
        assert {job.id for job in own} <= {f"{name}@{rfc3339(at)}" for at in expected}
    assert not [job.id for job in jobs if job.cron == "twos" and job.reason is Reason.MISFIRE]


def minutes_until(end: datetime) -> Iterator[datetime]:
    """Those after the crons' beginning."""
    at = START + timedelta(minutes=1)
    while at <= end:
        yield at
        at += timedelta(minutes=1)


def accounted(jobs: list[Job], expected: list[datetime]) -> Iterator[datetime]:
    """The fire times of the jobs, and those that records of misfires tell of."""
    for job in jobs:
        assert job.fire_time is not None
        if job.reason is not Reason.MISFIRE:
            yield job.fire_time
            continue
        row = re.fullmatch(r"(\d+) fire times from (\S+) to (\S+)", job.detail or "")
        assert row is not None
        first, last = (datetime.fromisoformat(text) for text in row.group(2, 3))
        skipped = [at for at in expected if first <= at <= last]
        assert (len(skipped), last) == (int(row[1]), job.fire_time)
        yield from skipped
