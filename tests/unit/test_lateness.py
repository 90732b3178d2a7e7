"""Late fire times in the log: what, how late and why, and never a flood."""

from collections.abc import Callable
from datetime import timedelta

import pytest

from jobrunner.lateness import CLOCK_JUMPED, HELD_UP, NOT_RUNNING, QUIET_S, STORE_AWAY, LateFires
from tests.clock import START, FakeClock

Told = Callable[[], list[dict[str, object]]]


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def late(clock: FakeClock) -> LateFires:
    """Of a scheduler that has been running for a minute."""
    late = LateFires(clock)
    late.look(clock.now())
    late.look(clock.advance(minutes=1))
    return late


@pytest.fixture
def told(caplog: pytest.LogCaptureFixture) -> Told:
    """The fields of the warnings so far."""
    return lambda: [record.__dict__["fields"] for record in caplog.records]


def test_a_late_fire_time_is_told_with_its_delay(
    clock: FakeClock, late: LateFires, told: Told
) -> None:
    late.look(clock.advance(seconds=2.5))
    late.note("nightly", START + timedelta(minutes=1))
    late.tell()

    assert told() == [
        {"cron": "nightly", "fire_time": "2030-05-06T00:01:00Z", "seconds": 2.5, "why": HELD_UP}
    ]


def test_a_fire_time_within_a_second_is_not_late(
    clock: FakeClock, late: LateFires, told: Told
) -> None:
    late.look(clock.advance(seconds=1))
    late.note("nightly", START + timedelta(minutes=1))
    late.tell()

    assert told() == []


def test_a_row_of_late_fire_times_is_one_line(
    clock: FakeClock, late: LateFires, told: Told
) -> None:
    late.look(clock.advance(minutes=1))
    for second in range(50):
        late.note("often", START + timedelta(minutes=1, seconds=second))
    late.tell()

    assert told() == [
        {
            "cron": "often",
            "fire_time": "2030-05-06T00:01:00Z",
            "last": "2030-05-06T00:01:49Z",
            "fires": 50,
            "seconds": 60.0,
            "why": HELD_UP,
        }
    ]


def test_a_cron_is_told_once_a_minute_and_what_came_meanwhile_is_summed_up(
    clock: FakeClock, late: LateFires, told: Told
) -> None:
    for _ in range(3 * int(QUIET_S) // 2):
        late.note("often", clock.now())
        clock.advance(seconds=2)
        late.note("often", clock.now() - timedelta(seconds=2))
        late.tell()
    clock.advance(minutes=1)
    late.tell()

    assert [fields.get("fires", 1) for fields in told()] == [1, 30, 30, 29]


def test_crons_are_told_apart(clock: FakeClock, late: LateFires, told: Told) -> None:
    clock.advance(minutes=1)
    for cron in ("one", "two"):
        late.note(cron, START + timedelta(minutes=1))
    late.tell()

    assert [fields["cron"] for fields in told()] == ["one", "two"]


# Why.


def why(late: LateFires, told: Told, fire_time: timedelta) -> object:
    late.note("nightly", START + fire_time)
    late.tell()
    return told()[0]["why"]


def test_what_was_due_before_the_start_is_late_for_want_of_a_daemon(
    clock: FakeClock, told: Told
) -> None:
    late = LateFires(clock)
    late.look(clock.now())

    assert why(late, told, timedelta(minutes=-5)) == NOT_RUNNING


def test_what_was_due_before_a_jump_of_the_clock_is_late_for_the_jump(
    clock: FakeClock, late: LateFires, told: Told
) -> None:
    late.look(clock.set_to(START + timedelta(hours=1)))

    assert why(late, told, timedelta(minutes=30)) == CLOCK_JUMPED


def test_what_was_due_in_an_outage_is_late_for_the_outage(
    clock: FakeClock, late: LateFires, told: Told
) -> None:
    late.lose_store(until=clock.now() + timedelta(seconds=2))
    clock.advance(seconds=5)

    assert why(late, told, timedelta(minutes=1, seconds=2)) == STORE_AWAY


def test_what_was_due_later_than_the_cause_is_not_put_down_to_it(
    clock: FakeClock, late: LateFires, told: Told
) -> None:
    late.lose_store(until=clock.now())
    clock.advance(seconds=5)

    assert why(late, told, timedelta(minutes=1, seconds=2)) == HELD_UP
