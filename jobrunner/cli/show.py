"""`jobrunner show`: one job."""

import typer

from jobrunner.cli.arguments import JobArgument
from jobrunner.cli.context import CliContext
from jobrunner.cli.group import cli_of


def show(ctx: typer.Context, job: JobArgument) -> None:
    show_job(cli_of(ctx), job)


def show_job(cli: CliContext, text: str) -> None:
    """Print the job that `text` means, as a card or as JSON."""
    from jobrunner.store.records import read_job

    store = cli.store()
    job = store.run(read_job(store.keys, store.job_id(text)))
    if cli.json:
        from jobrunner.cli.render_json import job_json

        cli.write_json(job_json(job))
        return
    from dataclasses import replace

    from jobrunner.cli.render_job import job_card
    from jobrunner.params import secret_names
    from jobrunner.store.published import read_published_task

    task = store.run(read_published_task(store.keys, job.task))
    if task is not None and job.unmarked is not None:
        # Of an older version, or of another program: the manifest of now says what is secret.
        job = replace(job, arguments=job.unmarked)
    secrets = secret_names(task.params, job.arguments or {}) if task else ()
    card = job_card(job, cli.clock.now(), cli.zone, frozenset(secrets))
    cli.print(lambda _width: card)
