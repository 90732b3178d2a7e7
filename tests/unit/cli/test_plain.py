"""Words of a command line become values without pydantic; typer's private names still fit."""

from datetime import timedelta
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import pytest
import typer

from jobrunner.cli.plain import use_plain_conversion
from jobrunner.manifest.units import parse_duration


class Size(StrEnum):
    SMALL = "small"
    LARGE = "large"


def parsed(*words: str) -> dict[str, Any]:
    """What a command with an option of each kind is given for these words."""
    given: dict[str, Any] = {}

    def command(
        names: Annotated[list[str] | None, typer.Argument()] = None,
        size: Annotated[Size, typer.Option()] = Size.SMALL,
        sizes: Annotated[list[Size] | None, typer.Option()] = None,
        count: Annotated[int, typer.Option(min=1, max=9)] = 1,
        ratio: Annotated[float | None, typer.Option()] = None,
        path: Annotated[Path | None, typer.Option()] = None,
        within: Annotated[timedelta | None, typer.Option(parser=parse_duration)] = None,
        loud: Annotated[bool, typer.Option()] = False,
    ) -> None:
        given.update(
            names=names,
            size=size,
            sizes=sizes,
            count=count,
            ratio=ratio,
            path=path,
            within=within,
            loud=loud,
        )

    app = typer.Typer(add_completion=False)
    app.command()(command)
    built = typer.main.get_command(app)
    use_plain_conversion(built)
    with built.make_context("test", list(words)) as ctx:
        built.invoke(ctx)
    return given


def test_defaults_stay_as_they_are() -> None:
    assert parsed() == {
        "names": None,
        "size": Size.SMALL,
        "sizes": None,
        "count": 1,
        "ratio": None,
        "path": None,
        "within": None,
        "loud": False,
    }


def test_words_become_values_of_the_options_type() -> None:
    given = parsed(
        *("a", "b", "--size", "large", "--sizes", "small", "--sizes", "large", "--count", "9"),
        *("--ratio", "0.5", "--path", "x/y", "--within", "5m", "--loud"),
    )

    assert given == {
        "names": ["a", "b"],
        "size": Size.LARGE,
        "sizes": [Size.SMALL, Size.LARGE],
        "count": 9,
        "ratio": 0.5,
        "path": Path("x/y"),
        "within": timedelta(minutes=5),
        "loud": True,
    }


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--size", "lrge"), "'lrge' is none of small, large; did you mean 'large'?"),
        (("--count", "x"), "'x' is not a whole number"),
        (("--count", "0"), "0 is less than 1"),
        (("--count", "10"), "10 is more than 9"),
        (("--ratio", "x"), "'x' is not a number"),
        (("--within", "soon"), "'soon' is not a duration"),
    ],
)
def test_a_word_that_does_not_fit_says_why(words: tuple[str, str], message: str) -> None:
    with pytest.raises(typer.BadParameter) as caught:
        parsed(*words)

    assert message in str(caught.value)
    assert words[0] in caught.value.format_message()
