"""Fire times against plain references that look at every minute, for random expressions."""

import calendar
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from itertools import takewhile
from zoneinfo import ZoneInfo

from hypothesis import given, settings
from hypothesis import strategies as st

from jobrunner.crons import Cron, fire_span, fire_times, next_fire, parse_cron

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
DAY = timedelta(days=1)
# Shortly before clock changes: by an hour, by half an hour, at midnight, over midnight, by a day.
CHANGES = [
    ("America/New_York", datetime(2026, 3, 7, 12, tzinfo=UTC)),
    ("America/New_York", datetime(2026, 10, 31, 12, tzinfo=UTC)),
    ("Australia/Lord_Howe", datetime(2026, 4, 4, 3, tzinfo=UTC)),
    ("Australia/Lord_Howe", datetime(2026, 10, 3, 3, tzinfo=UTC)),
    ("America/Santiago", datetime(2026, 4, 4, 15, tzinfo=UTC)),
    ("America/Santiago", datetime(2026, 9, 5, 15, tzinfo=UTC)),
    ("America/Goose_Bay", datetime(2010, 11, 6, 12, tzinfo=UTC)),
    ("Africa/Casablanca", datetime(2026, 2, 14, 12, tzinfo=UTC)),
    ("Pacific/Apia", datetime(2011, 12, 29, 12, tzinfo=UTC)),
    ("Asia/Kolkata", datetime(2026, 3, 7, 12, tzinfo=UTC)),
]


@dataclass(frozen=True)
class Drawn:
    """A field's text, and the values that were meant."""

    text: str
    values: frozenset[int]


@st.composite
def items(draw: st.DrawFn, low: int, high: int) -> Drawn:
    first = draw(st.integers(low, high))
    last = draw(st.integers(first, high))
    step = draw(st.integers(1, high - low + 1))
    return draw(
        st.sampled_from(
            [
                Drawn("*", frozenset(range(low, high + 1))),
                Drawn(f"*/{step}", frozenset(range(low, high + 1, step))),
                Drawn(str(first), frozenset({first})),
                Drawn(f"{first}/{step}", frozenset(range(first, high + 1, step))),
                Drawn(f"{first}-{last}", frozenset(range(first, last + 1))),
                Drawn(f"{first}-{last}/{step}", frozenset(range(first, last + 1, step))),
            ]
        )
    )


@st.composite
def fields(draw: st.DrawFn, low: int, high: int) -> Drawn:
    drawn = draw(st.lists(items(low, high), min_size=1, max_size=3))
    text = ",".join(item.text for item in drawn)
    return Drawn(text, frozenset().union(*(item.values for item in drawn)))


@st.composite
def expressions(draw: st.DrawFn) -> list[Drawn]:
    """Five fields. Months are left alone, so that most expressions fire soon."""
    month = Drawn("*", frozenset(range(1, 13)))
    parts = [draw(fields(0, 59)), draw(fields(0, 23)), draw(fields(1, 31)), month]
    return [*parts, draw(fields(0, 6))]


def text_of(drawn: list[Drawn]) -> str:
    return " ".join(field.text for field in drawn)


def matches(drawn: list[Drawn], wall: datetime) -> bool:
    minute, hour, day, month, weekday = drawn
    is_day, is_weekday = wall.day in day.values, wall.isoweekday() % 7 in weekday.values
    is_either = day.text[0] != "*" and weekday.text[0] != "*"
    return (
        wall.minute in minute.values
        and wall.hour in hour.values
        and wall.month in month.values
        and ((is_day or is_weekday) if is_either else (is_day and is_weekday))
    )


def every_minute(start: datetime, length: timedelta) -> Iterator[datetime]:
    return (start + number * MINUTE for number in range(length // MINUTE))


def wild_reference(
    drawn: list[Drawn], zone: ZoneInfo, start: datetime, length: timedelta
) -> list[datetime]:
    """Instants at which the clock shows a matching time."""
    return [
        instant
        for instant in every_minute(start, length)
        if matches(drawn, instant.astimezone(zone).replace(tzinfo=None))
    ]


def fixed_reference(
    drawn: list[Drawn], zone: ZoneInfo, start: datetime, length: timedelta
) -> list[datetime]:
    """Each matching time once: PEP 495 tells which of them are skipped or repeated."""
    found = set()
    for wall in every_minute(start.replace(tzinfo=None) - DAY, length + 2 * DAY):
        if not matches(drawn, wall):
            continue
        first, second = (wall.replace(tzinfo=zone, fold=fold).utcoffset() for fold in (0, 1))
        assert first is not None
        assert second is not None
        instants = {(wall - first).replace(tzinfo=UTC)}
        if abs(first - second) > timedelta(hours=3):
            instants = set() if first < second else instants | {(wall - second).replace(tzinfo=UTC)}
        elif first < second:
            instants = {end_of_gap(zone, (wall - second).replace(tzinfo=UTC))}
        found |= instants
    return sorted(instant for instant in found if start <= instant < start + length)


def end_of_gap(zone: ZoneInfo, instant: datetime) -> datetime:
    """The clock changes after `instant`, as the time shown by the later offset was too early."""
    offset = instant.astimezone(zone).utcoffset()
    while instant.astimezone(zone).utcoffset() == offset:
        instant += MINUTE
    return instant


def check_against(cron: Cron, expected: list[datetime], since: datetime, until: datetime) -> None:
    """`since` is before the first expected fire time, `until` not before the last."""
    span = fire_span(cron, since, until)
    told = (span.first, span.last, span.count) if span else None

    assert list(fire_times(cron, since, until)) == expected
    assert told == ((expected[0], expected[-1], len(expected)) if expected else None)


@given(drawn=expressions(), minute=st.integers(0, 50_000_000))
@settings(max_examples=60, deadline=None)
def test_in_utc_it_fires_in_exactly_the_matching_minutes(drawn: list[Drawn], minute: int) -> None:
    start = EPOCH + minute * MINUTE
    cron = parse_cron(text_of(drawn), "UTC", "x")

    expected = wild_reference(drawn, ZoneInfo("UTC"), start, 2 * DAY)

    before = start - MINUTE / 2
    check_against(cron, expected, before, before + 2 * DAY)


@given(drawn=expressions(), change=st.sampled_from(CHANGES))
@settings(max_examples=100, deadline=None)
def test_around_clock_changes_it_agrees_with_the_rule(
    drawn: list[Drawn], change: tuple[str, datetime]
) -> None:
    name, start = change
    cron = parse_cron(text_of(drawn), name, "x")
    is_wild = drawn[0].text[0] == "*" or drawn[1].text[0] == "*"

    reference = wild_reference if is_wild else fixed_reference
    expected = reference(drawn, cron.zone, start, DAY)

    before = start - MINUTE / 2
    check_against(cron, expected, before, before + DAY)


@given(
    drawn=expressions(),
    change=st.sampled_from(CHANGES),
    seconds=st.integers(0, 86_400),
)
@settings(max_examples=100, deadline=None)
def test_next_fire_grows_and_is_what_fire_times_says(
    drawn: list[Drawn], change: tuple[str, datetime], seconds: int
) -> None:
    name, start = change
    cron = parse_cron(text_of(drawn), name, "x")
    after = start + timedelta(seconds=seconds)

    found = [after]
    for _ in range(8):
        found.append(next_fire(cron, found[-1]))

    assert found == sorted(set(found))
    assert list(fire_times(cron, after, found[-1])) == found[1:]


@given(
    drawn=expressions(),
    change=st.sampled_from(CHANGES),
    cuts=st.lists(st.integers(0, 86_400), min_size=1, max_size=5),
)
@settings(max_examples=60, deadline=None)
def test_a_span_is_the_sum_of_its_parts(
    drawn: list[Drawn], change: tuple[str, datetime], cuts: list[int]
) -> None:
    name, begin = change
    cron = parse_cron(text_of(drawn), name, "x")

    ends = [begin + timedelta(seconds=cut) for cut in sorted(cuts)]
    parts = [fire_span(cron, *ends_of) for ends_of in zip([begin, *ends], ends, strict=False)]

    whole = fire_span(cron, begin, ends[-1])
    assert sum(part.count for part in parts if part) == (whole.count if whole else 0)


def special_days(text: str, month: date) -> set[int]:
    """The days of a month that `L`, `15W`, `5#2`, `5L` or a number names."""
    weeks = calendar.Calendar(6).monthdayscalendar(month.year, month.month)
    last = calendar.monthrange(month.year, month.month)[1]
    if text == "L":
        return {last}
    if text.endswith("W"):
        wanted = last if text == "LW" else int(text[:-1])
        weekdays = [day for week in weeks for day in week[1:6] if day]
        return {min(weekdays, key=lambda day: (abs(day - wanted), day))}
    if "#" in text or text.endswith("L"):
        of_weekday = [week[int(text[0])] for week in weeks if week[int(text[0])]]
        nth = slice(-1, None) if text.endswith("L") else slice(int(text[2]) - 1, int(text[2]))
        return set(of_weekday[nth])
    return {int(text)}


@given(
    day=st.sampled_from(["L", "LW", "1W", "15W", "28W", "13", "1,L", "6,15W", "*"]),
    weekday=st.sampled_from(["5#2", "1#5", "0#1", "3L", "0L", "5#1,1L", "*"]),
    month=st.dates(date(2000, 1, 1), date(2080, 1, 1)).map(lambda day: day.replace(day=1)),
)
@settings(max_examples=150, deadline=None)
def test_special_days_are_those_of_the_calendar(day: str, weekday: str, month: date) -> None:
    every_day = set(range(1, calendar.monthrange(month.year, month.month)[1] + 1))
    days, weekdays = (
        every_day
        if field == "*"
        else set().union(*(special_days(text, month) for text in field.split(",")))
        for field in (day, weekday)
    )
    expected = days & weekdays if "*" in (day, weekday) else days | weekdays

    cron = parse_cron(f"0 0 {day} {month.month} {weekday}", "UTC", "x")
    start = datetime(month.year, month.month, 1, tzinfo=UTC) - MINUTE
    found = takewhile(
        lambda fire_time: fire_time.month == month.month,
        fire_times(cron, start, start + timedelta(days=31)),
    )

    assert [fire_time.day for fire_time in found] == sorted(expected)
