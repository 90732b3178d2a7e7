"""`jobrunner delete`: ended jobs, with their output."""

import typer

from jobrunner.cli.arguments import JobsArgument
from jobrunner.cli.group import cli_of


def delete(ctx: typer.Context, jobs: JobsArgument) -> None:
    cli = cli_of(ctx)
    store = cli.store()
    deleted = store.job_ids(jobs)
    for job_id in deleted:
        store.client.delete(job_id)
    if cli.json:
        cli.write_json(deleted)
    else:
        cli.write("\n".join(f"deleted {job_id}" for job_id in deleted))
