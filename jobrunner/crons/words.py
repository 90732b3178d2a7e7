"""Crons in words: the schedule, for a table's column."""

from datetime import timedelta

from jobrunner.crons.calendar import FIRST_DAY, Fields
from jobrunner.crons.fields import MONTH, WEEKDAY, Field
from jobrunner.crons.model import Cron

LONGEST_WORDS = 44  # characters; the expression itself is shorter then
LONGEST_LIST = 3  # of times or days
UNITS = (("day", 86_400), ("hour", 3600), ("minute", 60))
MONTH_NAMES = tuple(name.capitalize() for name in MONTH.names)
WEEKDAY_NAMES = tuple(name.capitalize() for name in WEEKDAY.names)


def describe(cron: Cron) -> str:
    """The schedule in words, without its zone; the expression itself where no short words fit."""
    if cron.is_reboot:
        return "at boot"
    if cron.interval is not None:
        return _interval_words(cron.interval)
    words = _rule_words(cron.rule.fields) if cron.rule else None
    return words if words and len(words) <= LONGEST_WORDS else cron.expression


def interval_note(cron: Cron) -> str | None:
    """From where an interval of whole days counts; None for any other cron."""
    days = cron.interval_days
    if days is None:
        return None
    since = ""
    if days > 1:
        since = f", {'days' if days % 7 else 'weeks'} from a Thursday, {FIRST_DAY}"
    return f"whole days count from midnight in {cron.timezone}{since}"


def _interval_words(interval: timedelta) -> str:
    seconds = int(interval.total_seconds())
    for unit, length in UNITS:
        if seconds % length == 0:
            return _every(seconds // length, unit)
    return f"every {seconds}s" if seconds > 1 else "every second"


def _every(count: int, unit: str) -> str:
    return f"every {unit}" if count == 1 else f"every {count} {unit}s"


def _rule_words(fields: Fields) -> str | None:
    days = _day_words(fields)
    clock_times = _clock_times(fields)
    if days is None:
        return None
    if clock_times is not None:
        return f"{days or 'daily'} at {clock_times}"
    frequency = _frequency(fields)
    return f"{days} {frequency}".strip() if frequency else None


def _clock_times(fields: Fields) -> str | None:
    """`02:00`, or up to three of them; None when they are better told as a frequency."""
    hours, minutes = fields.hour.values, fields.minute.values
    if len(hours) * len(minutes) > LONGEST_LIST or len(fields.second.values) > 1:
        return None
    if len(hours) > 1 and _step(fields.hour) and len(hours) == LONGEST_LIST:
        return None
    second = f":{fields.second.values[0]:02}" if fields.second.values[0] else ""
    return ", ".join(f"{hour:02}:{minute:02}{second}" for hour in hours for minute in minutes)


def _frequency(fields: Fields) -> str | None:
    if fields.second.values != (0,):
        step = _step(fields.second)
        is_always = fields.minute.is_every and fields.hour.is_every
        return _every(step, "second") if step and is_always else None
    minutes = fields.minute.values
    if (step := _step(fields.minute)) and (minutes[0] == 0 or len(minutes) > LONGEST_LIST):
        return _within_hours(_every(step, "minute"), fields)
    if len(minutes) > LONGEST_LIST:
        return None
    at = "" if minutes == (0,) else " at " + ", ".join(f":{minute:02}" for minute in minutes)
    if (step := _step(fields.hour)) and (step == 1 or fields.hour.values[0] == 0):
        return _every(step, "hour") + at
    return _within_hours("every hour", fields) if len(minutes) == 1 else None


def _within_hours(frequency: str, fields: Fields) -> str | None:
    if fields.hour.is_every:
        return frequency
    first, last = fields.hour.values[0], fields.hour.values[-1]
    if last - first + 1 != len(fields.hour.values):
        return None
    minutes = fields.minute.values
    return f"{frequency} {first:02}:{minutes[0]:02}–{last:02}:{minutes[-1]:02}"


def _step(field: Field) -> int | None:
    """The distance of values that go round the field evenly: 15 for 7, 22, 37, 52."""
    values, size = field.values, field.kind.size
    step = size // len(values)
    if len(values) < 2 or values != tuple(range(values[0], size, step)) or values[0] >= step:
        return None
    return step if step * len(values) == size else None


def _day_words(fields: Fields) -> str | None:
    """Empty for every day; None when there are no short words."""
    if fields.days_are_either or not (fields.day.is_every or fields.weekday.is_every):
        return None
    months = None if fields.month.is_every else _ranges(fields.month.values, MONTH_NAMES, 1)
    if fields.day.is_every and fields.weekday.is_every:
        return f"daily in {months}" if months else ""
    if fields.day.is_every and not fields.weekday.specials:
        weekdays = _weekday_words(fields.weekday.values)
        return f"{weekdays} in {months}" if months else weekdays
    if fields.day.is_every and fields.weekday.values:
        return None
    names = _special_weekdays(fields.weekday) if fields.day.is_every else _month_days(fields.day)
    return f"{', '.join(names)} of {months or 'the month'}" if len(names) <= LONGEST_LIST else None


def _weekday_words(values: tuple[int, ...]) -> str:
    from_monday = sorted((value - 1) % 7 for value in values)
    return _ranges(tuple(from_monday), WEEKDAY_NAMES[1:] + WEEKDAY_NAMES[:1], 0)


def _ranges(values: tuple[int, ...], names: tuple[str, ...], low: int) -> str:
    """`Mon–Fri, Sun`: three or more in a row become a range."""
    rows: list[list[int]] = []
    for value in values:
        if rows and value == rows[-1][-1] + 1:
            rows[-1].append(value)
        else:
            rows.append([value])
    words = []
    for row in rows:
        named = [names[value - low] for value in row]
        words += [f"{named[0]}–{named[-1]}"] if len(row) > 2 else named
    return ", ".join(words)


def _special_weekdays(field: Field) -> list[str]:
    return [_special_weekday(special) for special in field.specials]


def _special_weekday(special: str) -> str:
    if special.startswith("l"):
        return f"last {WEEKDAY_NAMES[int(special[1:])]}"
    weekday, nth = special.split("#")
    return f"{_ordinal(int(nth))} {WEEKDAY_NAMES[int(weekday)]}"


def _month_days(field: Field) -> list[str]:
    return [_ordinal(day) for day in field.values] + [_special_day(text) for text in field.specials]


def _special_day(special: str) -> str:
    if special == "l":
        return "last day"
    if special == "31w":
        return "last weekday"
    return f"weekday near the {_ordinal(int(special[:-1]))}"


def _ordinal(number: int) -> str:
    is_teen = 10 <= number % 100 <= 20
    suffix = "th" if is_teen else {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")
    return f"{number}{suffix}"
