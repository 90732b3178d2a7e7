"""Hashes that something else has written to: what can be read counts, the rest is left out.

Reading must not fail for it: one damaged record would hide all its neighbours in every list.
"""

from collections.abc import Callable, Mapping

import msgspec

# What reading a damaged value raises. OSError: an instant that the system's calendar cannot hold.
UNREADABLE = (
    KeyError,
    ValueError,
    OverflowError,
    OSError,
    RecursionError,
    msgspec.DecodeError,
)

Readers = Mapping[str, Callable[[str], object]]


def damaged_fields(
    fields: Mapping[str, str], readers: Readers, needed: Mapping[str, str]
) -> list[str]:
    """The names of the fields that their readers refuse, and of needed ones that are missing."""
    missing = [name for name in needed if name not in fields]
    return missing + [
        name
        for name, read in readers.items()
        if name in fields and not _can_read(read, fields[name])
    ]


def mended(
    fields: Mapping[str, str], damaged: list[str], needed: Mapping[str, str]
) -> dict[str, str]:
    """The fields without the damaged ones; of the needed ones, these values stand in."""
    return {**needed, **{name: text for name, text in fields.items() if name not in damaged}}


def _can_read(read: Callable[[str], object], text: str) -> bool:
    try:
        read(text)
    except UNREADABLE:
        return False
    return True


def count_of(number: bytes | None) -> int:
    """A counter's value; 0 for one that is missing, or damaged: then nobody knows."""
    try:
        return int(number or 0)
    except ValueError:
        return 0
