"""One field of a cron expression: from its text to the values it stands for.

croniter is given explicit lists of values only, because it reads some spellings its own way: `5-5`
as every value, `22-4` as a range around midnight, `@daily` with a hash id as a hashed time; and it
cannot say which field is wrong.
"""

import difflib
import hashlib
import re
from dataclasses import dataclass

from jobrunner.crons.errors import InvalidCron
from jobrunner.crons.token import Token


@dataclass(frozen=True, slots=True)
class FieldKind:
    """Which values a field may have; `names` begin at `low`."""

    word: str
    low: int
    high: int
    names: tuple[str, ...] = ()
    highest_hashed: int | None = None  # of `H`, where it is not `high`

    @property
    def size(self) -> int:
        return self.high - self.low + 1


SECOND = FieldKind("second", 0, 59)
MINUTE = FieldKind("minute", 0, 59)
HOUR = FieldKind("hour", 0, 23)
# H stays within 1-28: a monthly cron should not miss the months that are shorter than its hash.
DAY = FieldKind("day of month", 1, 31, highest_hashed=28)
MONTH = FieldKind(
    "month",
    1,
    12,
    ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"),
)
WEEKDAY = FieldKind("day of week", 0, 6, ("sun", "mon", "tue", "wed", "thu", "fri", "sat"))
SUNDAY_TOO = 7  # a second name of Sunday, so that 5-7 is a range

_STEPPED = re.compile(r"(?P<base>[^/]*)(?:/(?P<step>[^/]*))?")
_HASHED = re.compile(r"h(?:\((?P<low>\d+)-(?P<high>\d+)\))?", re.ASCII)
_RANDOM = re.compile(r"r(?:\(.*\))?(?:/.*)?")
_NEAREST = re.compile(r"(\d+)w", re.ASCII)
_BEFORE_LAST = re.compile(r"l-\d+w?", re.ASCII)
_LAST_WEEKDAY = re.compile(r"(\w+)l|l(\w+)", re.ASCII)


@dataclass(frozen=True, slots=True)
class Field:
    """`values` are sorted; `specials` are what only a calendar can answer, as croniter spells it:

    `l` the last day of the month, `15w` the weekday nearest to the 15th, `5#2` the second Friday,
    `l5` the last Friday.
    """

    token: Token
    kind: FieldKind
    values: tuple[int, ...]
    specials: tuple[str, ...] = ()

    @property
    def starts_with_star(self) -> bool:
        """The question cron asks for its two special rules; `?` is another spelling of `*`."""
        return self.token.text[:1] in ("*", "?")

    @property
    def is_every(self) -> bool:
        return len(self.values) == self.kind.size


def parse_field(token: Token, kind: FieldKind, cron_name: str) -> Field:
    """The values of one field; `H` is hashed by the cron's name. Raises InvalidCron."""
    if token.text == "?" and kind in (DAY, WEEKDAY):
        return Field(token, kind, tuple(range(kind.low, kind.high + 1)))
    values: set[int] = set()
    specials: list[str] = []
    for item in token.split(","):
        special = _special(item, kind)
        if special is not None:
            specials.append(special)
        else:
            values.update(_values(item, kind, cron_name))
    return Field(token, kind, tuple(sorted(values)), tuple(dict.fromkeys(specials)))


def _special(item: Token, kind: FieldKind) -> str | None:
    if kind is DAY:
        return _special_day(item)
    if kind is WEEKDAY:
        return _special_weekday(item)
    return None


def _special_day(item: Token) -> str | None:
    text = item.text.lower()
    if text == "l":
        return "l"
    if text == "lw":
        return "31w"  # croniter takes a day past the month's end as its last day
    if _BEFORE_LAST.fullmatch(text):
        raise item.refusal(
            f"invalid day of month '{item.text}'",
            why="days cannot be counted back from the last one; L is the last day itself",
            fix="write L, or days that every month has, e.g. 25-28",
        )
    if match := _NEAREST.fullmatch(text):
        return f"{_number(_part(item, match[1]), DAY)}w"
    return None


def _special_weekday(item: Token) -> str | None:
    text = item.text.lower()
    if "#" in text:
        weekday, _, nth = text.partition("#")
        if nth not in ("1", "2", "3", "4", "5"):
            raise item.refusal(
                f"invalid day of week '{item.text}'",
                why="the number after # is which of them in the month, 1 to 5",
                fix=f"write e.g. {weekday}#1 for the first, or {weekday}L for the last",
            )
        return f"{_weekday(_part(item, weekday))}#{nth}"
    if text == "l":
        raise item.refusal(
            f"'{item.text}' alone as day of week",
            why="L is the last of one weekday in the month, which stands before it",
            fix="write e.g. 5L for the last Friday, or 6 for every Saturday",
        )
    if match := _LAST_WEEKDAY.fullmatch(text):
        return f"l{_weekday(_part(item, match[1] or match[2]))}"
    return None


def _part(item: Token, text: str) -> Token:
    """The first place in `item` where `text` (in lower case) stands."""
    offset = item.text.lower().index(text)
    return Token(item.expression, item.start + offset, item.text[offset : offset + len(text)])


def _weekday(token: Token) -> int:
    return _number(token, WEEKDAY) % SUNDAY_TOO


def _values(item: Token, kind: FieldKind, cron_name: str) -> set[int]:
    """The values of `*`, `5`, `1-5`, `H`, `H(0-29)`, each also with a step."""
    text = item.text.lower()
    match = _STEPPED.fullmatch(text)
    if not text or match is None or _RANDOM.fullmatch(text):
        raise _refused_item(item, kind)
    base = Token(item.expression, item.start, item.text[: len(match["base"])])
    step = _step(item, match["step"], kind)
    if hashed := _HASHED.fullmatch(match["base"]):
        return _hashed_values(base, hashed, step, kind, cron_name)
    low, high = _bounds(base, kind, is_open=step is not None)
    values = range(low, high + 1, step or 1)
    return {value % SUNDAY_TOO for value in values} if kind is WEEKDAY else set(values)


def _step(item: Token, text: str | None, kind: FieldKind) -> int | None:
    if text is None:
        return None
    if not re.fullmatch(r"\d{1,4}", text, re.ASCII) or not 1 <= int(text) <= kind.size:
        raise item.refusal(
            f"invalid step '{text}' of the {kind.word}",
            why=f"a step is a number from 1 to {kind.size}; a longer one would never be taken",
            fix="write e.g. */5, or @every 90m for an interval of its own",
        )
    return int(text)


def _bounds(base: Token, kind: FieldKind, *, is_open: bool) -> tuple[int, int]:
    """First and last value; `5` with a step (`is_open`) goes on to the field's end."""
    if base.text == "*":
        return kind.low, kind.high
    ends = base.split("-")
    if len(ends) > 2:
        raise _refused_item(base, kind)
    low = _number(ends[0], kind)
    if len(ends) == 1:
        return low, max(low, kind.high) if is_open else low
    high = _number(ends[1], kind)
    if kind is WEEKDAY and low > 0 and ends[1].text.lower() == "sun":
        high = SUNDAY_TOO
    if low > high:
        raise _wrapping(base, ends[0].text, ends[1].text, kind)
    return low, high


def _number(token: Token, kind: FieldKind) -> int:
    text = token.text.lower()
    if text in kind.names:
        return kind.low + kind.names.index(text)
    if not re.fullmatch(r"\d{1,9}", text, re.ASCII):
        raise _refused_item(token, kind)
    if not kind.low <= int(text) <= _highest(kind):
        raise token.refusal(
            f"{kind.word} {text} is out of range",
            why=f"the {kind.word} is from {kind.low} to {_highest(kind)}",
            fix=f"write a number from {kind.low} to {_highest(kind)}",
        )
    return int(text)


def _highest(kind: FieldKind) -> int:
    return SUNDAY_TOO if kind is WEEKDAY else kind.high


def _hashed_values(
    base: Token, match: re.Match[str], step: int | None, kind: FieldKind, cron_name: str
) -> set[int]:
    """`H` is one value of the range; `H/15` begins within the first 15 and goes on by 15."""
    low, high = kind.low, kind.highest_hashed or kind.high
    if match["low"] is not None:
        low = _number(_part(base, match["low"]), kind)
        high = _number(_part(base, match["high"]), kind)
    if low > high or high > kind.high:
        raise base.refusal(
            f"invalid range of '{base.text}'",
            why=f"H draws the {kind.word} from {kind.low} to {kind.high}, lower end first",
            fix=f"write e.g. H({kind.low}-{kind.high})",
        )
    choices = high - low + 1 if step is None else min(step, high - low + 1)
    first = low + _hash(cron_name, kind) % choices
    return set(range(first, high + 1, step)) if step else {first}


def _hash(cron_name: str, kind: FieldKind) -> int:
    """The same in every process; another one per field, whose word must therefore stay as it is."""
    digest = hashlib.sha256(f"{cron_name}\0{kind.word}".encode()).digest()
    return int.from_bytes(digest[:8], "big")


def _wrapping(base: Token, low: str, high: str, kind: FieldKind) -> InvalidCron:
    ends = (kind.names[0], kind.names[-1]) if low.lower() in kind.names else (kind.low, kind.high)
    return base.refusal(
        f"{kind.word} range '{base.text}' runs backwards",
        why="a range does not go on past the field's end, since programs disagree on what it means",
        fix=f"write it as two: {low}-{ends[1]},{ends[0]}-{high}",
    )


def _refused_item(item: Token, kind: FieldKind) -> InvalidCron:
    why, fix = _why_refused(item.text.lower(), kind)
    return item.refusal(f"invalid {kind.word} '{item.text}'", why=why, fix=fix)


def _why_refused(text: str, kind: FieldKind) -> tuple[str, str]:
    """The reason, and what to write instead."""
    accepted = f"a number from {kind.low} to {_highest(kind)}"
    if kind.names:
        accepted += f", or {kind.names[0]} … {kind.names[-1]}"
    if not text:
        return "nothing stands between the commas, or beside the dash", "remove it"
    if _RANDOM.fullmatch(text):
        return "R draws another time at every start, so daemons would never agree", "use H"
    if close := difflib.get_close_matches(text, kind.names, n=1, cutoff=0.4):
        return f"the {kind.word} is {accepted}", f"did you mean {close[0]}?"
    if text == "?" or "l" in text or "w" in text or "#" in text:
        return (
            "? stands alone, L (last) and W (nearest weekday) go with the day of month,"
            " and # and L with one day of week",
            "write e.g. L, 15W or LW as day of month; 5#2 or 5L as day of week",
        )
    return (
        f"the {kind.word} is {accepted}",
        "write *, a number, a list 1,2, a range 1-5 or a step */5",
    )
