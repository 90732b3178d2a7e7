"""Arguments of jobs: types, defaults, what is refused and in which words."""

import json
import math
from datetime import UTC, date, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from jobrunner.errors import InvalidArguments
from jobrunner.params import (
    ParamSpec,
    ParamType,
    as_text,
    bound_arguments,
    check_arguments,
    placeholders,
    public,
    secret_names,
    substitute,
)

TODAY = date(2026, 11, 21)


def check(spec: ParamSpec, value: object, *, from_text: bool = False, today: date = TODAY) -> Any:
    given = {spec.name: value}
    return check_arguments("report", [spec], given, from_text=from_text, today=today)[spec.name]


def refused(
    specs: list[ParamSpec], arguments: dict[str, object], *, from_text: bool = False
) -> InvalidArguments:
    with pytest.raises(InvalidArguments) as caught:
        check_arguments("report", specs, arguments, from_text=from_text, today=TODAY)
    return caught.value


@pytest.mark.parametrize(
    ("kind", "written", "value"),
    [
        ("string", "5", "5"),
        ("integer", "-5", -5),
        ("number", "2.5", 2.5),
        ("number", "3", 3),
        ("boolean", "Yes", True),
        ("boolean", "off", False),
        ("date", "2026-11-20", "2026-11-20"),
        ("date", "today", "2026-11-21"),
        ("datetime", "2026-11-21T02:00:00+01:00", "2026-11-21T01:00:00Z"),
        ("datetime", "2026-11-21 02:00", "2026-11-21T02:00:00Z"),
        ("datetime", "now", "2026-11-21T00:00:00Z"),
        ("any", '{"a": [1]}', {"a": [1]}),
        ("any", "plain", "plain"),
    ],
)
def test_texts_from_a_command_line_become_values_of_the_type(
    kind: str, written: str, value: object
) -> None:
    assert check(ParamSpec("x", ParamType(kind)), written, from_text=True) == value


@pytest.mark.parametrize(
    ("kind", "given_value", "value"),
    [
        ("integer", 5.0, 5),
        ("number", 5, 5),
        ("date", date(2026, 1, 2), "2026-01-02"),
        ("datetime", datetime(2026, 1, 2, tzinfo=UTC), "2026-01-02T00:00:00Z"),
        ("any", None, None),
        ("any", (1, 2), [1, 2]),
    ],
)
def test_values_of_programs_become_json_values(
    kind: str, given_value: object, value: object
) -> None:
    assert check(ParamSpec("x", ParamType(kind)), given_value) == value


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        ("string", 5),
        ("string", "a\0b"),
        ("string", "\udc80"),
        ("integer", "5"),
        ("integer", True),
        ("integer", 5.5),
        ("integer", 1 << 63),
        ("number", float("nan")),
        ("number", "5"),
        ("boolean", 1),
        ("boolean", "true"),
        ("date", "2026-13-01"),
        ("date", datetime(2026, 1, 2, tzinfo=UTC)),
        ("datetime", "soon"),
        ("datetime", datetime(1, 1, 1, tzinfo=timezone(timedelta(hours=5)))),
        ("any", {1j}),
    ],
)
def test_a_value_of_another_type_is_refused(kind: str, value: object) -> None:
    error = refused([ParamSpec("x", ParamType(kind))], {"x": value})

    assert error.what.startswith("parameter 'x' of task 'report' must be ")


def test_a_default_fills_in_for_a_missing_argument() -> None:
    specs = [
        ParamSpec("day", ParamType.DATE, default="today"),
        ParamSpec("at", ParamType.DATETIME, default="now"),
        ParamSpec("size", ParamType.INTEGER, default="5"),
        ParamSpec("note", required=False),
    ]
    now = datetime(2026, 11, 21, 0, 30, tzinfo=timezone(timedelta(hours=1)))

    checked = check_arguments("report", specs, {"note": None}, from_text=False, today=now)

    assert checked == {"day": "2026-11-21", "at": "2026-11-20T23:30:00Z", "size": 5}


def test_choices_are_compared_as_values_of_the_type() -> None:
    spec = ParamSpec("day", ParamType.DATE, choices=["2026-11-21", "today"])

    assert check(spec, "20261121", from_text=True) == "2026-11-21"


def test_a_value_outside_the_choices_is_refused_with_the_choices() -> None:
    error = refused([ParamSpec("region", choices=["eu", "us"])], {"region": "ue"})

    assert error.what == "parameter 'region' of task 'report' must be one of eu, us, not 'ue'"
    assert error.fix == "give 'region' one of eu, us"


@pytest.mark.parametrize(
    ("value", "why"),
    [(0, "must be at least 1, not 0"), (11, "must be at most 10, not 11")],
)
def test_a_number_out_of_range_is_refused(value: int, why: str) -> None:
    error = refused([ParamSpec("n", ParamType.INTEGER, min=1, max=10)], {"n": value})

    assert error.what == f"parameter 'n' of task 'report' {why}"
    assert error.why == "'n' is declared as integer, at least 1, at most 10"


def test_a_pattern_must_match_the_whole_text() -> None:
    spec = ParamSpec("id", pattern="[a-z]+")

    assert check(spec, "abc") == "abc"
    assert "must match '[a-z]+'" in refused([spec], {"id": "abc1"}).what


def test_every_fault_is_reported_at_once() -> None:
    specs = [ParamSpec("region"), ParamSpec("size", ParamType.INTEGER)]

    error = refused(specs, {"regoin": "eu", "size": "big"}, from_text=True)

    assert error.what == (
        "task 'report' has no parameter 'regoin'; parameter 'region' of task 'report' is missing; "
        "parameter 'size' of task 'report' must be a whole number, not 'big'"
    )
    assert error.why == (
        "it accepts region, size; 'region' is required and has no default; "
        "'size' is declared as integer"
    )
    assert error.fix == (
        "rename it to 'region'; give 'region' a text; give 'size' a whole number such as 3"
    )


def test_a_secret_value_is_never_in_the_message() -> None:
    error = refused([ParamSpec("token", pattern="[a-z]+", secret=True)], {"token": "S3cret"})

    assert "S3cret" not in f"{error.what} {error.why} {error.fix}"


def test_secrets_are_masked() -> None:
    specs = [ParamSpec("token", secret=True), ParamSpec("day")]

    assert secret_names(specs, {"token": "x", "day": "y"}) == ["token"]


@pytest.mark.parametrize(
    ("text", "result"),
    [
        ("/backups/{day}.dump", "/backups/2026-11-21; rm -rf /.dump"),
        ("{n}-{flag}-{gone}.", "5-true-."),
        ("{{day}} {{{n}}} {} {print $1} {{.Names}}", "{day} {{n}} {} {print $1} {{.Names}}"),
        ("${day} ${{day}} $ {n}", "${day} ${{day}} $ 5"),
    ],
)
def test_placeholders_are_replaced_once_and_other_braces_left_alone(text: str, result: str) -> None:
    arguments = {"day": "2026-11-21; rm -rf /", "n": 5, "flag": True}

    assert substitute(text, arguments) == result


def test_an_argument_that_looks_like_a_placeholder_is_not_replaced_again() -> None:
    assert substitute("{a}{b}", {"a": "{b}", "b": "x"}) == "{b}x"


def test_placeholders_are_named_in_order_and_escaped_ones_are_not() -> None:
    assert placeholders("{b}{a}{{c}}{b}{}") == ["b", "a"]


@pytest.mark.parametrize(
    ("value", "text"), [("a b", "a b"), (None, ""), (True, "true"), ([1, "x"], '[1,"x"]')]
)
def test_values_are_written_for_argv_and_environment(value: object, text: str) -> None:
    assert as_text(value) == text


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=5,
)


@given(kind=st.sampled_from(ParamType), value=json_values, from_text=st.booleans())
def test_any_value_is_accepted_as_json_or_refused(
    kind: ParamType, value: object, from_text: bool
) -> None:
    specs = [ParamSpec("x", kind, required=False, min=0, choices=None)]
    try:
        checked = check_arguments("t", specs, {"x": value}, from_text=from_text, today=TODAY)
    except InvalidArguments:
        return

    assert json.loads(json.dumps(checked)) == checked


def test_positional_arguments_are_checked_as_the_parameters_in_their_order() -> None:
    specs = [
        ParamSpec("size", choices=["small", "large"]),
        ParamSpec("name", pattern="[a-z]+", required=False),
    ]

    assert bound_arguments("t", specs, {"name": "x"}, ["small"]) == {"size": "small", "name": "x"}
    with pytest.raises(InvalidArguments, match="'size' of task 't' is given twice"):
        bound_arguments("t", specs, {"size": "small"}, ["large"])
    with pytest.raises(InvalidArguments, match="is given 3 positional arguments"):
        bound_arguments("t", specs, {}, ["small", "x", "y"])


# Values that reach a process.


OPTION = ParamSpec("file", refuses_dash=True, copies=2)


@pytest.mark.parametrize("value", ["-rf", "--", "-"])
def test_a_string_that_a_program_would_take_for_an_option_is_refused(value: str) -> None:
    error = refused([OPTION], {"file": value})

    assert error.what == (
        f"parameter 'file' of task 'report' must not begin with '-', and {value!r} does"
    )
    assert error.why == "it begins a word of the command, where a program takes it for an option"
    assert error.fix is not None
    assert "allow_dash: true" in error.fix


@pytest.mark.parametrize("value", ["a-b", "", " -x", "−x"])
def test_a_dash_elsewhere_is_no_option(value: str) -> None:
    assert check(OPTION, value) == value


def test_the_default_may_begin_with_a_dash_also_when_it_is_given() -> None:
    spec = replace(OPTION, default="-", required=False)

    assert check(spec, "-") == "-"
    assert check_arguments("report", [spec], {}, from_text=False, today=TODAY) == {"file": "-"}


def test_a_negative_number_is_no_option() -> None:
    assert check(ParamSpec("n", ParamType.INTEGER, copies=2), -5) == -5
    assert check(replace(OPTION, type=ParamType.ANY), -5) == -5


def test_a_secret_that_is_refused_for_its_dash_is_not_shown() -> None:
    error = refused([replace(OPTION, secret=True)], {"file": "-sesame"})

    assert "sesame" not in str(error)


@pytest.mark.parametrize("value", ["x" * (131_072 - 6), "é" * ((131_072 - 6) // 2)])
def test_a_value_is_as_long_as_the_system_passes_on_as_a_variable(value: str) -> None:
    spec = ParamSpec("blob", copies=1)

    assert check(spec, value) == value
    error = refused([spec], {"blob": value + "x"})
    assert error.what.endswith("must have at most 131066 bytes, not 131067")
    assert error.why is not None
    assert "variable BLOB" in error.why


def test_a_value_of_a_function_may_be_longer() -> None:
    value = "x" * 200_000

    assert check(ParamSpec("blob"), value) == value


def test_all_values_of_a_process_are_bounded_together() -> None:
    specs = [ParamSpec(f"p{number}", copies=2) for number in range(7)]

    error = refused(specs, {spec.name: "x" * 120_000 for spec in specs})

    assert "too large together: 1680000 bytes" in error.what


def test_the_choices_of_a_secret_are_not_told() -> None:
    spec = ParamSpec("token", secret=True, choices=["sesame", "other"])

    error = refused([spec], {"token": "wrong"})

    told = f"{error.what} {error.why} {error.fix}"
    assert "must be one of its choices, not ***" in told
    assert "sesame" not in told


def test_what_is_public_of_a_secret_is_whether_it_must_be_given() -> None:
    with_default = ParamSpec("t", secret=True, default="x", choices=["x"], required=False)

    assert public(with_default) == ParamSpec("t", secret=True, required=False)
    assert public(ParamSpec("t", secret=True)) == ParamSpec("t", secret=True)
    assert public(ParamSpec("t", default="x")) == ParamSpec("t", default="x")


@pytest.mark.parametrize("value", [float("nan"), [1, float("inf")], {"a": None, "b": -math.inf}])
def test_a_number_that_json_has_not_is_refused_in_any_value(value: object) -> None:
    specs = [ParamSpec("x", ParamType.ANY)]

    with pytest.raises(InvalidArguments, match="without NaN and infinity"):
        check_arguments("t", specs, {"x": value}, from_text=False, today=TODAY)

    assert check_arguments("t", specs, {"x": [None, 1.5]}, from_text=False, today=TODAY)
