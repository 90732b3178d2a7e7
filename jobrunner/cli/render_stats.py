"""Statistics for people: a row per window for all tasks together, then a row per task."""

from collections.abc import Sequence
from datetime import timedelta

from rich.console import Group, RenderableType
from rich.text import Text

from jobrunner.cli.columns import Cell, Column, fitted_table
from jobrunner.cli.render import duration_text
from jobrunner.cli.render_tables import QUIET
from jobrunner.store.stats import Percentiles, Stats, Window

COUNT_COLUMNS = (
    Column("SUBMITTED", 5, is_number=True),
    Column("COMPLETED", 1, is_number=True),
    Column("FAILED", 2, is_number=True),
    Column("SKIPPED", 7, is_number=True),
    Column("CANCELLED", 8, is_number=True),
    Column("RATE", 6, is_number=True),
    Column("WAITED p50 p95 p99", 4, is_number=True),
    Column("TOOK p50 p95 p99", 3, is_number=True),
)
WINDOW_COLUMN = Column("WINDOW", 0)
TASK_COLUMN = Column("TASK", 0, least=10)
_TITLES = {
    Window.MINUTE: "last minute",
    Window.HOUR: "last hour",
    Window.DAY: "last day",
    Window.ALL: "as long as history is kept",
}
_PER = ((1, "s"), (60, "min"), (3600, "h"), (86400, "d"))


def stats_screen(rows: Sequence[Stats], width: int) -> RenderableType:
    """Rows of windows come first, then those of tasks, which are all of one window."""
    tasks = {row.task for row in rows if row.task is not None}
    if len(tasks) == 1 and all(row.task is not None for row in rows):
        return _table(WINDOW_COLUMN, [(row.window.value, row) for row in rows], width)
    overall = {row.window: row for row in rows if row.task is None}
    parts = [_table(WINDOW_COLUMN, [(w.value, row) for w, row in overall.items()], width)]
    of_tasks = [(row.task, row) for row in rows if row.task is not None]
    if of_tasks:
        title = f"By task, {_TITLES[of_tasks[0][1].window]}"
        parts += [Text(""), Text(title, style="bold"), _table(TASK_COLUMN, of_tasks, width)]
    else:
        parts += [Text(""), Text("no task did anything in that time", style=QUIET)]
    return Group(*parts)


def _table(first: Column, rows: Sequence[tuple[str, Stats]], width: int) -> RenderableType:
    cells = [(name, *_cells(stats)) for name, stats in rows]
    return fitted_table((first, *COUNT_COLUMNS), cells, width)


def _cells(stats: Stats) -> tuple[Cell, ...]:
    return (
        str(stats.submitted),
        str(stats.completed),
        Text(str(stats.failed), style="bold red" if stats.failed else ""),
        str(stats.skipped),
        str(stats.cancelled),
        rate_text(stats.rate_per_s),
        _percentiles_text(stats.wait),
        _percentiles_text(stats.duration),
    )


def rate_text(per_s: float) -> str:
    """`120/s`, `4.5/min`, `2.0/h`, `0.3/d`: in the shortest unit that makes it at least one."""
    if per_s == 0:
        return "-"
    rates = [(per_s * seconds, unit) for seconds, unit in _PER]
    number, unit = next((rate for rate in rates if rate[0] >= 1), rates[-1])
    return f"{number:.0f}/{unit}" if number >= 10 else f"{number:.1f}/{unit}"


def _percentiles_text(times: Percentiles) -> str:
    if times.p50 is None:
        return "-"
    return " ".join(_short(time) for time in (times.p50, times.p95, times.p99))


def _short(time: timedelta | None) -> str:
    return "<1ms" if time == timedelta(0) else duration_text(time)
