"""`jobrunner delete`: ended jobs, with their output."""

import typer

from jobrunner.cli.arguments import JobsArgument
from jobrunner.cli.group import cli_of
from jobrunner.cli.several import do_each, raise_refusals


def delete(ctx: typer.Context, jobs: JobsArgument) -> None:
    cli = cli_of(ctx)
    store = cli.store()
    deleted, refusals = do_each(store.job_ids(jobs), store.client.delete)
    if cli.json:
        cli.write_json(list(deleted))
    for job_id in [] if cli.json else deleted:
        cli.write(f"deleted {job_id}")
    raise_refusals(cli, refusals)
