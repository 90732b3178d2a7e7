"""The wall-clock times an expression names: days by croniter, times of day by arithmetic.

croniter is shown zoneless midnights only. It is right about the calendar (months, `L`, `#`, `W`,
leap years), but not about clock changes, nor about a day of month beside a day of week with `#` or
`W`, which it ANDs. Times of day are numbered, so that those of a long downtime are counted, not
listed.
"""

from bisect import bisect_left
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from functools import lru_cache
from typing import TYPE_CHECKING

from jobrunner.crons.fields import Field

if TYPE_CHECKING:
    from croniter import croniter

ONE_DAY = timedelta(days=1)
FIRST_DAY = date(1970, 1, 1)
REMEMBERED_DAYS = 2  # today and tomorrow
# Between two dates that match: 29 February on a Monday comes every 28 years, but around 2100.
RAREST_YEARS = 40


@dataclass(frozen=True, slots=True)
class Fields:
    """The six fields of an expression."""

    second: Field
    minute: Field
    hour: Field
    day: Field
    month: Field
    weekday: Field

    @property
    def is_wild(self) -> bool:
        """Whether it follows the clock through its changes. Source: cron(8), Debian."""
        return self.minute.starts_with_star or self.hour.starts_with_star

    @property
    def days_are_either(self) -> bool:
        """Whether one matching day field is enough. Source: crontab(5), Debian."""
        return not (self.day.starts_with_star or self.weekday.starts_with_star)


@dataclass(frozen=True, slots=True)
class TimesOfDay:
    """The times of one day, in order, as numbers; nothing is stored per time but within an hour."""

    hours: tuple[int, ...]
    within_hour: tuple[int, ...]  # seconds

    def __len__(self) -> int:
        return len(self.hours) * len(self.within_hour)

    def __getitem__(self, index: int) -> timedelta:
        """The time since midnight."""
        hour, rest = divmod(index, len(self.within_hour))
        return timedelta(seconds=self.hours[hour] * 3600 + self.within_hour[rest])

    def count_before(self, since_midnight: timedelta) -> int:
        """How many times of a day are earlier."""
        hour, rest = divmod(max(0, int(since_midnight.total_seconds())), 3600)
        place = bisect_left(self.hours, hour)
        is_hour = place < len(self.hours) and self.hours[place] == hour
        within = bisect_left(self.within_hour, rest) if is_hour else 0
        return place * len(self.within_hour) + within


@dataclass(frozen=True, slots=True)
class Run:
    """Wall-clock times of one day: those numbered `first` up to `end`, which is not included."""

    midnight: datetime
    first: int
    end: int


class _Croniters:
    """One for each expression, made when they are first asked for: some 100 µs each."""

    def __init__(self, expressions: tuple[str, ...]) -> None:
        self._expressions = expressions
        self._made: list[croniter] = []

    def __iter__(self) -> Iterator["croniter"]:
        if not self._made:
            self._made = [_croniter(expression) for expression in self._expressions]
        return iter(self._made)


class Days:
    """The days that an expression names.

    A cron asks for the same day again at each of its fire times, and croniter takes some 80 µs for
    an answer; so the last answers are remembered.
    """

    def __init__(self, croniters: Iterable["croniter"]) -> None:
        """A day matches when one of them does."""
        self._croniters = croniters
        self._answers = deque[tuple[date, datetime]](maxlen=REMEMBERED_DAYS)  # asked from, found

    def first_from(self, day: date) -> datetime | None:
        """The midnight of the first matching day that is not before `day`."""
        for asked, found in self._answers:
            if asked <= day <= found.date():
                return found
        midnights = (_next_midnight(croniter, day) for croniter in self._croniters)
        midnight = min(filter(None, midnights), default=None)
        if midnight is not None:
            self._answers.append((day, midnight))
        return midnight


class EveryDays:
    """Every so many days, counted from 1970-01-01, a Thursday; so daemons agree without a state."""

    def __init__(self, days: int) -> None:
        self._days = days

    def first_from(self, day: date) -> datetime | None:
        """The midnight of the first such day that is not before `day`."""
        past = (day - FIRST_DAY).days % self._days
        try:
            return datetime.combine(day + timedelta(days=-past % self._days), time())
        except OverflowError:  # the last years that a date can have
            return None


@dataclass(frozen=True, slots=True)
class Calendar:
    """The wall-clock times of an expression, or of an interval of whole days."""

    days: Days | EveryDays
    times: TimesOfDay

    def times_between(self, low: datetime, high: datetime) -> Iterator[datetime]:
        """The times from `low` up to `high`, which is not included."""
        for run in self.runs(low, high):
            for index in range(run.first, run.end):
                yield run.midnight + self.times[index]

    def runs(self, low: datetime, high: datetime) -> Iterator[Run]:
        """The same times by day, without looking at each of them."""
        while low < high:
            midnight = self.days.first_from(low.date())
            if midnight is None or midnight >= high:
                return
            first = self.times.count_before(low - midnight)
            end = self.times.count_before(high - midnight)
            if first < end:
                yield Run(midnight, first, end)
            low = midnight + ONE_DAY

    def first_from(self, low: datetime) -> datetime | None:
        """The first time at or later than `low`; None within RAREST_YEARS years means never."""
        midnight = self.days.first_from(low.date())
        if midnight is not None and self.times.count_before(low - midnight) == len(self.times):
            midnight = self.days.first_from((midnight + ONE_DAY).date())
        if midnight is None:
            return None
        return midnight + self.times[self.times.count_before(low - midnight)]


def _next_midnight(croniter: "croniter", day: date) -> datetime | None:
    from croniter import CroniterBadDateError

    # croniter looks strictly later than its start, which is cut to the minute.
    start = datetime.combine(day, time()) - timedelta(minutes=1)
    try:
        found: datetime = croniter.get_next(datetime, start_time=start)
    except CroniterBadDateError:
        return None
    return found


def midnights_of(days: int) -> Calendar:
    """The midnights of every so many days."""
    return Calendar(EveryDays(days), TimesOfDay((0,), (0,)))


def build_calendar(fields: Fields) -> Calendar:
    """The calendar of parsed fields; it may turn out to have no day at all."""
    minutes, seconds = fields.minute.values, fields.second.values
    within_hour = tuple(minute * 60 + second for minute in minutes for second in seconds)
    days = Days(_Croniters(tuple(_day_expressions(fields))))
    return Calendar(days, TimesOfDay(fields.hour.values, within_hour))


def has_a_day(fields: Fields) -> bool:
    """Whether there is such a day at all: not the 30th of February."""
    return _name_a_day(tuple(_day_expressions(fields)))


# Thousands of crons name few days, and where there is none the search takes some 50 ms.
@lru_cache(maxsize=1024)
def _name_a_day(expressions: tuple[str, ...]) -> bool:
    # Any start will do: each kind of year, by its length and first weekday, comes within
    # RAREST_YEARS.
    return Days(_Croniters(expressions)).first_from(date(2000, 1, 1)) is not None


def _day_expressions(fields: Fields) -> Iterator[str]:
    """Expressions of midnights; together they name the days.

    One for each thing that croniter does not take in a list with others.
    """
    month = "*" if fields.month.is_every else _listed(fields.month.values)
    days, weekdays = _alternatives(fields.day), _alternatives(fields.weekday)
    if fields.days_are_either:
        pairs = [(day, "*") for day in days] + [("*", weekday) for weekday in weekdays]
    else:
        pairs = [(day, weekday) for day in days for weekday in weekdays]
    for day, weekday in pairs:
        yield f"0 0 {day} {month} {weekday}"


def _alternatives(field: Field) -> list[str]:
    if field.is_every:
        return ["*"]
    listed = [_listed(field.values)] if field.values else []
    return listed + list(field.specials)


def _listed(values: tuple[int, ...]) -> str:
    return ",".join(map(str, values))


def _croniter(expression: str) -> "croniter":
    from croniter import croniter

    return croniter(
        expression,
        datetime(1970, 1, 1),  # noqa: DTZ001 - wall-clock time has no zone
        day_or=False,
        max_years_between_matches=RAREST_YEARS,
    )
