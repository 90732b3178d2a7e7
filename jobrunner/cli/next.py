"""`jobrunner next`: the coming fire times."""

from typing import TYPE_CHECKING, Annotated

import typer

from jobrunner.cli.complete import cron_names
from jobrunner.cli.context import CliContext
from jobrunner.cli.group import cli_of
from jobrunner.errors import UsageError

if TYPE_CHECKING:
    from jobrunner.crons import Cron


def next_fires(
    ctx: typer.Context,
    cron: Annotated[
        str | None,
        typer.Argument(help="A cron; without it, all of them.", autocompletion=cron_names),
    ] = None,
    expression: Annotated[
        str | None, typer.Option("--expr", help="An expression instead of a cron.")
    ] = None,
    zone: Annotated[
        str | None, typer.Option("--tz", help="Time zone of the expression. Default: UTC.")
    ] = None,
    start: Annotated[
        str | None,
        typer.Option("--from", help="RFC 3339, or a date or time local to the cron."),
    ] = None,
    count: Annotated[
        int, typer.Option("-n", "--count", min=1, max=10_000, help="How many fire times.")
    ] = 10,
) -> None:
    from jobrunner.cli.fires import coming_fires
    from jobrunner.cli.render_fires import fires_json, fires_table
    from jobrunner.crons import parse_cron

    cli = cli_of(ctx)
    if zone is not None and expression is None:
        raise UsageError(
            "--tz needs --expr",
            why="a cron's time zone is in the manifest",
            fix="leave --tz out, or give the expression with --expr",
        )
    if cron is not None and expression is not None:
        raise UsageError("give a cron or --expr, not both", fix="leave one of them out")
    crons = (
        _declared(cli, cron) if expression is None else [parse_cron(expression, zone or "UTC", "")]
    )
    now = cli.clock.now()
    fires = coming_fires(crons, start, now, count)
    if cli.json:
        cli.write_json(fires_json(fires))
    else:
        cli.print(lambda width: fires_table(fires, now, width))


def _declared(cli: CliContext, name: str | None) -> "list[Cron]":
    """The cron of that name, or all that are enabled, as the manifest says now."""
    from jobrunner.cli.names import unknown
    from jobrunner.daemon.plan import make_plan

    path, guard = cli.manifest()
    crons = {item.name: item for item in make_plan(path, cli.environ, guard).crons}
    if name is None:
        return [item.cron for item in crons.values() if item.spec.enabled]
    if name not in crons:
        raise unknown("cron", name, crons)
    return [crons[name].cron]
