"""`jobrunner status`: the screen people want on the wall."""

from typing import Annotated

import typer

from jobrunner.cli.arguments import OptionalJobArgument
from jobrunner.cli.context import CliContext
from jobrunner.cli.group import cli_of
from jobrunner.cli.show import show_job
from jobrunner.errors import ExitCode, UsageError


def status(
    ctx: typer.Context,
    job: OptionalJobArgument = None,
    watch: Annotated[
        bool, typer.Option("--watch", "-w", help="Refresh in place every second; q ends.")
    ] = False,
) -> ExitCode:
    cli = cli_of(ctx)
    if job is not None:
        show_job(cli, job)
        return ExitCode.DONE
    if watch:
        return _watch(cli)
    return _status_once(cli)


def _status_once(cli: CliContext) -> ExitCode:
    from jobrunner.store.overview import read_overview

    store = cli.store()
    overview = store.run(read_overview(store.keys))
    if cli.json:
        from jobrunner.cli.render_json import overview_json

        cli.write_json(overview_json(overview))
    else:
        from jobrunner.cli.render_status import status_screen

        cli.print(lambda width: status_screen(overview, width, cli.zone))
    # A monitor that only looks at the exit code must see that nothing fires or starts.
    if not overview.daemons:
        return ExitCode.UNREACHABLE
    is_known = any(not daemon.damaged_key for daemon in overview.daemons)
    return ExitCode.DONE if is_known else ExitCode.FAILED


def _watch(cli: CliContext) -> ExitCode:
    if cli.json or not cli.stdout.isatty():
        raise UsageError(
            "--watch needs a terminal, and no --json",
            why="it draws the screen anew every second",
            fix="leave --watch out, and ask again for each new status",
        )
    from jobrunner.cli.watch import watch_status

    watch_status(cli)
    return ExitCode.DONE
