"""Intervals of whole days: from local midnight, counted from 1970-01-01, through clock changes."""

from datetime import UTC, datetime, timedelta
from itertools import islice, pairwise

import pytest

from jobrunner.crons import (
    Cron,
    clock_note,
    describe,
    fire_span,
    fire_times,
    interval_note,
    next_fire,
    parse_cron,
)

DAY = timedelta(days=1)


def every(interval: str, zone: str = "UTC") -> Cron:
    return parse_cron(f"@every {interval}", zone, "x")


def utc(text: str) -> datetime:
    return datetime.fromisoformat(f"{text}Z").astimezone(UTC)


def local(cron: Cron, since: str, count: int) -> list[str]:
    found = []
    after = utc(since)
    for _ in range(count):
        after = next_fire(cron, after)
        found.append(f"{after.astimezone(cron.zone):%a %Y-%m-%d %H:%M %Z}")
    return found


def test_a_day_begins_at_midnight_of_the_zone() -> None:
    assert local(every("1d", "Europe/Berlin"), "2026-11-30T12:00", 2) == [
        "Tue 2026-12-01 00:00 CET",
        "Wed 2026-12-02 00:00 CET",
    ]


def test_weeks_count_from_a_thursday() -> None:
    assert local(every("1w", "America/New_York"), "2026-11-30T12:00", 2) == [
        "Thu 2026-12-03 00:00 EST",
        "Thu 2026-12-10 00:00 EST",
    ]


@pytest.mark.parametrize("interval", ["2d", "30d", "48h", "3w"])
def test_days_count_from_the_first_of_january_1970(interval: str) -> None:
    cron = every(interval, "Asia/Kolkata")
    assert cron.interval is not None

    fire_time = next_fire(cron, utc("2026-11-30T12:00")).astimezone(cron.zone)

    past = fire_time.date() - datetime(1970, 1, 1, tzinfo=UTC).date()
    assert past % cron.interval == timedelta(0)
    assert (fire_time.hour, fire_time.minute) == (0, 0)


def test_in_utc_they_fire_as_multiples_do() -> None:
    cron, epoch = every("3d"), datetime(1970, 1, 1, tzinfo=UTC)

    found = list(islice(fire_times(cron, utc("2026-11-30T12:00"), utc("2027-11-30T12:00")), 50))

    assert all((fire_time - epoch) % (3 * DAY) == timedelta(0) for fire_time in found)
    assert all(later - earlier == 3 * DAY for earlier, later in pairwise(found))


def test_days_are_as_long_as_the_clocks_make_them() -> None:
    cron = every("1d", "Europe/Berlin")

    spring = list(fire_times(cron, utc("2027-03-27T12:00"), utc("2027-03-29T12:00")))
    autumn = list(fire_times(cron, utc("2027-10-30T12:00"), utc("2027-11-01T12:00")))

    assert spring[1] - spring[0] == timedelta(hours=23)
    assert autumn[1] - autumn[0] == timedelta(hours=25)


def test_a_midnight_that_does_not_exist_fires_at_the_end_of_the_gap_and_a_repeated_one_once() -> (
    None
):
    cron = every("1d", "America/Havana")  # clocks change at midnight there

    assert local(cron, "2027-03-13T12:00", 2) == [
        "Sun 2027-03-14 01:00 CDT",
        "Mon 2027-03-15 00:00 CDT",
    ]
    assert local(cron, "2027-11-06T12:00", 2) == [
        "Sun 2027-11-07 00:00 CDT",
        "Mon 2027-11-08 00:00 CST",
    ]
    note = clock_note(cron, utc("2027-03-14T05:00"))
    assert note == "clocks go forward: 00:00 does not exist, fires at 01:00"


def test_a_day_that_a_zone_left_out_is_no_second_fire() -> None:
    cron = every("1d", "Pacific/Apia")  # 30 December 2011 did not exist

    found = list(fire_times(cron, utc("2011-12-28T12:00"), utc("2012-01-02T12:00")))

    assert len(set(found)) == len(found)
    assert all(later > earlier for earlier, later in pairwise(found))


def test_a_long_row_is_counted_as_it_fires() -> None:
    cron = every("2d", "Europe/Berlin")
    since, until = utc("2020-01-01T00:00"), utc("2026-01-01T00:00")

    span, found = fire_span(cron, since, until), list(fire_times(cron, since, until))

    assert span is not None
    assert (span.first, span.last, span.count) == (found[0], found[-1], len(found))


@pytest.mark.parametrize("interval", ["90m", "12h", "36h"])
def test_other_intervals_count_from_midnight_utc_and_know_no_zone(interval: str) -> None:
    cron = every(interval, "Europe/Berlin")

    assert cron.rule is None
    assert interval_note(cron) is None


@pytest.mark.parametrize(
    ("interval", "note"),
    [
        ("1d", "whole days count from midnight in Asia/Tokyo"),
        ("2d", "whole days count from midnight in Asia/Tokyo, days from a Thursday, 1970-01-01"),
        ("1w", "whole days count from midnight in Asia/Tokyo, weeks from a Thursday, 1970-01-01"),
    ],
)
def test_from_where_an_interval_counts_is_told(interval: str, note: str) -> None:
    assert interval_note(every(interval, "Asia/Tokyo")) == note


def test_the_schedule_stays_what_it_was_so_that_an_update_goes_on_where_it_was() -> None:
    cron = every("1w", "Europe/Berlin")

    assert (cron.expression, describe(cron)) == ("@every 7d", "every 7 days")
