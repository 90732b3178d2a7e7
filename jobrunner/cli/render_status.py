"""The status screen as a pure function of an `Overview`: header, one row per task or cron, footer.

Columns leave by importance when the terminal is narrow; a column that says nothing leaves first.
"""

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta, tzinfo

from rich.console import Group, RenderableType
from rich.text import Text

from jobrunner.cli.columns import Column, fitted_table
from jobrunner.cli.foreign import one_line
from jobrunner.cli.render import duration_text
from jobrunner.cli.render_tables import QUIET, last_end, next_fire_text
from jobrunner.model import JobState
from jobrunner.store.leases import DaemonEntry
from jobrunner.store.overview import CronView, Overview, QueueView, TaskView

Row = TaskView | CronView
MOST_ROWS = (
    500  # more is nothing to look at, and takes seconds to draw; `crons` and --json have all
)


def status_screen(
    overview: Overview, width: int, zone: tzinfo | None, height: int | None = None
) -> RenderableType:
    """The screen for a terminal of that width; rows that `height` or `MOST_ROWS` cuts count."""
    header = _header(overview, zone)
    footer = _footer(overview)
    rows = visible_rows(overview)
    room = MOST_ROWS if height is None else max(height - len(header) - len(footer) - 3, 1)
    shown = rows if len(rows) <= room else _most_telling(rows, room - 1)
    parts: list[RenderableType] = [*header, Text("")]
    parts.append(_table(shown, overview.now, width) if rows else _nothing_declared(overview))
    if len(shown) < len(rows):
        parts.append(Text(f"… {len(rows) - len(shown):,} more rows", style=QUIET))
    return Group(*parts, *([Text(""), *footer] if footer else []))


def visible_rows(overview: Overview) -> list[Row]:
    """Crons, then tasks; a cron stands for the task of the same name."""
    twins = {cron.name for cron in overview.crons if cron.name == cron.task}
    return [*overview.crons, *(task for task in overview.tasks if task.name not in twins)]


def _most_telling(rows: Sequence[Row], number: int) -> list[Row]:
    """So many rows in their order: those where something waits, runs or has failed come first."""
    ranked = sorted(range(len(rows)), key=lambda index: _is_quiet(rows[index]))
    return [rows[index] for index in sorted(ranked[:number])]


def _is_quiet(row: Row) -> bool:
    is_busy = row.counts.queued or row.counts.running or row.counts.blocked
    return not is_busy and (row.last is None or row.last.state is not JobState.FAILED)


def _header(overview: Overview, zone: tzinfo | None) -> list[Text]:
    at = f"{overview.now.astimezone(zone):%H:%M:%S %Z}"
    name = (one_line(overview.name), "bold")
    title = Text.assemble(name, "  ", _workers(overview), "  ", (at, QUIET))
    if overview.daemons:
        return [title, *(_daemon_line(daemon, overview.now) for daemon in overview.daemons)]
    return [
        title,
        Text.assemble(
            (" daemon not running ", "bold red reverse"),
            "  nothing fires or starts; `jobrunner run` starts it",
        ),
    ]


def _workers(overview: Overview) -> Text:
    alive = [w for w in overview.workers if w.lease_ends_at and w.lease_ends_at > overview.now]
    slots, busy = sum(worker.slots for worker in alive), sum(worker.busy for worker in alive)
    text = Text(f"{len(alive)} worker{'' if len(alive) == 1 else 's'}")
    text.append(f", {busy} of {slots} slots busy")
    lost = len(overview.workers) - len(alive)
    # Their jobs are about to be rescued; should this stay, no daemon is there to do it.
    return text.append(f", {lost} lost", style="bold red") if lost else text


def _daemon_line(daemon: DaemonEntry, now: datetime) -> Text:
    if daemon.damaged_key:
        told = f"  the key '{daemon.damaged_key}' is damaged; `jobrunner doctor --repair` mends it"
        return Text.assemble((" daemon not known ", "bold yellow reverse"), one_line(told))
    up = duration_text(max(now - daemon.started_at, timedelta(0)))
    line = Text.assemble(
        "daemon ", (one_line(daemon.state), "" if daemon.state == "running" else "bold yellow")
    )
    line.append(one_line(f" on {daemon.host}, pid {daemon.pid}, up {up}, version {daemon.version}"))
    line.append(one_line(f", {daemon.manifest}"), style=QUIET)
    line.no_wrap, line.overflow = True, "ellipsis"
    return line


def _footer(overview: Overview) -> list[Text]:
    """Queues in which jobs wait; quiet when there are none."""
    waiting = [queue for queue in overview.queues if queue.waiting]
    return [_queue_line(queue) for queue in waiting]


def _queue_line(queue: QueueView) -> Text:
    levels = {"high": queue.high, "normal": queue.normal, "low": queue.low}
    parts = ", ".join(f"{number} {level}" for level, number in levels.items() if number)
    name = one_line(queue.name)
    return Text(f"queue {name}: {queue.waiting} waiting ({parts}), {queue.claimed} claimed")


def _nothing_declared(overview: Overview) -> Text:
    if overview.daemons:
        return Text("the manifest declares no tasks", style=QUIET)
    return Text("no daemon has run here yet", style=QUIET)


def _table(rows: Sequence[Row], now: datetime, width: int) -> RenderableType:
    cells = {column: [cell(row, now) for row in rows] for column, cell in COLUMNS.items()}
    told = [column for column, texts in cells.items() if _says_something(column, texts)]
    lines = [[cells[column][index] for column in told] for index in range(len(rows))]
    return fitted_table(told, lines, width)


def _says_something(column: Column, texts: Sequence[Text]) -> bool:
    return column.rank == 0 or any(text.plain not in ("", "-") for text in texts)


def _name(row: Row, _now: datetime) -> Text:
    return Text(row.name, style="bold")


def _schedule(row: Row, _now: datetime) -> Text:
    if isinstance(row, TaskView):
        return Text("on submit", style=QUIET)
    if row.timezone == "UTC":
        return Text(row.words)
    city = row.timezone.rpartition("/")[2].replace("_", " ")
    return Text(f"{row.words} {city}")


def _next(row: Row, now: datetime) -> Text:
    return Text("") if isinstance(row, TaskView) else next_fire_text(row, now)


def _last(row: Row, now: datetime) -> Text:
    return last_end(row.last, now)


def _took(row: Row, _now: datetime) -> Text:
    return Text(duration_text(row.last.duration) if row.last else "-")


def _usual(row: Row, _now: datetime) -> Text:
    return Text(duration_text(row.usual_duration))


def _number(number: int, style: str = "") -> Text:
    return Text(str(number), style=style) if number else Text("")


def _queued(row: Row, _now: datetime) -> Text:
    return _number(row.counts.queued)


def _running(row: Row, _now: datetime) -> Text:
    return _number(row.counts.running, "bold bright_blue")


def _later(row: Row, _now: datetime) -> Text:
    return _number(row.counts.scheduled)


def _blocked(row: Row, _now: datetime) -> Text:
    return _number(row.counts.blocked, "yellow")


def _lock(row: Row, _now: datetime) -> Text:
    return Text(row.lock_holder or "")


COLUMNS: dict[Column, Callable[[Row, datetime], Text]] = {
    Column("NAME", 0, least=12): _name,
    Column("SCHEDULE", 4, least=14): _schedule,
    Column("NEXT", 2): _next,
    Column("LAST", 1, least=17): _last,
    Column("TOOK", 6, is_number=True): _took,
    Column("USUAL", 8, is_number=True): _usual,
    Column("RUN", 3, is_number=True): _running,
    Column("QUEUED", 5, is_number=True): _queued,
    Column("BLOCKED", 7, is_number=True): _blocked,
    Column("LATER", 10, is_number=True): _later,
    Column("LOCK HELD BY", 9, least=12): _lock,
}
