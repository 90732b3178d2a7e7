"""Expressions and intervals -> crons, or the reason why not."""

from datetime import timedelta

from jobrunner.crons.calendar import ONE_DAY, Fields, build_calendar, has_a_day, midnights_of
from jobrunner.crons.errors import InvalidCron
from jobrunner.crons.fields import (
    DAY,
    HOUR,
    MINUTE,
    MONTH,
    SECOND,
    WEEKDAY,
    Field,
    parse_field,
)
from jobrunner.crons.model import Cron, Rule
from jobrunner.crons.token import Token, tokens
from jobrunner.crons.zones import find_zone
from jobrunner.manifest.units import format_duration, parse_duration

ALIASES = {
    "@hourly": "0 * * * *",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@weekly": "0 0 * * 0",
    "@monthly": "0 0 1 * *",
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
}
REBOOT = "@reboot"
EVERY = "@every"
SHORTEST_INTERVAL = timedelta(seconds=1)
LONGEST_EXPRESSION = 1000  # characters
KINDS = (SECOND, MINUTE, HOUR, DAY, MONTH, WEEKDAY)


# By the expression, and the cron's name where that has a say. Rules remember what they were asked
# last: those that share them belong to one thread.
KnownRules = dict[tuple[str, str], Rule]
_MIDNIGHT = list(zip(tokens("0 0 0 * * *"), KINDS, strict=True))


def parse_cron(expression: str, timezone: str, name: str, known: KnownRules | None = None) -> Cron:
    """The cron of an expression whose times are local to `timezone`.

    Five fields, or six with seconds first; an alias; `@every 90s`; `@reboot`. `name` decides what
    `H` stands for. `known` has what was read already, and takes up this one. Raises InvalidCron.
    """
    zone = find_zone(timezone)
    if len(expression) > LONGEST_EXPRESSION:
        raise InvalidCron(
            f"a cron expression of {len(expression)} characters",
            why=f"it has at most {LONGEST_EXPRESSION}, enough for every value of each field",
            fix="write ranges and steps in place of lists",
        )
    found = tokens(expression)
    if not found:
        raise InvalidCron(
            "a cron expression is empty", why="it has no fields", fix='write e.g. "0 2 * * *"'
        )
    _refuse_zone(found[0])
    keyword = found[0].text.lower()
    if keyword == EVERY:
        return _parse_every(expression, timezone, name)
    if keyword.startswith("@"):
        _require_alone(found)
        if keyword == REBOOT:
            return Cron(name, expression, zone)
        found = tokens(_expanded(found[0]))
    if known is None:
        return Cron(name, expression, zone, _rule(found, name))
    key = (found[0].expression, name if "h" in found[0].expression.lower() else "")
    if key not in known:
        known[key] = _rule(found, name)
    return Cron(name, expression, zone, known[key])


def interval_cron(interval: timedelta, timezone: str, name: str) -> Cron:
    """The cron of `every: 90s`: fires at the multiples of the interval since 1970-01-01T00:00Z.

    One of whole days fires at midnight in `timezone`, counted from that day: each is then 23 to 25
    hours long where the clocks change. So daemons agree without a state. Raises InvalidCron unless
    it is a whole number of seconds.
    """
    text = format_duration(interval)
    if interval < SHORTEST_INTERVAL or interval % SHORTEST_INTERVAL:
        raise InvalidCron(
            f"the interval {text} cannot be used",
            why="an interval is a whole number of seconds, at least one",
            fix="write e.g. 1s or 90s",
        )
    rule = None
    if interval % ONE_DAY == timedelta(0):
        fields = [parse_field(token, kind, name) for token, kind in _MIDNIGHT]
        rule = Rule(Fields(*fields), midnights_of(interval // ONE_DAY))
    return Cron(name, f"{EVERY} {text}", find_zone(timezone), rule, interval)


def _refuse_zone(first: Token) -> None:
    """Some programs take a zone before the fields."""
    prefix, equals, zone = first.text.partition("=")
    if equals and prefix.upper() in ("TZ", "CRON_TZ"):
        raise first.refusal(
            f"a time zone, {prefix}={zone[:64]},",
            why="an expression holds no zone: the cron has a key of its own for it",
            fix=f"remove it here, and give the cron `timezone: {zone[:64] or 'Europe/Berlin'}`",
        )


def _parse_every(expression: str, timezone: str, name: str) -> Cron:
    text = expression.strip()[len(EVERY) :].strip()
    try:
        interval = parse_duration(text)
    except ValueError as error:
        raise InvalidCron(
            f"the interval of '{expression}' cannot be read",
            why=str(error),
            fix=f"write e.g. {EVERY} 90s",
        ) from None
    return interval_cron(interval, timezone, name)


def _require_alone(found: list[Token]) -> None:
    if len(found) > 1:
        raise found[1].refusal(
            f"unexpected '{found[1].text}'",
            why=f"{found[0].text} stands for a whole expression",
            fix="remove the rest, or write five fields",
        )


def _expanded(token: Token) -> str:
    alias = token.text.lower()
    if alias not in ALIASES:
        raise token.refusal(
            f"unknown alias '{token.text}'",
            why=f"the aliases are {', '.join([*ALIASES, EVERY, REBOOT])}",
            fix="write one of these, or five fields",
        )
    return ALIASES[alias]


def _rule(found: list[Token], name: str) -> Rule:
    _require_five_or_six(found)
    kinds = KINDS[-len(found) :]
    given = [parse_field(token, kind, name) for token, kind in zip(found, kinds, strict=True)]
    if len(given) == 5:
        given.insert(0, Field(Token("0", 0, "0"), SECOND, (0,)))
    fields = Fields(*given)
    calendar = build_calendar(fields)
    _require_possible(fields)
    return Rule(fields, calendar)


def _require_five_or_six(found: list[Token]) -> None:
    if len(found) == 7:
        raise found[6].refusal(
            "a seventh field",
            why="it would be the year, and a cron has none",
            fix="remove it; a cron can be paused or removed when its year is over",
        )
    if len(found) not in (5, 6):
        raise _whole(found).refusal(
            f"{len(found)} field{'s' if len(found) > 1 else ''}",
            why="a cron has five fields: minute, hour, day of month, month, day of week;"
            " or six, with seconds first",
            fix='write e.g. "0 2 * * *"; put it into quotes if a shell may expand the *',
        )


def _whole(found: list[Token]) -> Token:
    first, last = found[0], found[-1]
    end = last.start + len(last.text)
    return Token(first.expression, first.start, first.expression[first.start : end])


def _require_possible(fields: Fields) -> None:
    """Refuse 30 February and the like."""
    if has_a_day(fields):
        return
    day, month, weekday = (f.token.text for f in (fields.day, fields.month, fields.weekday))
    raise fields.day.token.refusal(
        "a date that never comes",
        why=f"no day of month '{day}' is in month '{month}' with day of week '{weekday}'",
        fix="change one of the three; L is the last day of any month",
    )
