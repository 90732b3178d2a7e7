"""`jobrunner pause` and `jobrunner resume`."""

import typer

from jobrunner.cli.arguments import CronArgument
from jobrunner.cli.context import CliContext
from jobrunner.cli.group import cli_of


def pause(ctx: typer.Context, cron: CronArgument) -> None:
    from jobrunner.cli.names import published_cron
    from jobrunner.store.crons import pause_cron

    cli = cli_of(ctx)
    store = cli.store()
    published_cron(store, cron)
    store.run(pause_cron(store.keys, cron))
    _tell(cli, cron, is_paused=True)


def resume(ctx: typer.Context, cron: CronArgument) -> None:
    from jobrunner.cli.names import published_cron
    from jobrunner.store.crons import resume_cron

    cli = cli_of(ctx)
    store = cli.store()
    published_cron(store, cron)
    store.run(resume_cron(store.keys, cron))
    _tell(cli, cron, is_paused=False)


def _tell(cli: CliContext, cron: str, *, is_paused: bool) -> None:
    if cli.json:
        cli.write_json({"name": cron, "paused": is_paused})
    elif is_paused:
        cli.write(f"paused {cron}; `jobrunner resume {cron}` lets it fire again")
    else:
        cli.write(f"resumed {cron}; fire times of the pause are not made up for")
