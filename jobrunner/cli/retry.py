"""`jobrunner retry`: ended jobs are queued again."""

from typing import Annotated

import typer

from jobrunner.cli.arguments import TaskOption
from jobrunner.cli.complete import job_ids
from jobrunner.cli.group import cli_of
from jobrunner.cli.several import do_each, raise_refusals
from jobrunner.cli.store import OpenStore
from jobrunner.errors import UsageError
from jobrunner.model import JobState

MOST_AT_ONCE = 100_000


def retry(
    ctx: typer.Context,
    texts: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="JOBS", help="Ids, beginnings of recent ones, or @last.", autocompletion=job_ids
        ),
    ] = None,
    is_all_failed: Annotated[
        bool, typer.Option("--failed", help="All failed jobs: the dead letters.")
    ] = False,
    task: TaskOption = None,
) -> None:
    from jobrunner.cli.render_json import submitted_json
    from jobrunner.store.submission import retry_job

    cli = cli_of(ctx)
    if bool(texts) == is_all_failed or (task is not None and not is_all_failed):
        raise UsageError(
            "give either ids or --failed",
            why="--task says of which task, and needs --failed",
            fix="e.g. `jobrunner retry --failed --task backup`",
        )
    store = cli.store()
    ids = _failed_ids(store, task) if is_all_failed else store.job_ids(texts or [])
    retried, refusals = do_each(ids, lambda job_id: store.run(retry_job(store.keys, job_id)))
    jobs = list(retried.values())
    if cli.json:
        cli.write_json([submitted_json(job.id, job.task, JobState.QUEUED) for job in jobs])
    for job in [] if cli.json else jobs:
        cli.write(f"queued {job.id} ({job.task}) again")
    if not ids:
        cli.note("no failed jobs")
    raise_refusals(cli, refusals)


def _failed_ids(store: OpenStore, task: str | None) -> list[str]:
    from jobrunner.store.lookup import Selection, list_jobs

    selection = Selection((JobState.FAILED,), task, limit=MOST_AT_ONCE, is_for_rows=True)
    ids = [job.id for job in store.run(list_jobs(store.keys, selection))]
    if task is not None and not ids:
        from jobrunner.cli.names import require_known_task

        require_known_task(store, task)
    return ids
