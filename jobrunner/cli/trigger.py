"""`jobrunner trigger`: the job of a cron, now."""

from typing import TYPE_CHECKING

import typer

from jobrunner.cli.arguments import CronArgument
from jobrunner.cli.context import CliContext
from jobrunner.cli.group import cli_of
from jobrunner.cli.store import OpenStore

if TYPE_CHECKING:
    from jobrunner.store.submission import Submission


def trigger(ctx: typer.Context, cron: CronArgument) -> None:
    from jobrunner.store.submission import submit

    cli = cli_of(ctx)
    store = cli.store()
    [submitted] = store.run(submit(store.keys, [_submission(cli, store, cron)]))
    if cli.json:
        from jobrunner.cli.render_json import submitted_json

        cli.write_json(submitted_json(submitted.id, submitted.task, submitted.state))
    else:
        cli.write(submitted.id)


def _submission(cli: CliContext, store: OpenStore, name: str) -> "Submission":
    from jobrunner.cli.names import published_cron, require_task
    from jobrunner.model import new_job_id
    from jobrunner.store.submission import Submission

    cron = published_cron(store, name)
    task = require_task(store, cron.task)
    today = cli.clock.now().astimezone(cli.zone)
    return Submission(
        new_job_id(),
        task.name,
        cron.message_of(task, today),
        queue=task.queue,
        priority=task.priority,
        cron=name,
    )
