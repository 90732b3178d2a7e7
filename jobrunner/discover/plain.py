"""Python values as the JSON that a manifest would hold for them."""

from collections.abc import Mapping
from datetime import date, timedelta
from enum import Enum
from typing import Any


class NotPlain(TypeError):
    """The value has no counterpart in a manifest."""


def plain(value: Any) -> Any:
    """Instants as RFC 3339 text, durations as seconds, an Enum as its value.

    Raises NotPlain for anything that JSON cannot carry.
    """
    match value:
        case Enum():
            return plain(value.value)
        case None | bool() | int() | float() | str():
            return value
        case date():
            return value.isoformat()
        case timedelta():
            return value.total_seconds()
        case Mapping():
            return {str(key): plain(each) for key, each in value.items()}
        case list() | tuple() | set() | frozenset():
            return [plain(each) for each in value]
    raise NotPlain(f"{value!r} is a {type(value).__name__}")
