"""The scheduler's loop on a real store, with a clock that is moved by hand."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

import pytest

from jobrunner.clock import rfc3339
from jobrunner.crons import fire_times
from jobrunner.daemon.plan import parse
from jobrunner.manifest.spec import CronSpec, Task
from jobrunner.model import Job, JobState, Reason
from jobrunner.scheduler import IDLE, PROMPT, ScheduledCron, Scheduler
from jobrunner.store.address import StoreAddress
from jobrunner.store.cancelling import cancel
from jobrunner.store.connection import AsyncStoreConnection
from jobrunner.store.crons import CronRecord, pause_cron, read_crons, resume_cron
from jobrunner.store.due import BATCH
from jobrunner.store.keys import Keys
from jobrunner.store.submission import submit
from tests.clock import START, FakeClock
from tests.store.factories import Store, minutes
from tests.store.switch import Switch
from tests.store.waiting import until

pytestmark = pytest.mark.anyio
HOUR = timedelta(hours=1)


def a_task(**changes: Any) -> Task:
    return Task(**{"command": ["true"], **changes})


def a_cron(name: str = "tick", *, task: Task | None = None, **spec: Any) -> ScheduledCron:
    """Every five minutes, unless `spec` says otherwise."""
    if not {"cron", "every"} & spec.keys():
        spec["cron"] = "*/5 * * * *"
    parsed = CronSpec(task="demo", **spec)
    return ScheduledCron(name, parsed, parse(name, parsed), task or a_task())


def at(hour: int, minute: int = 0, second: int = 0) -> datetime:
    """A time on the day on which the tests' clock begins."""
    return START.replace(hour=hour, minute=minute, second=second)


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock(START)


class Daemon:
    """A scheduler with a connection of its own."""

    def __init__(self, keys: Keys, connection: AsyncStoreConnection, clock: FakeClock) -> None:
        self.clock = clock
        self.wake = asyncio.Event()
        self.scheduler = Scheduler(keys, connection, clock, self.wake)

    async def take_up(self, *crons: ScheduledCron) -> None:
        await self.scheduler.take_up(crons)

    async def tick(self) -> datetime:
        return await self.scheduler.tick(self.clock.now())

    async def tick_at(self, instant: datetime) -> datetime:
        self.clock.set_to(instant)
        return await self.tick()

    async def serve_until(self, end: datetime) -> None:
        """As `run` does: tick, sleep until the next due instant."""
        while self.clock.now() <= end:
            self.clock.set_to(await self.tick())


@asynccontextmanager
async def a_daemon(
    address: StoreAddress, clock: FakeClock, *crons: ScheduledCron
) -> AsyncIterator[Daemon]:
    async with AsyncStoreConnection(address) as connection:
        daemon = Daemon(Keys(address.name), connection, clock)
        await daemon.take_up(*crons)
        yield daemon


@pytest.fixture
async def daemon(store: Store, address: StoreAddress, clock: FakeClock) -> AsyncIterator[Daemon]:
    """A scheduler without crons so far."""
    async with a_daemon(address, clock) as opened:
        yield opened


def fired(store: Store, cron: str = "tick", *states: JobState) -> list[datetime]:
    """The fire times of the cron's jobs, in order; of those in the states if given."""
    wanted = states or (JobState.QUEUED, JobState.SCHEDULED, JobState.BLOCKED)
    jobs = [store.job(job_id) for job_id in store.records() if job_id.startswith(f"{cron}@")]
    return sorted(job.fire_time for job in jobs if job.fire_time and job.state in wanted)


def skipped(store: Store, cron: str = "tick") -> list[Job]:
    found = [store.job(job_id) for job_id in store.records() if job_id.startswith(f"{cron}@")]
    return [job for job in found if job.state is JobState.SKIPPED]


def record(store: Store, cron: str = "tick") -> CronRecord:
    return store.run(read_crons(store.keys, [cron]))[0]


def queue(store: Store) -> list[str]:
    """Ids of the jobs in the queues, in the order of their coming."""
    entries = sorted(store.entries().items(), key=lambda item: item[0][1])
    return [fields["id"] for _, fields in entries]


# Fire times.


async def test_two_schedulers_that_race_over_a_day_make_each_fire_time_once(
    store: Store, address: StoreAddress
) -> None:
    crons = [
        a_cron("tick"),
        a_cron("nightly", cron="30 2 * * *", timezone="Europe/Berlin"),
        a_cron("often", every="7m"),
    ]
    end = START + timedelta(days=1)
    first_clock, second_clock = FakeClock(START), FakeClock(START)
    random = Random(7)

    async def serve(daemon: Daemon) -> None:
        while daemon.clock.now() < end:
            wake_at = await daemon.tick()
            late = timedelta(milliseconds=random.randrange(900))
            daemon.clock.set_to(min(wake_at + late, end))
        await daemon.tick()

    async with (
        a_daemon(address, first_clock, *crons) as first,
        a_daemon(address, second_clock, *crons) as second,
    ):
        await asyncio.gather(serve(first), serve(second))

    for item in crons:
        assert fired(store, item.name) == list(fire_times(item.cron, START, end))
    assert len(queue(store)) == len(set(queue(store)))


async def test_a_scheduler_that_takes_over_goes_on_after_the_last_handled_fire_time(
    store: Store, address: StoreAddress, clock: FakeClock
) -> None:
    async with a_daemon(address, clock, a_cron(misfire="all")) as killed:
        await killed.tick_at(at(0, 5))
        clock.set_to(at(0, 10))

    clock.set_to(at(0, 22))
    async with a_daemon(address, clock, a_cron(misfire="all")) as heir:
        await heir.tick()

    assert fired(store) == [at(0, 5), at(0, 10), at(0, 15), at(0, 20)]


async def test_a_cron_that_was_never_seen_begins_now(store: Store, daemon: Daemon) -> None:
    daemon.clock.set_to(at(12, 3))
    await daemon.take_up(a_cron(misfire="all"))

    assert await daemon.tick() == at(12, 5)
    assert fired(store) == []


async def test_a_changed_schedule_begins_now(
    store: Store, address: StoreAddress, clock: FakeClock
) -> None:
    async with a_daemon(address, clock, a_cron(misfire="all")) as daemon:
        await daemon.tick_at(at(0, 5))
        clock.set_to(at(3))

        await daemon.take_up(a_cron(cron="*/10 * * * *", misfire="all"))

        assert await daemon.tick() == at(3, 10)
    assert fired(store) == [at(0, 5)]


async def test_an_unchanged_schedule_keeps_its_last_handled_fire_time_when_all_else_changes(
    store: Store, daemon: Daemon
) -> None:
    await daemon.take_up(a_cron())
    await daemon.tick_at(at(0, 5))
    daemon.clock.set_to(at(0, 10, 3))

    await daemon.take_up(a_cron(overlap="queue", jitter="1s", task=a_task(queue="web")))
    await daemon.tick()

    assert fired(store) == [at(0, 5), at(0, 10)]


async def test_a_changed_time_zone_is_a_changed_schedule(store: Store, daemon: Daemon) -> None:
    await daemon.take_up(a_cron(cron="0 12 * * *"))
    daemon.clock.set_to(at(11))

    await daemon.take_up(a_cron(cron="0 12 * * *", timezone="Europe/Berlin"))  # 10:00 UTC

    assert record(store).next_fire_at == at(10) + timedelta(days=1)


async def test_a_cron_that_left_the_manifest_fires_no_more(store: Store, daemon: Daemon) -> None:
    await daemon.take_up(a_cron("tick"), a_cron("other"))

    await daemon.take_up(a_cron("other"))
    await daemon.tick_at(at(0, 5))

    assert (fired(store, "tick"), fired(store, "other")) == ([], [at(0, 5)])


async def test_a_reload_during_a_tick_leaves_both_crons_and_loop_intact(
    store: Store, daemon: Daemon
) -> None:
    await daemon.take_up(a_cron("tick", overlap="replace"), a_cron("other", overlap="replace"))
    await daemon.tick_at(at(0, 5))
    daemon.clock.set_to(at(0, 10))

    # A replacement takes some round trips, in the middle of which the reload comes.
    await asyncio.gather(daemon.tick(), daemon.take_up(a_cron("other")))

    assert await daemon.tick_at(at(0, 15)) == at(0, 20)
    assert fired(store, "tick") == [at(0, 10)]
    assert fired(store, "other") == [at(0, 10), at(0, 15)]


# Clocks that jump.


async def test_a_clock_set_forward_makes_misfires_and_no_row_of_live_fires(
    store: Store, daemon: Daemon
) -> None:
    await daemon.take_up(a_cron(misfire="skip"))
    await daemon.tick_at(at(0, 5))

    wake_at = await daemon.tick_at(at(1, 6))

    assert fired(store) == [at(0, 5)]
    (one,) = skipped(store)
    assert one.reason is Reason.MISFIRE
    assert one.detail == f"12 fire times from {rfc3339(at(0, 10))} to {rfc3339(at(1, 5))}"
    assert wake_at == at(1, 10)


async def test_a_clock_set_back_makes_no_fire_time_twice(store: Store, daemon: Daemon) -> None:
    await daemon.take_up(a_cron())
    await daemon.serve_until(at(2))

    daemon.clock.set_to(at(1))
    await daemon.serve_until(at(2, 10))

    assert fired(store) == list(fire_times(a_cron().cron, START, at(2, 10)))
    assert skipped(store) == []


async def test_a_night_of_suspend_is_one_job_and_one_record(store: Store, daemon: Daemon) -> None:
    await daemon.take_up(a_cron(every="1s"))
    await daemon.tick_at(at(0, 0, 1))

    await daemon.tick_at(at(8, 0, 0))

    (one,) = skipped(store)
    assert one.detail == f"28788 fire times from {rfc3339(at(0, 0, 2))} to {rfc3339(at(7, 59, 49))}"
    assert fired(store) == [at(0, 0, 1), *(at(7, 59, s) for s in range(50, 60)), at(8)]


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
    assert timedelta(0) < job.due_at - job.created_at <= HOUR


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


# Arguments.


async def test_a_job_has_the_arguments_of_its_cron_and_the_defaults_of_its_task(
    store: Store, daemon: Daemon
) -> None:
    task = a_task(params={"region": {}, "depth": {"type": "integer", "default": 3}})
    await daemon.take_up(a_cron(task=task, params={"region": "eu"}))

    await daemon.tick_at(at(0, 5))

    assert store.job(f"tick@{rfc3339(at(0, 5))}").arguments == {"region": "eu", "depth": 3}


async def test_today_is_the_day_of_the_fire_time_in_the_crons_zone(
    store: Store, daemon: Daemon
) -> None:
    task = a_task(params={"day": {"type": "date", "default": "today"}})
    await daemon.take_up(a_cron(cron="30 23 * * *", timezone="America/New_York", task=task))

    await daemon.tick_at(at(12))

    job = store.job(f"tick@{rfc3339(at(3, 30))}")
    assert job.arguments == {"day": "2030-05-05"}


async def test_a_cron_with_bad_arguments_fires_so_that_its_job_can_fail_for_them(
    store: Store, daemon: Daemon
) -> None:
    await daemon.take_up(a_cron(task=a_task(params={"region": {"required": True}})))

    await daemon.tick_at(at(0, 5))

    assert fired(store) == [at(0, 5)]


async def test_a_job_goes_to_the_queue_and_level_of_its_task(store: Store, daemon: Daemon) -> None:
    await daemon.take_up(a_cron(task=a_task(queue="web", priority="high")))

    await daemon.tick_at(at(0, 5))

    assert [stream for stream, _ in store.entries()] == [store.keys.queue("web", "high")]


# Due jobs.


async def test_due_jobs_are_promoted_in_batches_without_a_pause(
    store: Store, daemon: Daemon
) -> None:
    submissions = [store.submission(delay=minutes(1)) for _ in range(BATCH + 3)]
    store.run(submit(store.keys, submissions))
    for submission in submissions:
        store.make_due(submission.id)

    wake_at = await daemon.tick()

    assert wake_at == daemon.clock.now() + PROMPT
    assert len(queue(store)) == BATCH
    await daemon.tick()
    assert len(queue(store)) == BATCH + 3


async def test_the_loop_sleeps_until_the_next_job_is_due_by_the_stores_clock(
    store: Store, daemon: Daemon
) -> None:
    # The daemon's clock is years ahead here; a job that seems due must not make a hot loop.
    store.submit(delay=minutes(10))

    wake_at = await daemon.tick()

    assert minutes(9) < wake_at - daemon.clock.now() <= minutes(10)


async def test_an_idle_tick_costs_one_round_trip(
    store: Store, address: StoreAddress, clock: FakeClock, socket_path: str
) -> None:
    with Switch(socket_path, address) as switch:
        async with a_daemon(switch.address, clock, a_cron()) as daemon:
            before = switch.round_trips
            await daemon.tick()

            assert switch.round_trips == before + 1


async def test_a_fire_costs_three_round_trips_whatever_the_number_of_crons(
    store: Store, address: StoreAddress, clock: FakeClock, socket_path: str
) -> None:
    crons = [a_cron(f"tick-{number}") for number in range(20)]
    with Switch(socket_path, address) as switch:
        async with a_daemon(switch.address, clock, *crons) as daemon:
            before = switch.round_trips
            await daemon.tick_at(at(0, 5))

            assert switch.round_trips == before + 3  # fire, note the next fire times, promote
    assert len(queue(store)) == 20


# The loop.


@asynccontextmanager
async def running(daemon: Daemon) -> AsyncIterator[asyncio.Task[None]]:
    stopping = asyncio.Event()
    loop = asyncio.create_task(daemon.scheduler.run(stopping))
    yield loop
    stopping.set()
    daemon.wake.set()
    await loop


async def test_an_earlier_job_wakes_the_loop(store: Store, daemon: Daemon) -> None:
    await daemon.take_up(a_cron())
    async with running(daemon):
        await until(lambda: not daemon.wake.is_set())
        job_id = store.submit(delay=minutes(1))
        store.make_due(job_id)

        daemon.wake.set()

        await until(lambda: queue(store) == [job_id])


async def test_the_loop_survives_an_outage_and_makes_what_came_due_in_it(
    store: Store, address: StoreAddress, clock: FakeClock, socket_path: str
) -> None:
    with Switch(socket_path, address) as switch:
        async with (
            a_daemon(switch.address, clock, a_cron(misfire="skip")) as daemon,
            running(daemon),
        ):
            await until(lambda: not daemon.wake.is_set())
            switch.down()
            clock.set_to(at(0, 5))
            await asyncio.sleep(0.05)
            assert fired(store) == []

            switch.up()
            await until(lambda: fired(store) == [at(0, 5)])


async def test_a_fire_whose_reply_was_lost_is_proposed_again(
    store: Store, address: StoreAddress, clock: FakeClock, socket_path: str
) -> None:
    with Switch(socket_path, address) as switch:
        async with (
            a_daemon(switch.address, clock, a_cron(overlap="queue")) as daemon,
            running(daemon),
        ):
            await until(lambda: not daemon.wake.is_set())
            switch.lose_reply()
            clock.set_to(at(0, 5))
            await until(lambda: fired(store) == [at(0, 5)])
            clock.set_to(at(0, 10))

            await until(lambda: fired(store) == [at(0, 5), at(0, 10)])
    assert fired(store, "tick", JobState.BLOCKED) == [at(0, 10)]


# What `status` shows.


async def test_next_fire_times_are_noted(store: Store, daemon: Daemon) -> None:
    await daemon.take_up(a_cron("tick"), a_cron("nightly", cron="0 2 * * *"))
    assert record(store, "tick").next_fire_at == at(0, 5)
    assert record(store, "nightly").next_fire_at == at(2)

    await daemon.tick_at(at(0, 5))

    assert record(store, "tick").next_fire_at == at(0, 10)
    assert record(store, "nightly").next_fire_at == at(2)


async def test_a_missed_fire_time_is_not_shown_as_the_next_one(
    store: Store, address: StoreAddress, clock: FakeClock
) -> None:
    async with a_daemon(address, clock, a_cron()) as daemon:
        await daemon.tick_at(at(0, 5))
        clock.set_to(at(5))

        await daemon.take_up(a_cron())

        assert record(store).next_fire_at is None
        await daemon.tick()
        assert record(store).next_fire_at == at(5, 5)


async def test_a_cron_that_never_fires_again_has_no_next_fire_time(
    store: Store, daemon: Daemon
) -> None:
    daemon.clock.set_to(datetime(9950, 1, 1, tzinfo=UTC))

    await daemon.take_up(a_cron())

    assert record(store).next_fire_at is None
