"""`jobrunner stop`: the daemon drains and ends."""

import signal
from datetime import timedelta
from typing import Annotated

import typer

from jobrunner.cli.arguments import TimeoutOption
from jobrunner.cli.group import cli_of
from jobrunner.cli.patience import eventually
from jobrunner.errors import JobTimeout


def stop(
    ctx: typer.Context,
    is_now: Annotated[
        bool, typer.Option("--now", help="Do not drain: give running jobs back at once.")
    ] = False,
    timeout: TimeoutOption = None,
) -> None:
    from jobrunner.cli.daemons import find_daemon

    cli = cli_of(ctx)
    found = find_daemon(cli)
    pid = found.daemon.pid
    found.send(signal.SIGTERM)
    if is_now:
        eventually(cli.clock, lambda: not found.is_running, SECOND_SIGNAL_AFTER)
        found.send(signal.SIGTERM)
    elif cli.stderr.isatty():
        cli.note(f"daemon {pid} is draining; `jobrunner stop --now` gives running jobs back")
    if not eventually(cli.clock, lambda: not found.is_running, timeout):
        raise JobTimeout(
            f"daemon {pid} has not ended yet",
            why="running jobs may take until `workers.drain` is over",
            fix="wait longer, or use --now",
        )
    if cli.json:
        cli.write_json({"pid": pid, "host": found.daemon.host})
    else:
        cli.write(f"daemon {pid} has stopped")


# Two signals at once would be one to the kernel; the daemon must have seen the first.
SECOND_SIGNAL_AFTER = timedelta(milliseconds=200)
