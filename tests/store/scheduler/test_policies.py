"""Misfires, overlaps, pauses, jitter and boots: what each policy makes of a fire time."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

import pytest

from jobrunner.clock import rfc3339
from jobrunner.model import JobState, Reason
from jobrunner.scheduler import IDLE
from jobrunner.store.address import StoreAddress
from jobrunner.store.cancelling import cancel
from jobrunner.store.crons import fire_id, pause_cron, resume_cron
from tests.clock import START, FakeClock
from tests.store.factories import Store
from tests.store.scheduler.scheduling import (
    Daemon,
    a_cron,
    a_daemon,
    at,
    fired,
    queue,
    record,
    skipped,
)

pytestmark = pytest.mark.anyio


# Misfires.


@pytest.mark.parametrize(
    ("policy", "made", "recorded"),
    [
        ({"misfire": "skip"}, [], "3 fire times from 00:05 to 00:15"),
        ({"misfire": "once"}, [at(0, 15)], "2 fire times from 00:05 to 00:10"),
        ({"misfire": "all"}, [at(0, 5), at(0, 10), at(0, 15)], None),
        (
            {"misfire": "all", "catch_up": {"count": 2}},
            [at(0, 10), at(0, 15)],
            "1 fire times from 00:05 to 00:05",
        ),
        (
            {"misfire": "all", "catch_up": {"window": "5m"}},
            [at(0, 15)],
            "2 fire times from 00:05 to 00:10",
        ),
    ],
)
async def test_what_was_missed_makes_the_jobs_of_its_policy_and_one_record_of_the_rest(
    store: Store,
    daemon: Daemon,
    policy: dict[str, Any],
    made: Sequence[datetime],
    recorded: str | None,
) -> None:
    await daemon.take_up(a_cron(**policy))

    await daemon.tick_at(at(0, 17))

    assert fired(store) == made
    details = [job.detail or "" for job in skipped(store)]
    assert [d.replace("2030-05-06T", "").replace(":00Z", "") for d in details] == (
        [recorded] if recorded else []
    )


async def test_missed_fire_times_queue_their_jobs_oldest_first(
    store: Store, daemon: Daemon
) -> None:
    await daemon.take_up(a_cron(misfire="all"))

    await daemon.tick_at(at(0, 17))

    assert queue(store) == [f"tick@{rfc3339(at(0, minute))}" for minute in (5, 10, 15)]


async def test_a_fire_time_noticed_within_grace_is_no_misfire(store: Store, daemon: Daemon) -> None:
    await daemon.take_up(a_cron(misfire="skip", grace="30s"))

    await daemon.tick_at(at(0, 5, 30))

    assert (fired(store), skipped(store)) == ([at(0, 5)], [])


async def test_a_record_of_misfires_is_the_crons_last_result(store: Store, daemon: Daemon) -> None:
    await daemon.take_up(a_cron(misfire="skip"))

    await daemon.tick_at(at(0, 17))

    last = record(store)
    assert (last.last_id, last.last_state, last.last_reason) == (
        f"tick@{rfc3339(at(0, 15))}",
        JobState.SKIPPED,
        Reason.MISFIRE,
    )


# Overlaps.


async def fire_twice(daemon: Daemon, overlap: str) -> list[str]:
    """Two fire times, the second before the first job has ended; ids of their jobs."""
    await daemon.take_up(a_cron(overlap=overlap))
    await daemon.tick_at(at(0, 5))
    await daemon.tick_at(at(0, 10))
    return [f"tick@{rfc3339(at(0, minute))}" for minute in (5, 10)]


async def test_overlap_allow_queues_the_next_job_all_the_same(store: Store, daemon: Daemon) -> None:
    await fire_twice(daemon, "allow")

    assert fired(store, "tick", JobState.QUEUED) == [at(0, 5), at(0, 10)]


async def test_overlap_skip_records_who_was_in_the_way(store: Store, daemon: Daemon) -> None:
    first, second = await fire_twice(daemon, "skip")

    job = store.job(second)
    assert (job.state, job.reason, job.detail) == (JobState.SKIPPED, Reason.OVERLAP, first)


async def test_overlap_skip_fires_again_once_the_previous_job_has_ended(
    store: Store, daemon: Daemon
) -> None:
    store.add_worker()
    await fire_twice(daemon, "skip")
    (entry,) = store.claim()
    store.finish(entry, cron="tick")

    await daemon.tick_at(at(0, 15))

    assert fired(store, "tick", JobState.QUEUED) == [at(0, 15)]


async def test_overlap_queue_lets_the_next_job_wait_for_the_previous_one(
    store: Store, daemon: Daemon
) -> None:
    store.add_worker()
    first, second = await fire_twice(daemon, "queue")
    assert (store.state(first), store.state(second)) == (JobState.QUEUED, JobState.BLOCKED)
    (entry,) = store.claim()

    store.finish(entry, JobState.FAILED)
    await daemon.tick()

    assert queue(store) == [second]


async def test_overlap_replace_cancels_the_previous_job_and_takes_its_place(
    store: Store, daemon: Daemon
) -> None:
    first, second = await fire_twice(daemon, "replace")

    job = store.job(first)
    assert (job.state, job.reason) == (JobState.CANCELLED, Reason.REPLACED)
    assert queue(store) == [second]


async def test_overlap_replace_waits_until_a_running_job_has_stopped(
    store: Store, daemon: Daemon
) -> None:
    store.add_worker()
    await daemon.take_up(a_cron(overlap="replace"))
    await daemon.tick_at(at(0, 5))
    (entry,) = store.claim()

    await daemon.tick_at(at(0, 10))

    assert store.texts("SMEMBERS", store.keys.cancelling()) == [entry.job_id]
    assert fired(store, "tick", JobState.BLOCKED) == [at(0, 10)]
    store.finish(entry, JobState.CANCELLED)
    await daemon.tick()
    assert queue(store) == [f"tick@{rfc3339(at(0, 10))}"]


@pytest.mark.parametrize("overlap", ["replace", "queue"])
async def test_no_job_of_a_cron_overtakes_one_that_still_stops(
    store: Store, daemon: Daemon, overlap: str
) -> None:
    store.add_worker()
    await daemon.take_up(a_cron(overlap=overlap))
    await daemon.tick_at(at(0, 5))
    (running,) = store.claim()
    await daemon.tick_at(at(0, 10))
    await daemon.tick_at(at(0, 15))
    waiting = f"tick@{rfc3339(at(0, 10))}"
    if overlap == "queue":
        store.run(cancel(store.keys, waiting))

    await daemon.tick_at(at(0, 20))

    assert store.state(waiting) is JobState.CANCELLED
    assert queue(store) == [running.job_id]
    store.finish(running, JobState.CANCELLED)
    await daemon.tick()
    assert len(queue(store)) == 1


async def test_a_job_that_was_cancelled_while_it_waited_is_not_the_one_to_wait_for(
    store: Store, daemon: Daemon
) -> None:
    store.add_worker()
    await daemon.take_up(a_cron(overlap="queue"))
    await daemon.tick_at(at(0, 5))
    (running,) = store.claim()
    await daemon.tick_at(at(0, 10))
    store.run(cancel(store.keys, f"tick@{rfc3339(at(0, 10))}"))

    await daemon.tick_at(at(0, 15))

    assert fired(store, "tick", JobState.BLOCKED) == [at(0, 15)]
    store.finish(running)
    await daemon.tick()
    assert queue(store) == [f"tick@{rfc3339(at(0, 15))}"]


async def test_missed_fire_times_that_may_not_overlap_run_one_after_the_other(
    store: Store, daemon: Daemon
) -> None:
    await daemon.take_up(a_cron(misfire="all", overlap="queue"))

    await daemon.tick_at(at(0, 17))

    assert fired(store, "tick", JobState.QUEUED) == [at(0, 5)]
    assert fired(store, "tick", JobState.BLOCKED) == [at(0, 10), at(0, 15)]


async def test_a_scheduler_that_lost_a_race_knows_the_previous_job(
    store: Store, address: StoreAddress, clock: FakeClock
) -> None:
    cron = a_cron(overlap="skip")
    async with a_daemon(address, clock, cron) as slow, a_daemon(address, clock, cron) as fast:
        await fast.tick_at(at(0, 5))

        await slow.tick_at(at(0, 10))

    (job,) = skipped(store)
    assert job.detail == f"tick@{rfc3339(at(0, 5))}"


# Pause, jitter, boots.


async def test_a_paused_cron_makes_no_jobs_and_catches_nothing_up(
    store: Store, daemon: Daemon
) -> None:
    await daemon.take_up(a_cron(misfire="all"))
    store.run(pause_cron(store.keys, "tick"))
    await daemon.serve_until(at(0, 14))

    store.run(resume_cron(store.keys, "tick"))
    store.command("HSET", store.keys.cron("tick"), "handled", _ms(at(0, 14)))  # now, as resumed
    await daemon.serve_until(at(0, 15))

    assert fired(store) == [at(0, 15)]
    assert skipped(store) == []


def _ms(instant: datetime) -> int:
    return int(instant.timestamp() * 1000)


async def test_a_disabled_cron_does_not_fire(store: Store, daemon: Daemon) -> None:
    await daemon.take_up(a_cron(enabled=False))

    assert await daemon.tick_at(at(0, 5)) == at(0, 5) + IDLE
    assert fired(store) == []


async def test_a_cron_that_is_enabled_again_does_not_catch_up(store: Store, daemon: Daemon) -> None:
    await daemon.take_up(a_cron(misfire="all"))
    await daemon.take_up(a_cron(misfire="all", enabled=False))
    daemon.clock.set_to(at(0, 12))

    await daemon.take_up(a_cron(misfire="all"))
    await daemon.tick()

    assert fired(store) == []


async def test_a_jitter_delays_the_job_and_not_the_fire_time(store: Store, daemon: Daemon) -> None:
    await daemon.take_up(a_cron(jitter="1h"))

    await daemon.tick_at(at(0, 5))

    (job_id,) = store.texts("ZRANGE", store.keys.scheduled(), 0, -1)
    job = store.job(job_id)
    assert job.fire_time == at(0, 5)
    assert job.due_at is not None
    assert timedelta(0) < job.due_at - job.created_at <= timedelta(hours=1)


async def test_a_reboot_cron_fires_once_per_boot(store: Store, daemon: Daemon) -> None:
    crons = [a_cron("up", cron="@reboot", misfire="all")]
    for boot in ("boot-one-1", "boot-one-1", "boot-two-2"):
        await daemon.scheduler.fire_at_boot(crons, boot)
        await daemon.take_up(*crons)
        await daemon.tick()

    assert queue(store) == ["up@boot-boot-one", "up@boot-boot-two"]
    assert store.job("up@boot-boot-one").cron == "up"


async def test_a_reboot_cron_that_is_disabled_or_paused_does_not_fire(
    store: Store, daemon: Daemon
) -> None:
    store.run(pause_cron(store.keys, "paused"))
    crons = [a_cron("paused", cron="@reboot"), a_cron("off", cron="@reboot", enabled=False)]

    await daemon.scheduler.fire_at_boot(crons, "boot-one")

    assert queue(store) == []


async def test_a_taken_fire_time_is_skipped_and_told_and_the_next_ones_fire(
    store: Store,
    address: StoreAddress,
    clock: FakeClock,
    caplog: pytest.LogCaptureFixture,
) -> None:
    minutely = a_cron("minutely", cron="* * * * *", misfire="all")
    taken = START + timedelta(minutes=1)
    store.submit(id=fire_id("minutely", taken), task="other", delay=timedelta(days=400))

    async with a_daemon(address, clock, minutely) as daemon:
        await daemon.tick()
        clock.set_to(START + timedelta(minutes=3))
        for _ in range(3):
            await daemon.tick()

    assert fired(store, "minutely") == [START + timedelta(minutes=2), START + timedelta(minutes=3)]
    assert store.job(f"{fire_id('minutely', taken)}+skipped").reason is Reason.TAKEN
    assert "under the id of a fire time" in caplog.text
