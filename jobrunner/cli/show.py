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
    from jobrunner.cli.render_job import job_card
    from jobrunner.store.published import read_published_task

    task = store.run(read_published_task(store.keys, job.task))
    secrets = (
        frozenset(param.name for param in task.params if param.secret) if task else frozenset()
    )
    card = job_card(job, cli.clock.now(), cli.zone, secrets)
    cli.print(lambda _width: card)
