"""The fault suite's scenarios, its progress and its report, for people; scenarios as JSON."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Self

from rich.console import Console, Group, RenderableType
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.text import Text

from jobrunner.chaos.document import FIGURE_HEADINGS, ROW_HEADINGS, figure_cells, row_cells
from jobrunner.chaos.report import Break, Report
from jobrunner.chaos.rounds import Round
from jobrunner.chaos.scenario import Scenario
from jobrunner.chaos.suite import Outcome
from jobrunner.cli.columns import Column, fitted_table
from jobrunner.cli.context import CliContext

LIST_COLUMNS = (Column("SCENARIO", 0), Column("STORE", 1), Column("PROMISE", 2, least=20))
ROW_COLUMNS = (
    Column(ROW_HEADINGS[0].upper(), 0),
    *(
        Column(heading.upper(), 8 - place, is_number=True)
        for place, heading in enumerate(ROW_HEADINGS[1:], start=1)
    ),
)
FIGURE_COLUMNS = (
    Column(FIGURE_HEADINGS[0].upper(), 5),
    Column(FIGURE_HEADINGS[1].upper(), 0, least=20),
    *(
        Column(heading.upper(), place, is_number=True)
        for place, heading in zip((4, 1, 2, 3), FIGURE_HEADINGS[2:], strict=True)
    ),
)


def scenarios_table(scenarios: Sequence[Scenario], width: int) -> RenderableType:
    """For `chaos --list`."""
    rows = [
        (scenario.name, "any" if scenario.is_safe else "its own", scenario.promise)
        for scenario in scenarios
    ]
    return fitted_table(LIST_COLUMNS, rows, width)


def scenario_json(scenario: Scenario) -> dict[str, Any]:
    """As docs/json.md promises it."""
    return {
        "name": scenario.name,
        "promise": scenario.promise,
        "is_safe": scenario.is_safe,
        "rounds": scenario.rounds,
        "duration_ms": int(scenario.seconds * 1000),
    }


def report_screen(report: Report, width: int) -> RenderableType:
    """A table of scenarios, one of what was measured, the verdict, and what was broken."""
    rows = [row_cells(row) for row in (*report.rows(), report.total())]
    parts: list[RenderableType] = [fitted_table(ROW_COLUMNS, rows, width), ""]
    if figures := report.figures():
        cells = [figure_cells(figure) for figure in figures]
        parts += [fitted_table(FIGURE_COLUMNS, cells, width), ""]
    parts += [_broken(each) for each in report.breaks()]
    return Group(*parts, _verdict(report))


def _broken(each: Break) -> Text:
    text = Text(f"{each.scenario}: {each.what}\n", style="red")
    text.append(f"  repeat: {each.repeat}\n  look at: {each.folder}", style="default")
    return text


def _verdict(report: Report) -> Text:
    words = "no promise was broken" if report.is_good else "promises were broken"
    versions = ", ".join(f"{name} {version}" for name, version in report.versions().items())
    text = Text(words, style="bold green" if report.is_good else "bold red")
    text.append(f" in {report.seconds:.0f} s, seed {report.seed}; {versions}", style="default")
    return text


class RoundsProgress:
    """What plays, and what was killed and broken so far: on a terminal, and nothing in a pipe."""

    def __init__(self, cli: CliContext, rounds: int) -> None:
        console = Console(
            file=cli.stderr,
            no_color=not cli.has_colours(cli.stderr),
            _environ=cli.environ,
        )
        self._progress = Progress(
            MofNCompleteColumn(),
            BarColumn(20),
            TimeElapsedColumn(),
            TextColumn("{task.description}", markup=False),
            console=console,
            transient=True,
            disable=not cli.stderr.isatty(),
        )
        self._task = self._progress.add_task("", total=rounds)
        self._playing: list[str] = []
        self._kills = 0
        self._violations = 0

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def begin(self, each: Round) -> None:
        self._playing.append(each.scenario.name)
        self._show()

    def end(self, outcome: Outcome) -> None:
        self._playing.remove(outcome.scenario.name)
        self._kills += outcome.kills
        self._violations += len(outcome.violations) + len(outcome.exceeded)
        self._progress.advance(self._task)
        self._show()

    def _show(self) -> None:
        counts = f"{self._kills} kills, {self._violations} violations"
        self._progress.update(self._task, description=f"{counts}; {', '.join(self._playing)}")
