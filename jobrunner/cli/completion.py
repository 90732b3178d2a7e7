"""`jobrunner completion`: the script that makes a shell complete our commands and names."""

from enum import StrEnum
from typing import Annotated

import typer

from jobrunner.cli.app import COMPLETION_VARIABLE
from jobrunner.cli.group import cli_of


class Shell(StrEnum):
    BASH = "bash"
    ZSH = "zsh"
    FISH = "fish"


def completion(
    ctx: typer.Context,
    shell: Annotated[Shell, typer.Argument(help="The shell.")],
) -> None:
    cli = cli_of(ctx)
    script = _script(shell)
    if cli.json:
        cli.write_json({"shell": shell.value, "script": script})
    else:
        cli.write(script)


def _script(shell: Shell) -> str:
    from jobrunner.cli.bash import SCRIPT
    from jobrunner.cli.shells import FISH_SCRIPT, ZSH_SCRIPT

    scripts = {Shell.BASH: SCRIPT, Shell.ZSH: ZSH_SCRIPT, Shell.FISH: FISH_SCRIPT}
    return scripts[shell] % {"prog_name": "jobrunner", "complete_var": COMPLETION_VARIABLE}
