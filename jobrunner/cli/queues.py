"""`jobrunner queues`."""

import typer

from jobrunner.cli.group import cli_of


def queues(ctx: typer.Context) -> None:
    from jobrunner.store.overview import read_queues

    cli = cli_of(ctx)
    store = cli.store()
    views = store.run(read_queues(store.keys))
    if cli.json:
        from jobrunner.cli.render_json import queue_json

        cli.write_json([queue_json(queue) for queue in views])
    else:
        from jobrunner.cli.render_tables import queues_table

        cli.print(lambda width: queues_table(views, width))
