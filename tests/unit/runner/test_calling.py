"""How functions are found, called, and how their results are written."""

from __future__ import annotations

import enum
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any
from uuid import UUID

import pytest
from pydantic import BaseModel
from taskiq import TaskiqDepends

from jobrunner.context import Context
from jobrunner.errors import InvalidArguments
from jobrunner.runner.calling import BadResultValue, callee_of, encode_result, load_callee


class Colour(enum.Enum):
    RED = "red"


@dataclass
class Point:
    x: int


class Model(BaseModel):
    day: date


def typed(
    day: date, at: datetime | None, colour: Colour, point: Point, path: Path, model: Model, n: int
) -> None: ...


def with_context(a: int, ctx: Context) -> None: ...


def with_optional_context(ctx: Context | None = None) -> None: ...


def with_taskiq_context(ctx: Annotated[Context, TaskiqDepends()]) -> None: ...


def with_dependency(db: Any = TaskiqDepends(dict)) -> None: ...  # noqa: B008  # taskiq's way


def context() -> Context:
    return Context(job_id="j", task="t", attempt=1, fence="1", queue="q")


def test_arguments_get_the_types_of_their_parameters() -> None:
    given = {
        "day": "2026-11-21",
        "at": "2026-11-21T01:00:00Z",
        "colour": "red",
        "point": {"x": 1},
        "path": "/tmp",
        "model": {"day": "2026-11-21"},
        "n": 3,
    }

    assert callee_of(typed).converted(given) == {
        "day": date(2026, 11, 21),
        "at": datetime(2026, 11, 21, 1, tzinfo=UTC),
        "colour": Colour.RED,
        "point": Point(1),
        "path": Path("/tmp"),
        "model": Model(day=date(2026, 11, 21)),
        "n": 3,
    }


def test_an_argument_that_does_not_fit_is_named() -> None:
    with pytest.raises(InvalidArguments, match="parameter 'day' does not fit"):
        callee_of(typed).converted({"day": "yesterday"})


@pytest.mark.parametrize("function", [with_context, with_optional_context, with_taskiq_context])
def test_the_context_goes_to_the_parameter_that_asks_for_it(function: Callable[..., None]) -> None:
    callee = callee_of(function)
    given = context()

    assert callee.keywords({}, lambda: given) == {"ctx": given}
    assert not callee.uses_taskiq


def test_a_dependency_of_taskiq_is_noticed() -> None:
    assert callee_of(with_dependency).uses_taskiq


@pytest.mark.parametrize(
    ("name", "result"),
    [
        ("doubled_below", 14),
        ("doubled_above", 14),
        ("doubled_alone", 14),
        ("made_sync", 7),
        ("dispatched", 7),
    ],
)
def test_a_function_runs_with_the_decorators_that_stand_above_it(name: str, result: int) -> None:
    callee = load_callee(f"tests.unit.runner.demo:{name}")

    assert callee.call({"n": 7}) == result
    assert not callee.is_async


@pytest.mark.anyio
async def test_a_decorator_that_makes_a_function_asynchronous_decides_where_it_runs() -> None:
    callee = load_callee("tests.unit.runner.demo:threaded")

    assert callee.is_async
    assert await callee.call({"n": 7}) == 7


def test_a_decorated_function_is_called_itself() -> None:
    callee = load_callee("tests.unit.runner.demo:decorated")

    assert callee.function() == "decorated"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, None),
        ({"a": [1, 2.5, True]}, b'{"a":[1,2.5,true]}'),
        (Point(1), b'{"x":1}'),
        ({3}, b"[3]"),
        (date(2026, 1, 2), b'"2026-01-02"'),
        (Decimal("1.5"), b'"1.5"'),
        (UUID(int=1), b'"00000000-0000-0000-0000-000000000001"'),
        (Colour.RED, b'"red"'),
        (Model(day=date(2026, 1, 2)), b'{"day":"2026-01-02"}'),
        (Path("/tmp"), b'"/tmp"'),
    ],
)
def test_results_become_json(value: object, text: bytes | None) -> None:
    assert encode_result(value, 1000) == text


@pytest.mark.parametrize("value", [object(), {"a": [open]}, "\ud800", lambda: 1])
def test_a_result_that_json_cannot_carry_is_refused(value: object) -> None:
    with pytest.raises(BadResultValue, match=f"of type {type(value).__name__}, cannot"):
        encode_result(value, 1000)


@pytest.mark.parametrize("value", [float("nan"), [None, float("inf")], {"a": {"b": -float("inf")}}])
def test_a_number_that_json_has_not_is_refused(value: object) -> None:
    with pytest.raises(BadResultValue, match="JSON has no NaN and no infinity"):
        encode_result(value, 1000)


def test_an_argument_that_a_model_refuses_is_not_quoted() -> None:
    def takes(model: Model) -> None: ...

    with pytest.raises(InvalidArguments) as caught:
        callee_of(takes).converted({"model": {"day": "a-secret-of-many-characters" * 5}})

    assert "'model' does not fit: day: Input should be a valid date" in str(caught.value)
    assert "a-secret" not in str(caught.value)
