"""Many crons on the same second: fired in portions, in a fair order, at a known cost."""

from dataclasses import replace
from datetime import date, datetime

import pytest
from msgspec import structs

from jobrunner.crons.calendar import Days
from jobrunner.firing import ScheduledCron
from jobrunner.scheduler import CRONS_PER_TRIP, FIRES_PER_TICK
from jobrunner.store.address import StoreAddress
from jobrunner.store.submission import submit
from tests.clock import FakeClock
from tests.store.factories import Store, minutes
from tests.store.scheduler.scheduling import Daemon, a_cron, a_daemon, at, queue, record
from tests.store.switch import Switch

pytestmark = pytest.mark.anyio


def crons(count: int) -> list[ScheduledCron]:
    return [a_cron(f"tick-{number:03}") for number in range(count)]


def fired_crons(store: Store) -> list[str]:
    """In the order of their jobs."""
    return [job_id.partition("@")[0] for job_id in queue(store)]


async def test_a_tick_fires_a_portion_and_comes_back_at_once_for_the_rest(
    store: Store, daemon: Daemon
) -> None:
    await daemon.take_up(*crons(FIRES_PER_TICK + 1))

    assert await daemon.tick_at(at(0, 5)) <= at(0, 5)

    assert len(queue(store)) == FIRES_PER_TICK
    assert await daemon.tick() == at(0, 10)
    assert len(queue(store)) == FIRES_PER_TICK + 1


async def test_due_jobs_do_not_wait_for_the_last_of_many_crons(
    store: Store, daemon: Daemon
) -> None:
    await daemon.take_up(*crons(FIRES_PER_TICK + 1))
    submission = store.submission(delay=minutes(1))
    store.run(submit(store.keys, [submission]))
    store.make_due(submission.id)

    await daemon.tick_at(at(0, 5))

    assert submission.id in queue(store)
    assert len(queue(store)) == FIRES_PER_TICK + 1


async def test_who_was_due_first_fires_first_and_those_of_one_second_by_name(
    store: Store, daemon: Daemon
) -> None:
    early = a_cron("z-early", cron="4 * * * *", misfire="once")
    many = crons(FIRES_PER_TICK)
    await daemon.take_up(*reversed(many), early)

    await daemon.tick_at(at(0, 5))
    await daemon.tick()

    assert fired_crons(store) == ["z-early", *(item.name for item in many)]


async def test_no_job_waits_for_the_next_fire_times_of_other_crons(
    store: Store, daemon: Daemon
) -> None:
    many = crons(2 * FIRES_PER_TICK)
    await daemon.take_up(*many)

    await daemon.tick_at(at(0, 5))
    assert record(store, many[0].name).next_fire_at == at(0, 5)

    assert await daemon.tick() == at(0, 10)
    assert {record(store, item.name).next_fire_at for item in many} == {at(0, 10)}


async def test_no_job_waits_for_the_lines_about_those_that_were_late(
    store: Store, daemon: Daemon, caplog: pytest.LogCaptureFixture
) -> None:
    await daemon.take_up(*crons(FIRES_PER_TICK + 1))

    await daemon.tick_at(at(0, 5, 2))
    assert "fired late" not in caplog.messages

    await daemon.tick()
    assert caplog.messages.count("fired late") == FIRES_PER_TICK + 1


async def test_crons_that_are_late_fire_in_turn_each_fire_time_within_grace(
    store: Store, daemon: Daemon
) -> None:
    await daemon.take_up(*(a_cron(name, cron="* * * * * *") for name in ("a", "b")))

    await daemon.serve_until(at(0, 0, 1))
    await daemon.tick_at(at(0, 0, 4))
    await daemon.serve_until(at(0, 0, 4))

    seconds = [job_id[-3:] for job_id in queue(store)]
    assert seconds == ["01Z", "01Z", "02Z", "02Z", "03Z", "03Z", "04Z", "04Z"]


async def test_a_reload_amid_many_fires_keeps_the_crons_that_have_fired(
    store: Store, daemon: Daemon
) -> None:
    many = crons(2 * FIRES_PER_TICK)
    await daemon.take_up(*many)
    await daemon.tick_at(at(0, 5))

    changed = [a_cron(item.name, cron="*/10 * * * *") for item in many]
    await daemon.take_up(*changed)

    assert fired_crons(store) == [item.name for item in many]
    await daemon.serve_until(at(0, 10))
    assert len(queue(store)) == 2 * len(many)


async def test_what_a_killed_scheduler_had_not_fired_is_fired_by_the_next_one(
    store: Store, address: StoreAddress, clock: FakeClock
) -> None:
    many = crons(2 * FIRES_PER_TICK)
    async with a_daemon(address, clock, *many) as killed:
        await killed.tick_at(at(0, 5))

    async with a_daemon(address, clock, *many) as heir:
        while await heir.tick() <= clock.now():
            pass

    assert sorted(fired_crons(store)) == [item.name for item in many]


async def test_a_thousand_fires_cost_sixty_round_trips(
    store: Store, address: StoreAddress, clock: FakeClock, socket_path: str
) -> None:
    count = 1000
    with Switch(socket_path, address) as switch:
        async with a_daemon(switch.address, clock, *crons(count)) as daemon:
            before = switch.round_trips
            clock.set_to(at(0, 5))
            while await daemon.tick() <= clock.now():
                pass

            fires, notes = count // FIRES_PER_TICK, count // CRONS_PER_TRIP
            # The last tick that fires notes next fire times, too; each tick promotes.
            assert switch.round_trips - before == fires + notes + (fires + notes - 1)
    assert len(queue(store)) == count


async def test_crons_are_taken_up_in_portions(
    store: Store, address: StoreAddress, clock: FakeClock, socket_path: str
) -> None:
    with Switch(socket_path, address) as switch:
        async with a_daemon(switch.address, clock) as daemon:
            before = switch.round_trips
            await daemon.take_up(*crons(2 * CRONS_PER_TRIP + 1))

            assert (
                switch.round_trips - before == 1 + 3 * 3
            )  # the time; enrol, read, note what is next
    assert record(store, "tick-000").next_fire_at == at(0, 5)
    assert record(store, f"tick-{2 * CRONS_PER_TRIP:03}").next_fire_at == at(0, 5)


# What a fire costs the processor.


class CountingDays(Days):
    """Counts how often a day is looked for: once for each fire time that is computed."""

    asked = 0

    def first_from(self, day: date) -> datetime | None:
        self.asked += 1
        return super().first_from(day)


@pytest.mark.parametrize("late", [0, 8])
async def test_a_fire_within_grace_computes_one_fire_time_the_next_one(
    store: Store, daemon: Daemon, late: int
) -> None:
    item = a_cron(cron="0 * * * *")
    assert item.cron.rule is not None
    assert isinstance(item.cron.rule.calendar.days, Days)
    days = CountingDays(item.cron.rule.calendar.days._croniters)
    calendar = replace(item.cron.rule.calendar, days=days)
    rule = replace(item.cron.rule, calendar=calendar)
    cron = replace(item.cron, rule=rule)
    await daemon.take_up(structs.replace(item, cron=cron))
    days.asked = 0

    await daemon.tick_at(at(1, 0, late))

    assert len(queue(store)) == 1
    assert days.asked == 1
