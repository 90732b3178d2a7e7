"""`jobrunner workers`."""

import typer

from jobrunner.cli.group import cli_of


def workers(ctx: typer.Context) -> None:
    from jobrunner.store.leases import read_workers

    cli = cli_of(ctx)
    store = cli.store()
    entries = store.run(read_workers(store.keys))
    if cli.json:
        from jobrunner.cli.render_json import worker_json

        cli.write_json([worker_json(worker) for worker in entries])
    else:
        from jobrunner.cli.render_tables import workers_table

        cli.print(lambda width: workers_table(entries, cli.clock.now(), width))
