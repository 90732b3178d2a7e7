"""A manifest's tree: values that know where they stand, and how unquoted ones are read.

The core rules of YAML 1.2 hold: only `true` and `false` are booleans, `1:30` and `2026-11-21` are
texts. So are numbers with a leading zero (`027`, `0o27`), of which one reader makes octal numbers
and the next one decimal ones, and numbers that JSON cannot carry exactly.
"""

import math
import re
from dataclasses import dataclass

from jobrunner.errors import Location


@dataclass(frozen=True, slots=True)
class Scalar:
    """One value; `text` as it was written, without quotes."""

    where: Location
    text: str
    value: str | int | float | bool | None


@dataclass(frozen=True, slots=True)
class Items:
    """A list."""

    where: Location
    items: tuple["Node", ...]


@dataclass(frozen=True, slots=True)
class Entry:
    """A key's place, and its value."""

    where: Location
    node: "Node"


@dataclass(frozen=True, slots=True)
class Keys:
    """A mapping, in the order of the file."""

    where: Location
    entries: dict[str, Entry]


Node = Scalar | Items | Keys


_NULL = re.compile(r"~|null|Null|NULL|")
_BOOLEAN = re.compile(r"true|True|TRUE|false|False|FALSE")
_INTEGER = re.compile(r"[-+]?(?:0|[1-9][0-9]{0,18})", re.ASCII)
_HEXADECIMAL = re.compile(r"0x[0-9a-fA-F]{1,15}", re.ASCII)
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|(?:0|[1-9][0-9]*)(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?")
_LARGEST_INTEGER = (1 << 63) - 1  # what JSON readers and scripts can carry


def resolve(text: str) -> str | int | float | bool | None:
    """The value of an unquoted scalar; a text when no rule fits, or when it has no exact value."""
    if _NULL.fullmatch(text):
        return None
    if _BOOLEAN.fullmatch(text):
        return text.lower() == "true"
    if _INTEGER.fullmatch(text) or _HEXADECIMAL.fullmatch(text):
        number = int(text, 0)
        return number if abs(number) <= _LARGEST_INTEGER else text
    if _FLOAT.fullmatch(text) and not _INTEGER.fullmatch(text) and not text.lstrip("+-").isdigit():
        value = float(text)
        return value if math.isfinite(value) else text
    return text
