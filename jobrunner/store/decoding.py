"""What the store replies, as values: whatever stands there, an answer within bounds or None.

Anybody who can write to the store may have written anything: no bytes that are no text, no number
that is none, is infinite or has thousands of digits, raises here; but in `whole`, which is for the
readers of `store/damage.py`: those tell a damaged field by what is raised.
"""

import math
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from jobrunner.clock import from_ms
from jobrunner.store.requests import Command, Operation

LATEST_MS = 253_402_214_400_000  # the last day of the year 9999: later ones are no instants
LARGEST = 2**63 - 1  # what the server counts with
MOST_DIGITS = 20  # of a whole number; Python itself refuses texts of thousands of them


def text_of(raw: object) -> str:
    """A reply as text, its odd bytes replaced; '' for none."""
    if isinstance(raw, bytes):
        return raw.decode(errors="replace")
    return "" if raw is None else str(raw)


def is_text(raw: bytes) -> bool:
    """Whether it is UTF-8: of what is not, no key can be made."""
    try:
        raw.decode()
    except UnicodeDecodeError:
        return False
    return True


def whole_of(raw: object, least: int = -LARGEST, most: int = LARGEST) -> int | None:
    """The whole number in a field or reply; None for what is none, or out of the range."""
    if isinstance(raw, int):
        number = raw
    elif isinstance(raw, bytes | str) and 0 < len(raw) <= MOST_DIGITS:
        try:
            number = int(raw)
        except ValueError:
            return None
    else:
        return None
    return number if least <= number <= most else None


def whole(text: str) -> int:
    """The whole number in a field, from 0 on. Raises ValueError for what is none."""
    number = whole_of(text, 0)
    if number is None:
        raise ValueError(text[:MOST_DIGITS])
    return number


def score_of(raw: object) -> int:
    """The score of a sorted set as milliseconds: what is no instant is the first or the last."""
    try:
        number = float(raw) if isinstance(raw, bytes | str | int | float) else 0.0
    except ValueError:
        return 0
    if math.isnan(number):
        return 0
    return int(min(max(number, 0.0), float(LATEST_MS)))


def instant_of(raw: object) -> datetime | None:
    """The instant of a field with milliseconds since the epoch; None for what is none."""
    milliseconds = whole_of(raw, 0, LATEST_MS)
    return None if milliseconds is None else from_ms(milliseconds)


def time_of(reply: Sequence[bytes]) -> datetime:
    """The reply to TIME."""
    seconds, micros = reply
    return datetime.fromtimestamp(int(seconds), UTC) + timedelta(microseconds=int(micros))


def read_time() -> Operation[datetime]:
    """The store's time."""
    return time_of((yield Command(("TIME",))))
