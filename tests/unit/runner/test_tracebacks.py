"""Exceptions that answer oddly when they are asked what they are."""

import sys
import traceback
from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from jobrunner.model import JobError
from jobrunner.runner.masking import Masker
from jobrunner.runner.tracebacks import exception_error, exception_names

NOT_UTF8 = "gr\udcfcn.txt"  # a file's name in Latin-1, as os.listdir gives it


class HandsThrough(Exception):
    """Hands attributes through to its payload: a KeyError where Python expects AttributeError."""

    def __getattr__(self, name: str) -> Any:
        return self.__dict__["payload"][name]


class Safe(str):
    """As template engines have it."""

    def __str__(self) -> str:
        return self


class Exits(Exception):
    def __str__(self) -> str:
        sys.exit(3)


class Odd(type):
    __qualname__ = "Odd"

    @property
    def __name__(cls) -> str:  # type: ignore[override]
        raise LookupError


class Named(Exception, metaclass=Odd):
    pass


def with_note() -> Exception:
    error = ValueError("x")
    error.add_note(NOT_UTF8)
    return error


def raised(make: Callable[[], BaseException]) -> BaseException:
    """With a traceback."""
    try:
        raise make()
    except BaseException as error:
        return error


CASES: dict[str, tuple[Callable[[], BaseException], str, str]] = {
    "no utf-8": (lambda: ValueError(f"bad {NOT_UTF8}"), "ValueError", r"bad gr\udcfcn.txt"),
    "note": (with_note, "ValueError", "x"),
    "attributes": (lambda: HandsThrough("gone"), "HandsThrough", "gone"),
    "text of a subclass": (lambda: ValueError(Safe("<b>")), "ValueError", "<b>"),
    "syntax": (
        lambda: SyntaxError("bad template", ("t.html", 3, "column 5", "{{")),  # type: ignore[arg-type]
        "SyntaxError",
        "bad template (t.html, line 3)",
    ),
    "exits": (Exits, "Exits", "(its message cannot be shown: SystemExit)"),
    "metaclass": (lambda: Named("y"), "Named", "y"),
    "module": (lambda: type("Odd", (Exception,), {"__module__": 3})("z"), "Odd", "z"),
}


@pytest.mark.parametrize(("make", "kind", "message"), CASES.values(), ids=CASES)
def test_every_exception_is_told_by_its_own_name_and_text(
    make: Callable[[], BaseException], kind: str, message: str
) -> None:
    error = raised(make)

    told = exception_error(error)

    assert (told.type, told.message) == (kind, message)
    assert "in raised" in (told.traceback or "")
    assert msgspec.json.decode(msgspec.json.encode(told), type=JobError) == told
    assert kind in exception_names(error)


def test_a_stop_that_comes_while_an_exception_is_told_gets_through() -> None:
    class Stop(BaseException):
        pass

    class Interrupted(Exception):
        def __str__(self) -> str:
            raise Stop

    with pytest.raises(Stop):
        exception_error(Interrupted())


def test_a_traceback_that_cannot_be_formatted_still_has_its_frames(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse(*_args: object, **_keywords: object) -> None:
        raise RecursionError

    error = raised(lambda: ValueError("deep"))
    monkeypatch.setattr(traceback.TracebackException, "from_exception", refuse)

    text = exception_error(error).traceback or ""

    assert text.startswith("Traceback (most recent call last):\n")
    assert "in raised" in text
    assert text.endswith("ValueError: deep\n")


@pytest.mark.parametrize(
    ("code", "message"),
    [
        (None, "called sys.exit()"),
        (0, "called sys.exit(0)"),
        (3, "called sys.exit(3)"),
        ("no disk", "no disk"),
    ],
)
def test_a_function_that_exits_is_told_by_its_call(code: str | int | None, message: str) -> None:
    error = exception_error(SystemExit() if code is None else SystemExit(code))

    assert (error.type, error.message) == ("SystemExit", message)


def test_the_name_of_an_exception_is_masked() -> None:
    error = exception_error(type("SUBsecret", (Exception,), {})("x"), Masker(["SUBsecret"]))

    assert error.type == "***"
