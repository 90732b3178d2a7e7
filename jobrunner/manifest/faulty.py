"""Which parts of a manifest have to be left out so that the rest can be checked, too."""

from collections.abc import Sequence
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from jobrunner.manifest.explain import path_of

Part = tuple[str | int, ...]
Faulty = frozenset[Part]

NAMED = ("tasks", "crons")


def faulty_parts(error: ValidationError) -> Faulty:
    """The least parts that hold all errors and can be left out without making new ones."""
    return frozenset(_part(details) for details in error.errors(include_url=False))


def _part(details: ErrorDetails) -> Part:
    path = path_of(details)
    if details["type"] == "missing":
        path = path[:-1]  # what lacks a key goes as a whole
    if path[:1] and path[0] in NAMED:
        return path[:4] if path[2:3] == ("params",) else path[:3]
    return path[:2]


def around(faulty: Faulty) -> Faulty:
    """The faulty parts, and every part that holds one."""
    return frozenset(part[:end] for part in faulty for end in range(len(part) + 1))


def without(data: dict[str, Any], faulty: Faulty) -> dict[str, Any]:
    """A copy of `data` that lacks the faulty parts; each mapping is copied once."""
    return _without(data, [part for part in faulty if part])


def _without(data: dict[str, Any], parts: Sequence[Part]) -> dict[str, Any]:
    below: dict[str, list[Part]] = {}
    for part in parts:
        below.setdefault(str(part[0]), []).append(part[1:])
    rest = {name: value for name, value in data.items() if name not in below}
    for key, deeper in below.items():
        inner = data.get(key)
        # An item of a list takes the list with it: the other items would change their numbers.
        if isinstance(inner, dict) and all(deeper):
            rest[key] = _without(inner, deeper)
    return rest
