"""What a parameter is declared to be."""

from enum import StrEnum
from typing import Any

import msgspec
from msgspec.structs import replace

from jobrunner.errors import MASK, quoted


class ParamType(StrEnum):
    STRING = "string"
    INTEGER = "integer"
    NUMBER = "number"
    BOOLEAN = "boolean"
    DATE = "date"
    DATETIME = "datetime"
    ANY = "any"  # of a Python function's parameter that no other type fits


class ParamSpec(msgspec.Struct, frozen=True, omit_defaults=True):
    """One declared parameter. `default` None with `required` False means "leave it out"."""

    name: str
    type: ParamType = ParamType.STRING
    default: Any = None
    required: bool = True
    choices: list[Any] | None = None
    pattern: str | None = None  # the whole text must match
    min: float | None = None
    max: float | None = None
    secret: bool = False
    description: str = ""
    refuses_dash: bool = False  # a program could take it for an option
    copies: int = 0  # how many arguments and variables of a process hold it


def public(spec: ParamSpec) -> ParamSpec:
    """The parameter as anybody may know it: without the values that a secret has or may have."""
    if not spec.secret:
        return spec
    is_needed = spec.required and spec.default is None
    return replace(spec, default=None, choices=None, required=is_needed)


def shown(spec: ParamSpec, value: object) -> str:
    """The value as a message may have it."""
    return MASK if spec.secret else quoted(value)
