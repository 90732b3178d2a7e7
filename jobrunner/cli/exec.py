"""`jobrunner exec`: a command that no task declares."""

from typing import Annotated

import typer

from jobrunner.cli.arguments import QueueOption
from jobrunner.cli.group import cli_of
from jobrunner.cli.submit import Follow, Wait, submit_and_tell
from jobrunner.errors import ExitCode, IllegalTransition


def exec_command(
    ctx: typer.Context,
    command: Annotated[
        list[str], typer.Argument(metavar="COMMAND", help="A program and its arguments.")
    ],
    queue: QueueOption = None,
    is_waiting: Wait = False,
    follow: Follow = False,
) -> ExitCode:
    from jobrunner.client.request import JobRequest
    from jobrunner.store.published import ADHOC_TASK, read_published

    cli = cli_of(ctx)
    store = cli.store()
    if not store.run(read_published(store.keys)).allows_adhoc:
        raise IllegalTransition(
            "ad-hoc commands are not allowed here",
            why="whoever may submit could run any program as the daemon's user",
            fix="write `adhoc: true` into the manifest, then `jobrunner reload`; or declare a task",
        )
    request = JobRequest(ADHOC_TASK, {"command": command}, queue=queue)
    return submit_and_tell(cli, request, is_waiting=is_waiting, follow=follow)
