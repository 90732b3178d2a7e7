"""What `bench` measured, as a table and as JSON."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from jobrunner.cli.columns import Column, fitted_table
from jobrunner.clock import rfc3339

if TYPE_CHECKING:
    from rich.console import RenderableType

    from jobrunner.bench.conditions import Conditions
    from jobrunner.bench.figures import Figure

COLUMNS = (
    Column("PART", 3),
    Column("CASE", 0, least=12),
    Column("FIGURE", 0, least=8),
    Column("MEDIAN", 0, is_number=True),
    Column("RANGE", 2),
    Column("UNIT", 1),
)
FULL_FROM = 100  # larger numbers are shown without digits after the point


def number_text(value: float) -> str:
    """Three digits that count: `23,500`, `17.2`, `0.84`."""
    if abs(value) >= FULL_FROM:
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"


def figures_table(figures: Sequence[Figure], width: int) -> RenderableType:
    """A row per figure."""
    rows = [
        (
            figure.part,
            figure.case,
            figure.name,
            number_text(figure.median),
            f"{number_text(figure.low)} … {number_text(figure.high)}",
            figure.unit,
        )
        for figure in figures
    ]
    return fitted_table(COLUMNS, rows, width)


def conditions_text(conditions: Conditions) -> str:
    """What the figures depend on, in two lines."""
    note = "\nquick run: too short for figures to be quoted" if conditions.is_quick else ""
    return (
        f"\njobrunner {conditions.version}, Python {conditions.python}, {conditions.system}, "
        f"{conditions.processors} processors\n{conditions.store}{note}"
    )


def bench_json(conditions: Conditions, figures: Sequence[Figure]) -> dict[str, Any]:
    """As docs/json.md promises it."""
    return {
        "at": rfc3339(conditions.at),
        "version": conditions.version,
        "python": conditions.python,
        "system": conditions.system,
        "processors": conditions.processors,
        "store": conditions.store,
        "quick": conditions.is_quick,
        "figures": [figure_json(figure) for figure in figures],
    }


def figure_json(figure: Figure) -> dict[str, Any]:
    """One figure, with the value of each run."""
    return {
        "part": figure.part,
        "case": figure.case,
        "name": figure.name,
        "unit": figure.unit,
        "median": figure.median,
        "low": figure.low,
        "high": figure.high,
        "values": list(figure.values),
    }
