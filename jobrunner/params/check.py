"""The check of a job's arguments: of each value, and of all together."""

import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, date, datetime, time
from typing import Any

import msgspec

from jobrunner.clock import rfc3339
from jobrunner.errors import InvalidArguments, quoted
from jobrunner.message import encode_value
from jobrunner.nearest import nearest
from jobrunner.params.spec import ParamSpec, ParamType, shown
from jobrunner.params.text import as_text
from jobrunner.params.use import Misuse, check_together, check_use

MOST_CHOICES = 20  # in a message
LARGEST_INTEGER = (1 << 63) - 1  # what every JSON reader and every script can carry
_WHOLE = re.compile(r"[+-]?[0-9]{1,20}", re.ASCII)
_TRUE, _FALSE = ("true", "yes", "on", "1"), ("false", "no", "off", "0")


class _Fault(msgspec.Struct, frozen=True):
    """One thing that is wrong with the arguments."""

    what: str
    why: str
    fix: str


def check_arguments(
    task: str,
    specs: Sequence[ParamSpec],
    given: Mapping[str, object],
    *,
    from_text: bool,
    today: date,
) -> dict[str, Any]:
    """The arguments of a job as JSON values, defaults filled in; in the order of `specs`.

    With `from_text` the values are texts from a command line. `today` stands for the words `today`
    and `now`: an aware datetime in the caller's zone, or a date (`now` is then its start in UTC).
    A datetime without an offset is taken as UTC. None means "not given", except for type `any`.
    `min` and `max` bind numbers only, `pattern` strings only.
    Raises InvalidArguments, which names every fault.
    """
    known = [spec.name for spec in specs]
    faults = [_unknown(task, name, known) for name in given if name not in known]
    checked: dict[str, Any] = {}
    for spec in specs:
        try:
            if _is_given(spec, given):
                value = given[spec.name]
                checked[spec.name] = check_value(spec, value, from_text=from_text, today=today)
            elif spec.default is not None:
                checked[spec.name] = default_value(spec, today)
            elif spec.required:
                faults.append(_missing(task, spec))
        except ValueError as error:
            faults.append(_unfit(task, spec, error))
    if specs and specs[0].copies:
        try:
            check_together(specs, checked)
        except Misuse as error:
            what = f"the parameters of task {task!r} {error}"
            faults.append(_Fault(what, error.why, error.fix))
    _refuse(faults)
    return checked


def bound_arguments(
    task: str, specs: Sequence[ParamSpec], given: Mapping[str, Any], positional: Sequence[Any]
) -> dict[str, Any]:
    """All arguments by name: positional ones belong to the parameters in their order.

    So that each is checked as what it is. Raises InvalidArguments for too many, or one given twice.
    """
    names = [spec.name for spec in specs[: len(positional)]]
    faults = [
        _Fault(
            f"parameter {name!r} of task {task!r} is given twice",
            "it has a positional argument and a named one",
            "give each argument once, by its name",
        )
        for name in names
        if name in given
    ]
    if len(positional) > len(specs):
        count = f"{len(positional)} positional argument{'s' if len(positional) > 1 else ''}"
        why = f"it accepts {len(specs)}"
        faults.append(_Fault(f"task {task!r} is given {count}", why, "give arguments by name"))
    _refuse(faults)
    return {**dict(zip(names, positional, strict=True)), **given}


def _is_given(spec: ParamSpec, given: Mapping[str, object]) -> bool:
    return given.get(spec.name) is not None or (spec.type is ParamType.ANY and spec.name in given)


def _refuse(faults: Sequence[_Fault]) -> None:
    if faults:
        raise InvalidArguments(
            _joined(fault.what for fault in faults),
            why=_joined(fault.why for fault in faults),
            fix=_joined(fault.fix for fault in faults),
        )


def default_value(spec: ParamSpec, today: date) -> Any:
    """The default as a JSON value; it may be written as a text, whatever the type.

    Raises ValueError, which goes on after "the default …".
    """
    is_text = isinstance(spec.default, str) and spec.type is not ParamType.ANY
    return check_value(spec, spec.default, from_text=is_text, today=today)


def check_value(spec: ParamSpec, value: object, *, from_text: bool, today: date) -> Any:
    """One argument as a JSON value. Raises ValueError: "must be a date …, not 'x'"."""
    try:
        converted = _CONVERTERS[spec.type](value, from_text, today)
    except ValueError as error:
        raise ValueError(f"{error}, not {shown(spec, value)}") from None
    if spec.choices is not None and not _is_choice(spec, converted, today):
        raise ValueError(f"must be {_one_of(spec)}, not {shown(spec, value)}")
    if spec.pattern is not None:
        _check_pattern(spec.pattern, spec, converted)
    if spec.min is not None or spec.max is not None:
        _check_range(spec, converted)
    if spec.copies or spec.refuses_dash:
        check_use(spec, converted)
    return converted


def _is_choice(spec: ParamSpec, value: object, today: date) -> bool:
    """Whether it is one of the choices, as values of the type: `20261121` equals `2026-11-21`."""
    choices = spec.choices or []
    if value in choices and type(choices[choices.index(value)]) is type(value):
        return True  # as it is written: nothing has to be converted
    return value in _choices(spec, today)


def _choices_text(spec: ParamSpec) -> str:
    """The choices, cut short where they are too many to read."""
    choices = spec.choices or []
    more = f", … ({len(choices)} in all)" if len(choices) > MOST_CHOICES else ""
    return ", ".join(as_text(choice) for choice in choices[:MOST_CHOICES]) + more


def _choices(spec: ParamSpec, today: date) -> list[Any]:
    found = []
    for choice in spec.choices or []:
        from_text = isinstance(choice, str)
        try:
            found.append(_CONVERTERS[spec.type](choice, from_text, today))
        except ValueError:
            continue
    return found


def _check_pattern(pattern: str, spec: ParamSpec, value: object) -> None:
    if not isinstance(value, str) or spec.type is not ParamType.STRING:
        return
    from jobrunner.patterns import matches  # few tasks have one, and the CLI starts without it

    if not matches(pattern, value):
        raise ValueError(f"must match {pattern!r}, and {shown(spec, value)} does not")


def _check_range(spec: ParamSpec, value: object) -> None:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return
    if spec.min is not None and value < spec.min:
        raise ValueError(f"must be at least {spec.min:g}, not {shown(spec, value)}")
    if spec.max is not None and value > spec.max:
        raise ValueError(f"must be at most {spec.max:g}, not {shown(spec, value)}")


def _to_string(value: object, _from_text: bool, _today: date) -> str:
    if not isinstance(value, str):
        raise ValueError("must be text")
    if "\0" in value or (not value.isascii() and _has_surrogate(value)):
        raise ValueError("must be text without NUL characters, and valid UTF-8")
    return value


def _has_surrogate(text: str) -> bool:
    return any("\ud800" <= character <= "\udfff" for character in text)


def _to_integer(value: object, from_text: bool, _today: date) -> int:
    number: int | None = None
    if isinstance(value, str):
        if from_text and _WHOLE.fullmatch(value.strip()):
            number = int(value)
    elif isinstance(value, float) and value.is_integer():
        number = int(value)  # other languages write 5 as 5.0
    elif isinstance(value, int) and not isinstance(value, bool):
        number = value
    if number is None:
        raise ValueError("must be a whole number")
    if abs(number) > LARGEST_INTEGER:
        raise ValueError("must be a whole number of 64 bits")
    return number


def _to_number(value: object, from_text: bool, today: date) -> float:
    try:
        if isinstance(value, float) or (isinstance(value, str) and from_text):
            number = float(value)
            if math.isfinite(number):
                return int(number) if _is_whole_text(value) else number
        return _to_integer(value, from_text, today)
    except ValueError:
        raise ValueError("must be a number") from None


def _is_whole_text(value: object) -> bool:
    return isinstance(value, str) and len(value) < 16 and bool(_WHOLE.fullmatch(value.strip()))


def _to_boolean(value: object, from_text: bool, _today: date) -> bool:
    if isinstance(value, bool):
        return value
    word = value.strip().lower() if isinstance(value, str) and from_text else None
    if word in _TRUE:
        return True
    if word in _FALSE:
        return False
    raise ValueError("must be true or false")


def _to_date(value: object, _from_text: bool, today: date) -> str:
    if value == "today":
        value = today.date() if isinstance(today, datetime) else today
    if isinstance(value, date) and not isinstance(value, datetime):
        return value.isoformat()
    try:
        if isinstance(value, str):
            return date.fromisoformat(value.strip()).isoformat()
    except ValueError:
        pass
    raise ValueError("must be a date such as 2026-11-21, or today")


def _to_datetime(value: object, _from_text: bool, today: date) -> str:
    if value == "now":
        value = today if isinstance(today, datetime) else datetime.combine(today, time(), UTC)
    try:
        if isinstance(value, str):
            value = datetime.fromisoformat(value.strip())
        if isinstance(value, datetime):
            return rfc3339(value if value.tzinfo else value.replace(tzinfo=UTC))
    except (ValueError, OverflowError):  # the second: year 1 or 9999, moved by an offset
        pass
    raise ValueError("must be a date and time such as 2026-11-21T02:00:00Z, or now")


def _to_any(value: object, from_text: bool, _today: date) -> Any:
    if from_text and isinstance(value, str):
        try:
            return msgspec.json.decode(value)
        except (msgspec.DecodeError, UnicodeEncodeError, RecursionError):
            return _to_string(value, from_text, _today)
    try:
        return msgspec.json.decode(encode_value(value))
    except (TypeError, ValueError, OverflowError, RecursionError):
        raise ValueError("must be a value that JSON can carry, without NaN and infinity") from None


_CONVERTERS: Mapping[ParamType, Callable[[object, bool, date], Any]] = {
    ParamType.STRING: _to_string,
    ParamType.INTEGER: _to_integer,
    ParamType.NUMBER: _to_number,
    ParamType.BOOLEAN: _to_boolean,
    ParamType.DATE: _to_date,
    ParamType.DATETIME: _to_datetime,
    ParamType.ANY: _to_any,
}


def _unknown(task: str, name: str, known: list[str]) -> _Fault:
    near = nearest(name, known)
    return _Fault(
        f"task {task!r} has no parameter {quoted(name)}",
        f"it accepts {', '.join(known)}" if known else "it accepts no parameters",
        f"rename it to {near[0]!r}" if near else f"leave {quoted(name)} out",
    )


def _missing(task: str, spec: ParamSpec) -> _Fault:
    return _Fault(
        f"parameter {spec.name!r} of task {task!r} is missing",
        f"{spec.name!r} is required and has no default",
        f"give {spec.name!r} {_wanted(spec)}",
    )


def _unfit(task: str, spec: ParamSpec, error: ValueError) -> _Fault:
    what = f"parameter {spec.name!r} of task {task!r} {error}"
    if isinstance(error, Misuse):
        return _Fault(what, error.why, error.fix)
    return _Fault(
        what,
        f"{spec.name!r} is declared as {_declared(spec)}",
        f"give {spec.name!r} {_wanted(spec)}",
    )


def _declared(spec: ParamSpec) -> str:
    parts = [spec.type.value]
    parts += [f"at least {spec.min:g}"] if spec.min is not None else []
    parts += [f"at most {spec.max:g}"] if spec.max is not None else []
    parts += [f"pattern {spec.pattern!r}"] if spec.pattern is not None else []
    return ", ".join(parts)


def _wanted(spec: ParamSpec) -> str:
    return _one_of(spec) if spec.choices else _EXAMPLES[spec.type]


def _one_of(spec: ParamSpec) -> str:
    """The choices; those of a secret may be what it is."""
    return "one of its choices" if spec.secret else f"one of {_choices_text(spec)}"


_EXAMPLES: Mapping[ParamType, str] = {
    ParamType.STRING: "a text",
    ParamType.INTEGER: "a whole number such as 3",
    ParamType.NUMBER: "a number such as 2.5",
    ParamType.BOOLEAN: "true or false",
    ParamType.DATE: "a date such as 2026-11-21",
    ParamType.DATETIME: "a date and time such as 2026-11-21T02:00:00Z",
    ParamType.ANY: "a value that JSON can carry",
}


def _joined(texts: Iterable[str]) -> str:
    return "; ".join(dict.fromkeys(texts))


def secret_names(specs: Iterable[ParamSpec], arguments: Mapping[str, Any]) -> list[str]:
    """Which of the arguments must not be shown."""
    return [spec.name for spec in specs if spec.secret and spec.name in arguments]
