"""`jobrunner crons`: the crons and what becomes of them."""

import typer

from jobrunner.cli.group import cli_of


def crons(ctx: typer.Context) -> None:
    from jobrunner.store.overview import read_overview

    cli = cli_of(ctx)
    store = cli.store()
    overview = store.run(read_overview(store.keys))
    if cli.json:
        from jobrunner.cli.render_json import cron_json

        cli.write_json([cron_json(cron) for cron in overview.crons])
    else:
        from jobrunner.cli.render_tables import crons_table

        cli.print(lambda width: crons_table(overview.crons, overview.now, width))
