"""Calls functions of the user: finds them, fills in their parameters, writes their results as JSON.

Imported by function hosts: light.
"""

import functools
import importlib
import inspect
import operator
import types
import typing
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from jobrunner.context import Context
from jobrunner.errors import InvalidArguments
from jobrunner.message import encode_value
from jobrunner.runner.forks import InThisProcess

PLAIN = (str, int, float, bool, list, dict, Any, type(None))  # what JSON gives by itself
Converter = Callable[[Any], Any]


class BadResultValue(Exception):
    """The function returned something that JSON cannot carry."""


@dataclass(frozen=True, slots=True)
class Callee:
    """A function, and how to call it with the arguments of a job."""

    function: Callable[..., Any]
    context_parameter: str | None  # gets a Context
    converters: Mapping[str, Converter]  # of parameters whose type JSON does not know
    uses_taskiq: bool  # has parameters that taskiq has to resolve
    # Of a decorated one. Its arguments are given by position, as calls in a program mostly give
    # them: some decorators (`functools.singledispatch`) ask for that.
    signature: inspect.Signature | None = None

    def call(self, keywords: Mapping[str, Any]) -> Any:
        """Call the function with what `keywords` returned."""
        if self.signature is None:
            return self.function(**keywords)
        bound = self.signature.bind(**keywords)
        return self.function(*bound.args, **bound.kwargs)

    @property
    def is_async(self) -> bool:
        """Whether it runs in an event loop."""
        return inspect.iscoroutinefunction(self.function)

    def keywords(
        self, arguments: Mapping[str, Any], make_context: Callable[[], Context]
    ) -> dict[str, Any]:
        """The arguments as the function wants them. Raises InvalidArguments."""
        keywords = self.converted(arguments)
        if self.context_parameter is not None:
            keywords[self.context_parameter] = make_context()
        return keywords

    def converted(self, arguments: Mapping[str, Any]) -> dict[str, Any]:
        """The arguments with their types, without the context. Raises InvalidArguments."""
        keywords = dict(arguments)
        for name, convert in self.converters.items():
            if name in keywords:
                try:
                    keywords[name] = convert(keywords[name])
                except (msgspec.ValidationError, ValueError, TypeError) as error:
                    raise InvalidArguments(
                        f"parameter {name!r} does not fit: {_reason(error)}",
                        fix="submit the job again with a value of the declared type",
                    ) from error
        return keywords


def load_callee(target: str) -> Callee:
    """What `module:name` holds, with all decorators. Raises what importing the module raises."""
    module, _, name = target.partition(":")
    with InThisProcess():
        imported = importlib.import_module(module)
    found = operator.attrgetter(name)(imported)
    # Asked of the class, since decorators copy the attributes of what they wrap. And not by
    # isinstance: what `@task` returns knows the broker, which is far above.
    undecorated = getattr(type(found), "undecorated", None)
    return callee_of(found if undecorated is None else undecorated(found))


def callee_of(function: Callable[..., Any]) -> Callee:
    """How to call a function."""
    context, uses_taskiq = None, False
    converters: dict[str, Converter] = {}
    hints = _hints(function)
    signature = inspect.signature(function)
    for parameter in signature.parameters.values():
        hint = hints.get(parameter.name, parameter.annotation)
        if _is_context(hint):
            context = parameter.name
        elif _is_dependency(parameter.default) or _is_dependency_hint(hint):
            uses_taskiq = True
        elif (converter := _converter(hint)) is not None:
            converters[parameter.name] = converter
    is_decorated = hasattr(function, "__wrapped__")
    return Callee(function, context, converters, uses_taskiq, signature if is_decorated else None)


def encode_result(value: Any, most: int) -> bytes | None:
    """The value as JSON of at most so many bytes, None for None. Raises BadResultValue."""
    if value is None:
        return None
    try:
        text = encode_value(value, _plain_value)
    except (TypeError, ValueError, OverflowError, RecursionError) as error:
        raise BadResultValue(
            f"the result, of type {type(value).__name__}, cannot be written as JSON: {error}; "
            "return numbers, texts, lists, dictionaries, dataclasses, dates or UUIDs"
        ) from error
    if len(text) > most:
        raise BadResultValue(
            f"the result has {len(text):,} bytes as JSON, more than the {most:,} of bounds.result; "
            "return where the data is, e.g. the path of a file, or raise the bound"
        )
    return text


def _reason(error: Exception) -> str:
    """What does not fit. Pydantic would quote the value cut short: part of a secret, perhaps."""
    if not hasattr(error, "errors"):
        return str(error)
    faults = error.errors(include_input=False, include_url=False)
    places = (".".join(map(str, fault["loc"])) for fault in faults)
    return "; ".join(
        f"{place}: {fault['msg']}" if place else fault["msg"]
        for place, fault in zip(places, faults, strict=True)
    )


def _plain_value(value: Any) -> Any:
    """For what msgspec does not know: pydantic's models and paths."""
    if hasattr(value, "model_dump"):
        return value.model_dump(mode="json")
    if isinstance(value, Path):
        return str(value)
    raise TypeError(f"{type(value).__name__} has no counterpart in JSON")


def _hints(function: Callable[..., Any]) -> dict[str, Any]:
    try:
        return typing.get_type_hints(function, include_extras=True)
    except (NameError, AttributeError, TypeError, SyntaxError):
        return {}  # a name that exists for type checkers only


def _is_context(hint: Any) -> bool:
    if hint is Context or hint in ("Context", "jobrunner.Context"):
        return True
    return Context in typing.get_args(hint)  # Annotated, or optional


# By name, so that taskiq is not loaded for functions that do without it.
def _is_dependency(value: Any) -> bool:
    return type(value).__module__.partition(".")[0] == "taskiq_dependencies"


def _is_dependency_hint(hint: Any) -> bool:
    is_taskiq_context = isinstance(hint, type) and hint.__module__ == "taskiq.context"
    return is_taskiq_context or any(map(_is_dependency, getattr(hint, "__metadata__", ())))


def _converter(hint: Any) -> Converter | None:
    if _is_plain(hint) or hint is inspect.Parameter.empty or isinstance(hint, str):
        return None
    if hint is Path:
        return Path
    if hasattr(hint, "model_validate"):
        return typing.cast(Converter, hint.model_validate)
    try:
        msgspec.json.Decoder(hint)
    except TypeError:
        return None  # a type of the user's own: it gets what JSON gives
    return functools.partial(msgspec.convert, type=hint)


def _is_plain(hint: Any) -> bool:
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        return all(map(_is_plain, typing.get_args(hint)))
    return hint in PLAIN
