"""Instants as options take them, where the clocks of their zone change."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest

from jobrunner.cli.instants import coming_instant, instant_option
from jobrunner.crons import next_fire, parse_cron
from jobrunner.errors import UsageError

BERLIN = ZoneInfo("Europe/Berlin")
CASES = [
    ("Europe/Berlin", "2027-03-28T01:59", "2027-03-28T00:59"),
    ("Europe/Berlin", "2027-03-28T02:00", "2027-03-28T01:00"),
    ("Europe/Berlin", "2027-03-28T02:30", "2027-03-28T01:00"),
    ("Europe/Berlin", "2027-03-28T02:59:59.5", "2027-03-28T01:00"),
    ("Europe/Berlin", "2027-03-28T03:00", "2027-03-28T01:00"),
    ("Europe/Berlin", "2027-03-28T03:01", "2027-03-28T01:01"),
    ("Europe/Berlin", "2027-10-31T02:30", "2027-10-31T00:30"),
    ("America/New_York", "2027-03-14T02:30", "2027-03-14T07:00"),
    ("Africa/Cairo", "2027-04-30", "2027-04-29T22:00"),
    ("Australia/Lord_Howe", "2027-10-03T02:10", "2027-10-02T15:30"),
    ("Pacific/Apia", "2011-12-30T12:00", "2011-12-30T10:00"),
]


@contextmanager
def system_zone(name: str) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TZ", name)
        time.tzset()
        try:
            yield
        finally:
            patch.undo()
            time.tzset()


@pytest.mark.parametrize(("zone", "text", "instant"), CASES)
def test_a_local_time_in_a_gap_is_its_end_and_a_repeated_one_the_first(
    zone: str, text: str, instant: str
) -> None:
    assert instant_option(text, ZoneInfo(zone)) == datetime.fromisoformat(f"{instant}Z")


@pytest.mark.parametrize(("zone", "text", "instant"), CASES)
def test_the_zone_of_the_system_is_asked_by_the_same_rule(
    zone: str, text: str, instant: str
) -> None:
    with system_zone(zone):
        assert instant_option(text, None) == datetime.fromisoformat(f"{instant}Z")


def test_it_is_when_a_fixed_cron_fires() -> None:
    fire = next_fire(
        parse_cron("30 2 * * *", "Europe/Berlin", "x"), datetime(2027, 3, 27, 12, tzinfo=UTC)
    )

    assert instant_option("2027-03-28T02:30", BERLIN) == fire


@pytest.mark.parametrize(
    ("text", "now", "instant"),
    [
        ("03:00", "2027-01-10T01:00", "2027-01-10T02:00"),
        ("03:00", "2027-01-10T02:00", "2027-01-11T02:00"),
        ("00:10", "2027-01-10T23:05", "2027-01-10T23:10"),
        ("03:00:05", "2027-01-10T02:00", "2027-01-10T02:00:05"),
        ("02:30", "2027-03-28T00:30", "2027-03-28T01:00"),
        ("02:30", "2027-03-28T01:00", "2027-03-29T00:30"),
        ("02:30", "2027-10-31T01:00", "2027-11-01T01:30"),
        ("2027-01-10", "2027-02-01T00:00", "2027-01-09T23:00"),
    ],
)
def test_a_time_of_day_is_the_next_one(text: str, now: str, instant: str) -> None:
    found = coming_instant(text, datetime.fromisoformat(f"{now}Z"), BERLIN)

    assert found == datetime.fromisoformat(f"{instant}Z")


@pytest.mark.parametrize("text", ["25:00", "3:00", "03", "12:60", "٠٣:٠٠"])
def test_what_is_no_time_of_day_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="cannot read the instant"):
        coming_instant(text, datetime(2027, 1, 1, tzinfo=UTC), BERLIN)


def test_what_no_instant_can_be_is_out_of_range() -> None:
    with pytest.raises(UsageError, match="'0001-01-01' is out of range"):
        instant_option("0001-01-01", BERLIN)
    with system_zone("America/New_York"), pytest.raises(UsageError, match="is out of range"):
        instant_option("9999-12-31T23:59:59", None)
