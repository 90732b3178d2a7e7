"""Durations and sizes as people write them: `90s`, `5m`, `1.5h`, `512M`."""

import re
from datetime import timedelta
from decimal import Decimal

MICROSECONDS = {
    "ms": 1_000,
    "s": 1_000_000,
    "m": 60_000_000,
    "h": 3_600_000_000,
    "d": 86_400_000_000,
    "w": 604_800_000_000,
}
# A century: later instants than now plus this are close to the last year a datetime can hold.
LONGEST = timedelta(days=36_500)

BYTES = {"": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30, "t": 1 << 40}
LARGEST_SIZE = (1 << 63) - 1  # what an rlimit takes

_NUMBER = r"[0-9]{1,30}(?:\.[0-9]{1,30})?"
_DURATION_PART = re.compile(rf"({_NUMBER})\s*(ms|s|m|h|d|w)\s*", re.ASCII)
_DURATION = re.compile(rf"(?:{_DURATION_PART.pattern})+", re.ASCII)
_BARE_NUMBER = re.compile(_NUMBER, re.ASCII)
_SIZE = re.compile(rf"({_NUMBER})\s*([kmgt]?)(?:i?b)?", re.ASCII | re.IGNORECASE)


class TooLong(ValueError):
    """It is a duration, but none that can be added to an instant."""


def parse_duration(value: object) -> timedelta:
    """A duration from `90s`, `5m`, `1h30m`, `1.5h`, `500ms`, or a number of seconds.

    Between zero and 36500 days. Raises ValueError, with the accepted forms, for anything else;
    TooLong, which is one, for what is only too long.
    """
    microseconds = _microseconds(value)
    if microseconds < 0:
        raise ValueError(f"{_shown(value)} is negative; write a duration of zero or more")
    if microseconds > LONGEST // timedelta(microseconds=1):
        raise TooLong(f"{_shown(value)} is too long for a duration; write {LONGEST.days}d or less")
    return timedelta(microseconds=int(microseconds))


def _microseconds(value: object) -> Decimal:
    if isinstance(value, timedelta):
        return Decimal(value // timedelta(microseconds=1))
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return _whole_microseconds(value)
    if isinstance(value, str):
        text = value.strip()
        if _BARE_NUMBER.fullmatch(text):
            return Decimal(text) * MICROSECONDS["s"]
        if _DURATION.fullmatch(text):
            parts = _DURATION_PART.findall(text)
            return sum((Decimal(n) * MICROSECONDS[unit] for n, unit in parts), Decimal(0))
    raise ValueError(
        f"{_shown(value)} is not a duration; write e.g. 90s, 5m, 2h, 1d, 1h30m, "
        "or a number of seconds"
    )


def _whole_microseconds(seconds: float) -> Decimal:
    number = Decimal(seconds)
    if not number.is_finite():
        raise ValueError(f"{seconds} is not a duration; write a finite number of seconds")
    return (number * MICROSECONDS["s"]).to_integral_value()  # 0.1 is not exact as a float


def format_duration(duration: timedelta) -> str:
    """The shortest exact text that `parse_duration` reads back: `1h30m`, `1m30s`, `500ms`."""
    rest = duration // timedelta(microseconds=1)
    sign, rest = ("-", -rest) if rest < 0 else ("", rest)
    if 0 < rest < MICROSECONDS["s"]:
        return f"{sign}{_decimal(rest, MICROSECONDS['ms'])}ms"
    parts = []
    for unit in ("d", "h", "m"):
        count, rest = divmod(rest, MICROSECONDS[unit])
        if count:
            parts.append(f"{count}{unit}")
    if rest or not parts:
        parts.append(f"{_decimal(rest, MICROSECONDS['s'])}s")
    return sign + "".join(parts)


def _decimal(number: int, divisor: int) -> str:
    """`number / divisor`, exact, without trailing zeros."""
    whole, rest = divmod(number, divisor)
    digits = len(str(divisor)) - 1  # the divisor is a power of ten
    return f"{whole}.{rest:0{digits}d}".rstrip("0").rstrip(".")


def parse_size(value: object) -> int:
    """Bytes from `512M`, `1.5G`, `64k`, or a number of bytes; units are powers of 1024.

    Raises ValueError, with the accepted forms, for anything else.
    """
    size = _bytes(value)
    if not 0 <= size <= LARGEST_SIZE:
        raise ValueError(f"{_shown(value)} is out of range for a size; write 0 to 2^63 - 1 bytes")
    return size


def _bytes(value: object) -> int:
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    match = _SIZE.fullmatch(value.strip()) if isinstance(value, str) else None
    if match is None:
        raise ValueError(
            f"{_shown(value)} is not a size; write e.g. 512M, 1.5G, 64k, or a number of bytes"
        )
    return int(Decimal(match[1]) * BYTES[match[2].lower()])


def format_size(size: int) -> str:
    """The shortest exact text that `parse_size` reads back: `512M`, `1000`."""
    for unit in ("t", "g", "m", "k"):
        if size and size % BYTES[unit] == 0:
            return f"{size // BYTES[unit]}{unit.upper()}"
    return str(size)


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "…"
