"""`jobrunner run`: the daemon, in the foreground."""

import os
import sys
from enum import StrEnum
from typing import Annotated

import typer

from jobrunner.cli.group import cli_of


class LogLevel(StrEnum):
    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


def run(
    ctx: typer.Context,
    once: Annotated[
        bool, typer.Option("--once", help="Work off what is queued, fire no crons, and exit.")
    ] = False,
    upgrade_server: Annotated[
        bool,
        typer.Option(
            "--upgrade-server",
            help="Replace an embedded server that an earlier daemon left running, if it is older.",
        ),
    ] = False,
    log_level: Annotated[
        LogLevel, typer.Option("--log-level", help="The least important events to log.")
    ] = LogLevel.INFO,
) -> None:
    from jobrunner.daemon.main import run_daemon
    from jobrunner.daemon.supervisor import DaemonSettings
    from jobrunner.locate import Use

    cli = cli_of(ctx)
    manifest, guard = cli.manifest(Use.RUN)
    settings = DaemonSettings(
        manifest, once, log_level.value, upgrade_server=upgrade_server, guard=guard
    )
    own = cli.stderr is sys.stderr
    try:
        # The process's own environment: the variables of systemd are taken out of it for good.
        run_daemon(settings, os.environ)
    finally:
        if own:
            cli.stderr = sys.stderr  # the daemon's, which nobody who does not read it holds up
