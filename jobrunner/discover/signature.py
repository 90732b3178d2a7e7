"""A function's signature as the parameters of a task."""

import inspect
import types
import typing
from collections.abc import Callable
from datetime import date, datetime
from enum import Enum
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from jobrunner.context import Context
from jobrunner.discover.plain import NotPlain, plain
from jobrunner.errors import JobrunnerError
from jobrunner.params import ParamSpec, ParamType

Shape = tuple[ParamType, list[Any] | None]  # type and choices

TYPES: dict[Any, ParamType] = {
    str: ParamType.STRING,
    int: ParamType.INTEGER,
    float: ParamType.NUMBER,
    bool: ParamType.BOOLEAN,
    date: ParamType.DATE,
    datetime: ParamType.DATETIME,
}
NAMELESS = {
    inspect.Parameter.POSITIONAL_ONLY: "{}, /",
    inspect.Parameter.VAR_POSITIONAL: "*{}",
    inspect.Parameter.VAR_KEYWORD: "**{}",
}


class UnusableFunction(JobrunnerError):
    """The function cannot be performed as a job."""


def params_of(function: Callable[..., Any]) -> list[ParamSpec]:
    """What a job's arguments must be; parameters that taskiq or jobrunner fill in are left out.

    Raises UnusableFunction when an argument could not be given by name.
    """
    try:
        parameters = inspect.signature(function).parameters.values()
    except ValueError as error:
        raise UnusableFunction(
            f"the parameters of {function!r} are unknown",
            why=str(error),
            fix="call it from a function of your own, written in Python",
        ) from error
    hinted = [(each, _hint(function, each.annotation)) for each in parameters]
    return [_spec(each, hint) for each, hint in hinted if not _is_filled_in(each, hint)]


def _hint(function: Callable[..., Any], annotation: Any) -> Any:
    """The annotation, evaluated where it is text; the text itself where that fails."""
    holder = types.SimpleNamespace(__annotations__={"hint": annotation})
    names = getattr(inspect.unwrap(function), "__globals__", {})
    try:
        return typing.get_type_hints(holder, names, include_extras=True)["hint"]
    except (NameError, AttributeError, TypeError, SyntaxError):
        # Imported under TYPE_CHECKING only, or not a type at all: then any value will do.
        return annotation


def _is_filled_in(parameter: inspect.Parameter, hint: Any) -> bool:
    """Whether the value comes from jobrunner or taskiq instead of the job's arguments."""
    if any(_is_dependency(each) for each in (parameter.default, *_metadata(hint))):
        return True
    if isinstance(hint, str):
        return hint.rpartition(".")[2] == "Context"
    return any(each is Context or _is_taskiq_context(each) for each in (hint, *get_args(hint)))


def _metadata(hint: Any) -> tuple[Any, ...]:
    return hint.__metadata__ if get_origin(hint) is Annotated else ()


# By name: discovery must not load taskiq for modules that do without it.
def _is_dependency(value: Any) -> bool:
    return type(value).__module__.partition(".")[0] == "taskiq_dependencies"


def _is_taskiq_context(hint: Any) -> bool:
    return isinstance(hint, type) and f"{hint.__module__}.{hint.__name__}" == (
        "taskiq.context.Context"
    )


def _spec(parameter: inspect.Parameter, hint: Any) -> ParamSpec:
    if parameter.kind in NAMELESS:
        raise UnusableFunction(
            f"parameter '{NAMELESS[parameter.kind].format(parameter.name)}' cannot be filled",
            why="the arguments of a job have names, and are checked by them",
            fix="name each parameter; a decorator of your own needs `@functools.wraps`",
        )
    type_, choices = _shape(hint)
    return ParamSpec(
        parameter.name,
        type_,
        default=_default(parameter),
        required=parameter.default is inspect.Parameter.empty,
        choices=choices,
    )


def _default(parameter: inspect.Parameter) -> Any:
    if parameter.default is inspect.Parameter.empty:
        return None
    try:
        return plain(parameter.default)
    except NotPlain:
        return None  # left out of the call, so that Python itself takes it


def _shape(hint: Any) -> Shape:
    origin = get_origin(hint)
    if origin is Annotated:
        return _shape(get_args(hint)[0])
    if origin in (Union, types.UnionType):
        members = [each for each in get_args(hint) if each is not type(None)]
        return _shape(members[0]) if len(members) == 1 else (ParamType.ANY, None)
    if origin is Literal:
        return _choice_of([each for each in get_args(hint) if each is not None])
    if isinstance(hint, type) and issubclass(hint, Enum):
        return _choice_of([each.value for each in hint])
    if isinstance(hint, typing.NewType):
        return _shape(hint.__supertype__)
    return (TYPES[hint] if isinstance(hint, type) and hint in TYPES else ParamType.ANY), None


def _choice_of(values: list[Any]) -> Shape:
    try:
        choices = [plain(each) for each in values]
    except NotPlain:
        return ParamType.ANY, None
    kinds = {TYPES.get(type(each), ParamType.ANY) for each in choices}
    return (kinds.pop() if len(kinds) == 1 else ParamType.ANY), choices
