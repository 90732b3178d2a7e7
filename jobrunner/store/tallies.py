"""What `stats` counts, as values and texts that add up; `include/tally.lua` writes such texts.

A tally says how often each thing happened: `submitted`, a terminal state, or a time of some size:
`w12` is an attempt that waited, `r12` one that ran so long. Size 0 is less than a millisecond; size
n holds what is longer than GROWTH ** (n - 2) ms and not longer than GROWTH ** (n - 1) ms. So a
percentile that is read from sizes is wrong by at most 5 %: 3.5 % for the width of a size, the rest
for whole milliseconds. The idea is that of DDSketch (Masson, Rim, Lee 2019).
"""

import re
from collections import Counter
from datetime import timedelta
from enum import StrEnum
from math import ceil, floor

Tally = Counter[str]
OVERALL = "*"  # stands for all tasks where tallies are kept by task
GROWTH = 1.035 / 0.965  # as in tally.lua
_PART = re.compile(
    r"(submitted|completed|failed|skipped|cancelled|[rw]\d{1,3})(?:=(\d{1,15}))?", re.ASCII
)


class Time(StrEnum):
    """Which times of an attempt."""

    WAIT = "w"
    RUN = "r"


def read_tally(text: str) -> Tally:
    """The tally of `completed=3,w12`; what cannot be read is left out."""
    found: Tally = Counter()
    for part in text.split(","):
        if match := _PART.fullmatch(part):
            found[match[1]] += int(match[2] or 1)
    return found


def is_tally(text: str) -> bool:
    """Whether all of a text can be read."""
    return not text or all(_PART.fullmatch(part) for part in text.split(","))


def tally_text(tally: Tally) -> str:
    """As `read_tally` reads it. A 1 is not written, as in tally.lua."""
    return ",".join(what if by == 1 else f"{what}={by}" for what, by in tally.items())


def percentile(tally: Tally, time: Time, share: float) -> timedelta | None:
    """The time that this share of the attempts did not exceed; None without attempts."""
    sizes = sorted((int(what[1:]), by) for what, by in tally.items() if _is_size(what, time))
    rank = ceil(share * sum(by for _, by in sizes))
    for size, by in sizes:
        rank -= by
        if rank <= 0:
            return timedelta(milliseconds=milliseconds_of(size))
    return None


def _is_size(what: str, time: Time) -> bool:
    return what[0] == time and what[1:].isdecimal()


def milliseconds_of(size: int) -> int:
    """The whole milliseconds that stand for a size: as far from its least as from its greatest."""
    if size == 0:
        return 0
    least, greatest = floor(GROWTH ** (size - 2)) + 1, floor(GROWTH ** (size - 1))
    return round(2 * least * greatest / (least + greatest))
