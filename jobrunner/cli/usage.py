"""Usage errors: what typer found wrong in a command line, in our words and with a fix.

typer has its copy of click below a private name; `NoSuchOption` has no public one. The
project pins typer's minor version, and the tests of this file hold the contract.
"""

from difflib import get_close_matches

import typer
from typer._click.exceptions import NoSuchOption
from typer._click.exceptions import UsageError as TyperUsageError

from jobrunner.cli.registry import all_commands
from jobrunner.errors import UsageError


def unknown_command(name: str) -> UsageError:
    """There is no such command; names the nearest one."""
    near = get_close_matches(name, [entry.name for entry in all_commands()], n=1)
    listing = "`jobrunner --help` lists all commands"
    fix = f"use `jobrunner {near[0]}`; {listing}" if near else listing
    return UsageError(f"no such command '{name}'", fix=fix)


def translated(error: typer.TyperException) -> UsageError:
    """The same error in our words; names the nearest option for an unknown one."""
    path = _command_path(error)
    listing = f"`{path} --help` shows how it is used"
    if isinstance(error, NoSuchOption):
        fix = f"use '{error.possibilities[0]}'; {listing}" if error.possibilities else listing
        return UsageError(f"no such option '{error.option_name}' of `{path}`", fix=fix)
    message = error.format_message().rstrip(".").replace("\n\t", " ")
    return UsageError(message[:1].lower() + message[1:], fix=listing)


def _command_path(error: typer.TyperException) -> str:
    context = error.ctx if isinstance(error, TyperUsageError) else None
    names: list[str] = []
    while context is not None:
        names.insert(0, context.info_name or "")
        context = context.parent
    return " ".join(names) or "jobrunner"
