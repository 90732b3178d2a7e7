"""`jobrunner stats`: how much was done, how long it waited and how long it took."""

from collections.abc import Sequence
from typing import Annotated

import typer

from jobrunner.cli.complete import task_names
from jobrunner.cli.group import cli_of
from jobrunner.cli.store import OpenStore
from jobrunner.store.stats import Query, Stats, Window, read_stats
from jobrunner.store.tallies import OVERALL


def stats(
    ctx: typer.Context,
    task: Annotated[
        str | None,
        typer.Argument(help="Only of this task, in all windows.", autocompletion=task_names),
    ] = None,
    window: Annotated[
        Window | None,
        typer.Option("--window", help="How far back; all: as long as finished jobs are kept."),
    ] = None,
) -> None:
    cli = cli_of(ctx)
    store = cli.store()
    found = store.run(read_stats(store.keys, _queries(task, window)))
    rows = sorted(found, key=lambda row: row.task is not None)
    if task is not None:
        _require_known(store, task, rows)
    if cli.json:
        from jobrunner.cli.render_json import stats_json

        cli.write_json([stats_json(row) for row in rows])
    else:
        from jobrunner.cli.render_stats import stats_screen

        cli.print(lambda width: stats_screen(rows, width))


def _queries(task: str | None, window: Window | None) -> list[Query]:
    """Without a window all of them, and tasks apart only for the hour: a screen is not a report."""
    if task is not None:
        return [Query(one, task) for one in Window if window in (None, one)]
    if window is not None:
        return [Query(window)]
    return [Query(one, None if one is Window.HOUR else OVERALL) for one in Window]


def _require_known(store: OpenStore, task: str, rows: Sequence[Stats]) -> None:
    """Raises JobNotFound for a task of which nothing is known, also not from earlier times."""
    from jobrunner.cli.names import require_known_task, require_task

    if task == OVERALL:  # no name of a task
        require_task(store, task)
    every_window = [Query(window, task) for window in Window]
    if not _has_any(rows) and not _has_any(store.run(read_stats(store.keys, every_window))):
        require_known_task(store, task)


def _has_any(rows: Sequence[Stats]) -> bool:
    return any(
        row.submitted
        or row.completed
        or row.failed
        or row.skipped
        or row.cancelled
        # A retried attempt is timed, but has ended no job.
        or row.duration.p50 is not None
        for row in rows
    )
