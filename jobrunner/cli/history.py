"""`jobrunner history`: the past of a task."""

import typer

from jobrunner.cli.arguments import LimitOption, TaskArgument
from jobrunner.cli.group import cli_of


def history(ctx: typer.Context, task: TaskArgument, limit: LimitOption = 20) -> None:
    from jobrunner.store.lookup import history as read_history

    cli = cli_of(ctx)
    store = cli.store()
    jobs = store.run(read_history(store.keys, task, limit))
    if not jobs:
        from jobrunner.cli.names import require_known_task

        require_known_task(store, task)
    if cli.json:
        from jobrunner.cli.render_json import jobs_json

        cli.write_json(jobs_json(jobs))
    else:
        from jobrunner.cli.render_tables import history_table

        cli.print(lambda width: history_table(jobs, cli.clock.now(), width))
