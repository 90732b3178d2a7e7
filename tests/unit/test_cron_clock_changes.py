"""Crons through clock changes, against instants worked out by hand. The rules: cron(8), Debian.

New York 2026: 8 March 02:00 -> 03:00 (07:00Z), 1 November 02:00 -> 01:00 (06:00Z).
Berlin 2026: 29 March 02:00 -> 03:00 (01:00Z), 25 October 03:00 -> 02:00 (01:00Z).
Lord Howe 2026: 5 April 02:00 -> 01:30 (4th, 15:00Z), 4 October 02:00 -> 02:30 (3rd, 15:30Z).
"""

from datetime import datetime
from itertools import pairwise

import pytest

from jobrunner.crons import clock_changes, clock_note, fire_span, fire_times, next_fire, parse_cron

NEW_YORK, BERLIN = "America/New_York", "Europe/Berlin"
LORD_HOWE, KOLKATA = "Australia/Lord_Howe", "Asia/Kolkata"

FIXED = [
    # Forward: a skipped time fires once, at the end of the gap.
    (NEW_YORK, "30 2 * * *", ["03-07T07:30", "03-08T07:00", "03-09T06:30"]),
    (NEW_YORK, "0,30 2 * * *", ["03-07T07:30", "03-08T07:00", "03-09T06:00"]),
    (NEW_YORK, "0 2,3 * * *", ["03-07T08:00", "03-08T07:00", "03-09T06:00"]),
    (NEW_YORK, "30 2,3 * * *", ["03-07T08:30", "03-08T07:00", "03-08T07:30", "03-09T06:30"]),
    (NEW_YORK, "0 3 * * *", ["03-07T08:00", "03-08T07:00", "03-09T07:00"]),
    (NEW_YORK, "59 59 1,2 * * *", ["03-08T06:59:59", "03-08T07:00", "03-09T05:59:59"]),
    (NEW_YORK, "30 2 * * mon", ["03-02T07:30", "03-09T06:30"]),
    (BERLIN, "15 2 * * *", ["03-28T01:15", "03-29T01:00", "03-30T00:15"]),
    (LORD_HOWE, "15 2 * * *", ["10-02T15:45", "10-03T15:30", "10-04T15:15"]),
    # Back: a repeated time fires in the first pass only.
    (NEW_YORK, "30 1 * * *", ["10-31T05:30", "11-01T05:30", "11-02T06:30"]),
    (NEW_YORK, "0,30 1,2 * * *", ["11-01T05:00", "11-01T05:30", "11-01T07:00", "11-01T07:30"]),
    (NEW_YORK, "0-59/30 0-23 * * *", ["11-01T05:30", "11-01T07:00", "11-01T07:30"]),
    (BERLIN, "30 2 * * *", ["10-24T00:30", "10-25T00:30", "10-26T01:30"]),
    (LORD_HOWE, "45 1 * * *", ["04-03T14:45", "04-04T14:45", "04-05T15:15"]),
    # No clock changes at all.
    (KOLKATA, "30 2 * * *", ["03-07T21:00", "03-08T21:00", "03-09T21:00"]),
    (KOLKATA, "30 1 * * *", ["10-31T20:00", "11-01T20:00"]),
]

WILD = [
    # Forward: the missing times do not fire.
    (NEW_YORK, "*/30 * * * *", ["03-08T06:30", "03-08T07:00", "03-08T07:30"]),
    (NEW_YORK, "30 * * * *", ["03-08T06:30", "03-08T07:30"]),
    (NEW_YORK, "*/30 2 * * *", ["03-07T07:30", "03-09T06:00"]),
    (NEW_YORK, "@hourly", ["03-08T06:00", "03-08T07:00", "03-08T08:00"]),
    (NEW_YORK, "59 59 * * * *", ["03-08T06:59:59", "03-08T07:59:59"]),
    (BERLIN, "*/20 1-3 * * *", ["03-29T00:40", "03-29T01:00", "03-29T01:20"]),
    (LORD_HOWE, "*/15 * * * *", ["10-03T15:15", "10-03T15:30", "10-03T15:45"]),
    # Back: the repeated times fire in both passes.
    (NEW_YORK, "30 * * * *", ["11-01T04:30", "11-01T05:30", "11-01T06:30", "11-01T07:30"]),
    (
        NEW_YORK,
        "*/30 1 * * *",
        ["11-01T05:00", "11-01T05:30", "11-01T06:00", "11-01T06:30", "11-02T06:00"],
    ),
    (BERLIN, "30 * * * *", ["10-24T23:30", "10-25T00:30", "10-25T01:30", "10-25T02:30"]),
    (LORD_HOWE, "45 * * * *", ["04-04T13:45", "04-04T14:45", "04-04T15:15", "04-04T16:15"]),
    (KOLKATA, "*/30 2 * * *", ["03-07T20:30", "03-07T21:00", "03-08T20:30"]),
]


def utc(text: str, year: int = 2026) -> datetime:
    return datetime.fromisoformat(f"{year}-{text}+00:00")


def check_row(zone: str, expression: str, expected: list[datetime]) -> None:
    """Each fire time follows from the one before, and all of them from the first."""
    cron = parse_cron(expression, zone, "x")
    first, *rest = expected

    assert [next_fire(cron, before) for before, _ in pairwise(expected)] == rest
    assert list(fire_times(cron, first, expected[-1])) == rest
    span = fire_span(cron, first, expected[-1])
    assert span is not None
    assert (span.first, span.last, span.count) == (rest[0], rest[-1], len(rest))


@pytest.mark.parametrize(("zone", "expression", "expected"), FIXED)
def test_a_fixed_cron_fires_once_for_each_of_its_times(
    zone: str, expression: str, expected: list[str]
) -> None:
    check_row(zone, expression, [utc(text) for text in expected])


@pytest.mark.parametrize(("zone", "expression", "expected"), WILD)
def test_a_wild_cron_follows_the_clock(zone: str, expression: str, expected: list[str]) -> None:
    check_row(zone, expression, [utc(text) for text in expected])


@pytest.mark.parametrize(
    ("after", "expected"),
    [
        ("11-01T05:45", "11-02T06:30"),  # 01:45, first pass
        ("11-01T06:00", "11-02T06:30"),  # 01:00, the second pass begins
        ("11-01T06:29:59", "11-02T06:30"),  # just before 01:30 comes again
        ("11-01T06:30", "11-02T06:30"),
    ],
)
def test_a_fixed_cron_asked_within_a_repeated_hour_waits_for_tomorrow(
    after: str, expected: str
) -> None:
    cron = parse_cron("30 1 * * *", NEW_YORK, "x")

    assert next_fire(cron, utc(after)) == utc(expected)


@pytest.mark.parametrize("before_gap_ends", ["03-08T06:59:59", "03-08T06:59:59.999999"])
def test_a_skipped_time_fires_even_when_asked_just_before_the_gap_ends(
    before_gap_ends: str,
) -> None:
    cron = parse_cron("30 2 * * *", NEW_YORK, "x")

    assert next_fire(cron, utc(before_gap_ends)) == utc("03-08T07:00")
    assert next_fire(cron, utc("03-08T07:00")) == utc("03-09T06:30")


def test_a_skipped_midnight_fires_at_one() -> None:
    # Santiago, 6 September 2026: 00:00 -> 01:00 (04:00Z).
    check_row("America/Santiago", "0 0 * * *", [utc("09-05T04:00"), utc("09-06T04:00")])


def test_a_change_of_more_than_three_hours_moves_nothing() -> None:
    # Samoa went over the date line: there was no 30 December 2011.
    noon = [utc("12-28T22:00", 2011), utc("12-29T22:00", 2011), utc("12-30T22:00", 2011)]

    check_row("Pacific/Apia", "0 12 * * *", noon)


def test_a_repeat_of_more_than_three_hours_fires_in_both_passes() -> None:
    # Alaska had 19 October 1867 twice, as it came to the other side of the date line.
    cron = parse_cron("0 9 * * *", "America/Juneau", "x")
    first, second = utc("10-18T17:57:41", 1867), utc("10-19T17:57:41", 1867)

    assert list(fire_times(cron, utc("10-18T12:00", 1867), second)) == [first, second]
    assert list(fire_times(cron, utc("10-19T12:00", 1867), second)) == [second]
    assert clock_note(cron, second) == "clocks go back: 09:00 comes twice, this is the second"


def test_an_interval_knows_no_clock_change() -> None:
    check_row(NEW_YORK, "@every 30m", [utc("03-08T06:30"), utc("03-08T07:00"), utc("03-08T07:30")])


@pytest.mark.parametrize(
    ("zone", "expression", "fire_time", "note"),
    [
        (
            NEW_YORK,
            "30 2 * * *",
            "03-08T07:00",
            "clocks go forward: 02:30 does not exist, fires at 03:00",
        ),
        (
            LORD_HOWE,
            "15 2 * * *",
            "10-03T15:30",
            "clocks go forward: 02:15 does not exist, fires at 02:30",
        ),
        (NEW_YORK, "0 3 * * *", "03-08T07:00", None),
        (NEW_YORK, "*/30 * * * *", "03-08T07:00", None),
        (NEW_YORK, "30 2 * * *", "03-09T06:30", None),
        (
            NEW_YORK,
            "30 1 * * *",
            "11-01T05:30",
            "clocks go back: 01:30 comes twice, fires the first time only",
        ),
        (
            BERLIN,
            "30 * * * *",
            "10-25T00:30",
            "clocks go back: 02:30 comes twice, this is the first",
        ),
        (
            BERLIN,
            "30 * * * *",
            "10-25T01:30",
            "clocks go back: 02:30 comes twice, this is the second",
        ),
        (NEW_YORK, "@every 30m", "11-01T05:30", None),
    ],
)
def test_a_fire_time_in_a_clock_change_is_explained(
    zone: str, expression: str, fire_time: str, note: str | None
) -> None:
    cron = parse_cron(expression, zone, "x")

    assert clock_note(cron, utc(fire_time)) == note


@pytest.mark.parametrize(
    ("zone", "expression", "after", "fire_time", "note"),
    [
        (NEW_YORK, "30 * * * *", "03-08T06:30", "03-08T07:30", "02:30 does not exist and is"),
        (
            NEW_YORK,
            "*/30 * * * *",
            "03-08T06:30",
            "03-08T07:00",
            "02:00 and 02:30 do not exist and",
        ),
        (
            NEW_YORK,
            "*/30 2 * * *",
            "03-07T07:30",
            "03-09T06:00",
            "02:00 and 02:30 do not exist and",
        ),
        (
            NEW_YORK,
            "* * * * *",
            "03-08T06:59",
            "03-08T07:00",
            "60 times from 02:00 to 02:59 do not",
        ),
        (
            LORD_HOWE,
            "*/15 * * * *",
            "10-03T15:15",
            "10-03T15:30",
            "02:00 and 02:15 do not exist and",
        ),
        # A row of fire times in which nothing is missing.
        (NEW_YORK, "*/30 * * * *", "03-08T07:00", "03-08T07:30", None),
        (NEW_YORK, "0 */3 * * *", "03-08T05:00", "03-08T07:00", None),
        (NEW_YORK, "*/30 4 * * *", "03-07T09:30", "03-08T08:00", None),
        (KOLKATA, "*/30 2 * * *", "03-07T21:00", "03-08T20:30", None),
        # A fixed cron makes up for it, at the end of the gap.
        (NEW_YORK, "30 2 * * *", "03-08T07:00", "03-09T06:30", None),
    ],
)
def test_the_times_that_a_wild_cron_skips_are_noted_at_the_next_fire_time(
    zone: str, expression: str, after: str, fire_time: str, note: str | None
) -> None:
    cron = parse_cron(expression, zone, "x")
    assert next_fire(cron, utc(after)) == utc(fire_time)

    found = clock_note(cron, utc(fire_time), utc(after))

    assert (found or "").startswith(f"clocks go forward: {note}" if note else "")
    assert (found is None) == (note is None)


def test_a_correction_of_a_day_is_noted_by_fixed_crons_too() -> None:
    cron = parse_cron("0 2 * * *", "Pacific/Apia", "x")  # 30 December 2011 did not exist there
    before, after = utc("12-29T12:00", 2011), utc("12-30T12:00", 2011)

    assert clock_note(cron, after, before) == (
        "clocks go forward: 02:00 does not exist and is skipped"
    )


def test_clock_changes_of_a_span_are_told_in_order() -> None:
    zone = parse_cron("@daily", BERLIN, "x").zone

    changes = list(clock_changes(zone, utc("03-29T00:59:59"), utc("10-25T01:00")))

    assert [(change.at, change.words) for change in changes] == [
        (utc("03-29T01:00"), "clocks go forward 1h: 02:00 becomes 03:00"),
        (utc("10-25T01:00"), "clocks go back 1h: 03:00 becomes 02:00"),
    ]
    assert list(clock_changes(zone, utc("03-29T01:00"), utc("10-25T00:59:59"))) == []
