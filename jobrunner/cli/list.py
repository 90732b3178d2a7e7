"""`jobrunner list`: jobs, those created last first."""

from typing import Annotated

import typer

from jobrunner.cli.arguments import MOST_LISTED, TaskOption
from jobrunner.cli.group import cli_of
from jobrunner.cli.instants import since_option
from jobrunner.model import JobState


def list_jobs(
    ctx: typer.Context,
    state: Annotated[
        list[JobState] | None, typer.Option("--state", help="Only in this state; may be repeated.")
    ] = None,
    task: TaskOption = None,
    since: Annotated[
        str | None,
        typer.Option("--since", help="Not older than it, e.g. 1d or 2026-11-21T08:00."),
    ] = None,
    limit: Annotated[
        int,
        typer.Option(
            "--limit",
            min=1,
            max=MOST_LISTED,
            help="At most so many: of each state those that came into it last, of scheduled jobs "
            "those created last.",
        ),
    ] = 50,
) -> None:
    from jobrunner.store.lookup import Selection
    from jobrunner.store.lookup import list_jobs as find_jobs

    cli = cli_of(ctx)
    now = cli.clock.now()
    selection = Selection(
        states=tuple(state or JobState),
        task=task,
        since=None if since is None else since_option(since, now, cli.zone),
        limit=limit,
        is_for_rows=not cli.json,
    )
    store = cli.store()
    jobs = store.run(find_jobs(store.keys, selection))
    if task is not None and not jobs:
        from jobrunner.cli.names import require_known_task

        require_known_task(store, task)
    if cli.json:
        from jobrunner.cli.render_json import jobs_json

        cli.write_json(jobs_json(jobs))
    else:
        from jobrunner.cli.render_tables import jobs_table

        cli.print(lambda width: jobs_table(jobs, now, width))
