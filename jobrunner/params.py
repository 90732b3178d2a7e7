"""Parameters of tasks: their declaration and the check of a job's arguments. Pure, no pydantic.

Used by the manifest, by clients (with what the daemon published) and again by the worker.
"""

from enum import StrEnum
from typing import Any

import msgspec


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
