"""Instants as the store and people write them; sleep that ends when it should."""

import asyncio
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobrunner.clock import SystemClock, from_ms, rfc3339, to_ms

pytestmark = pytest.mark.anyio
NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)


@given(st.integers(min_value=0, max_value=to_ms(datetime(9999, 1, 1, tzinfo=UTC))))
def test_milliseconds_survive_the_way_to_an_instant_and_back(milliseconds: int) -> None:
    assert to_ms(from_ms(milliseconds)) == milliseconds


def test_an_instant_of_the_store_is_aware_and_in_utc() -> None:
    assert from_ms(to_ms(NOON)) == NOON
    assert from_ms(0).tzinfo is UTC


@pytest.mark.parametrize(
    ("instant", "text"),
    [
        (NOON, "2026-11-21T12:00:00Z"),
        (NOON.replace(microsecond=250_000), "2026-11-21T12:00:00.250Z"),
        (NOON.replace(microsecond=999), "2026-11-21T12:00:00Z"),
        (NOON.astimezone(timezone(timedelta(hours=-5))), "2026-11-21T12:00:00Z"),
        (datetime(1, 1, 1, tzinfo=UTC), "0001-01-01T00:00:00Z"),
    ],
)
def test_instants_are_written_in_utc_with_milliseconds_only_where_there_are_any(
    instant: datetime, text: str
) -> None:
    assert rfc3339(instant) == text


def test_now_is_aware_and_in_utc() -> None:
    assert SystemClock().now().tzinfo is UTC


class ShortClock(SystemClock):
    """Its longest sleep is short enough for a test."""

    LONGEST_SLEEP_S = 0.02


async def slept(clock: SystemClock, instant: datetime, wake: asyncio.Event) -> float:
    """How long a sleep took, seconds."""
    began = clock.monotonic()
    async with asyncio.timeout(5):
        await clock.sleep_until(instant, wake)
    return clock.monotonic() - began


async def test_a_sleep_ends_at_its_instant() -> None:
    clock = SystemClock()

    took = await slept(clock, clock.now() + timedelta(milliseconds=30), asyncio.Event())

    assert 0.025 < took < 1


@pytest.mark.parametrize("ahead", [timedelta(0), timedelta(hours=-1)])
async def test_a_sleep_until_the_past_is_none(ahead: timedelta) -> None:
    clock = SystemClock()

    assert await slept(clock, clock.now() + ahead, asyncio.Event()) < 0.02


async def test_who_is_woken_sleeps_no_longer() -> None:
    clock, wake = SystemClock(), asyncio.Event()
    asyncio.get_running_loop().call_later(0.01, wake.set)

    assert await slept(clock, clock.now() + timedelta(hours=1), wake) < 1


async def test_who_was_woken_before_does_not_sleep() -> None:
    clock, wake = SystemClock(), asyncio.Event()
    wake.set()

    assert await slept(clock, clock.now() + timedelta(hours=1), wake) < 0.02


async def test_no_sleep_is_longer_than_a_clock_may_stay_wrong_unnoticed() -> None:
    # asyncio's timers know nothing of a wall clock that was set, or of a suspend.
    clock = ShortClock()

    assert await slept(clock, clock.now() + timedelta(hours=1), asyncio.Event()) < 1
