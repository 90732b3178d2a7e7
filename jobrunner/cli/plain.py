"""Conversion of a command line's words without pydantic.

typer converts with pydantic adapters, whose import and construction cost twice what the rest of
a fast command does. Our options are words, numbers, choices, paths and durations; these few
lines convert them. typer keeps the converter of a parameter below a private name: its minor
version is pinned, and the tests of this file hold the contract.
"""

from dataclasses import dataclass
from difflib import get_close_matches
from enum import Enum
from typing import Any, get_args, get_origin

import typer
from typer._click import Command, Context
from typer._coercion import RuntimeParam
from typer.core import TyperArgument, TyperOption, _TyperParameter


@dataclass(frozen=True)
class PlainParam(RuntimeParam):
    """Converts with the option's own `parser`, or with the type itself: `int`, `Path`, an enum."""

    def _coerce_value(self, value: Any, param: _TyperParameter, ctx: Context) -> Any:
        # Defaults come here as well, in their final type.
        if not isinstance(value, (str, list, tuple)):
            return value
        try:
            return self._converted(value)
        except ValueError as error:
            raise typer.BadParameter(str(error), ctx=ctx, param=param) from error

    def _converted(self, value: Any) -> Any:
        origin: Any = get_origin(self.annotation)
        if origin is list:
            (item_type,) = get_args(self.annotation)
            return [self._word(item_type, word) for word in value]
        return self._word(self.annotation, value)

    def _word(self, kind: Any, word: str) -> Any:
        info = self.parameter_info
        if info.parser is not None:
            return info.parser(word)
        if issubclass(kind, Enum):
            return _choice(kind, word)
        if kind in (int, float):
            return _in_range(_number(kind, word), info.min, info.max)
        return kind(word)


def use_plain_conversion(command: Command) -> None:
    """Replace typer's converters of all parameters of the command."""
    for param in command.params:
        if isinstance(param, (TyperOption, TyperArgument)):
            descriptor = param.type_descriptor
            param._runtime_param = PlainParam(descriptor.parameter_info, descriptor.annotation)


def _choice(kind: type[Enum], word: str) -> Enum:
    values = [str(member.value) for member in kind]
    if word in values:
        return kind(word)
    near = get_close_matches(word, values, n=1)
    hint = f"; did you mean '{near[0]}'?" if near else ""
    raise ValueError(f"'{word}' is none of {', '.join(values)}{hint}")


def _number(kind: type[int] | type[float], word: str) -> float:
    try:
        return kind(word)
    except ValueError:
        raise ValueError(f"'{word}' is not a {'whole ' if kind is int else ''}number") from None


def _in_range(number: float, least: float | None, most: float | None) -> float:
    if least is not None and number < least:
        raise ValueError(f"{number} is less than {least}")
    if most is not None and number > most:
        raise ValueError(f"{number} is more than {most}")
    return number
