"""Coming fire times, for `next`."""

from collections.abc import Sequence
from datetime import datetime
from operator import itemgetter
from typing import Any

from rich.console import RenderableType
from rich.text import Text

from jobrunner.cli.columns import Cell, Column, fitted_table
from jobrunner.cli.fires import ComingFire, untold_changes
from jobrunner.cli.render import relative_text
from jobrunner.clock import rfc3339
from jobrunner.crons import ClockChange, Cron, describe
from jobrunner.model import JobState
from jobrunner.store.crons import fire_id

LOCAL_TIME = "%a %Y-%m-%d %H:%M:%S %Z"
COLUMNS = (
    Column("LOCAL TIME", 0),
    Column("IN", 2),
    Column("CRON", 1, least=10),
    Column("SCHEDULE", 4, least=14),
    Column("ZONE", 5),
    Column("NOTE", 3, least=30),
)


def fires_json(fires: Sequence[ComingFire]) -> list[dict[str, Any]]:
    """As docs/json.md has it."""
    return [
        {
            "cron": fire.cron.name or None,
            "fire_time": rfc3339(fire.fire_time),
            "local_time": fire.local_time.isoformat(timespec="seconds"),
            "note": fire.remark,
        }
        for fire in fires
    ]


def past_fire_json(cron: Cron, fire_time: datetime, state: JobState | None) -> dict[str, Any]:
    """As docs/json.md has it."""
    return {
        "id": fire_id(cron.name, fire_time),
        "fire_time": rfc3339(fire_time),
        "local_time": fire_time.astimezone(cron.zone).isoformat(timespec="seconds"),
        "state": state,
    }


def past_fire_line(cron: Cron, fire_time: datetime, state: JobState | None) -> str:
    """In local time, and what a backfill makes of it."""
    local = f"{fire_time.astimezone(cron.zone):{LOCAL_TIME}}"
    return f"{local}  {fire_id(cron.name, fire_time)}  {state or 'to be made'}"


def fires_table(fires: Sequence[ComingFire], now: datetime, width: int) -> RenderableType:
    """In local time, with a row for each clock change that no note tells.

    The columns that say nothing are left out.
    """
    if not fires:
        return Text("no fire time is coming", style="dim")
    placed = [(change.at, _change_row(change, now)) for change in untold_changes(fires)]
    placed += [(fire.fire_time, _fire_row(fire, now)) for fire in fires]
    rows = [row for _, row in sorted(placed, key=itemgetter(0))]
    told = [index for index in range(len(COLUMNS)) if any(str(row[index]) for row in rows)]
    return fitted_table(
        [COLUMNS[index] for index in told],
        [[row[index] for index in told] for row in rows],
        width,
    )


def _fire_row(fire: ComingFire, now: datetime) -> tuple[Cell, ...]:
    return (
        f"{fire.local_time:{LOCAL_TIME}}",
        relative_text(fire.fire_time, now),
        fire.cron.name,
        describe(fire.cron),
        fire.cron.timezone,
        Text(fire.remark or "", style="yellow"),
    )


def _change_row(change: ClockChange, now: datetime) -> tuple[Cell, ...]:
    return (
        f"{change.at.astimezone(change.zone):{LOCAL_TIME}}",
        relative_text(change.at, now),
        "",
        "(clock change)",
        change.zone.key,
        Text(change.words, style="yellow"),
    )
