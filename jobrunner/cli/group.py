"""The command group: imports a command's module only when that command is asked for.

typer types its groups with its private copy of click; see `usage.py`.
"""

from importlib import import_module
from pathlib import Path
from typing import Annotated

import typer
from typer._click import Command, Context, HelpFormatter, Parameter
from typer._click.shell_completion import CompletionItem
from typer.core import TyperGroup

from jobrunner import __version__
from jobrunner.cli.context import CliContext
from jobrunner.cli.plain import use_plain_conversion
from jobrunner.cli.registry import SECTIONS, CommandEntry, all_commands, find_command
from jobrunner.cli.usage import unknown_command


class CommandGroup(TyperGroup):
    """All commands, each built when it is first needed."""

    # typer calls these three with the context, which the registry does not need.
    def list_commands(self, ctx: Context) -> list[str]:  # noqa: ARG002
        return [entry.name for entry in all_commands()]

    def get_command(self, ctx: Context, cmd_name: str) -> Command | None:  # noqa: ARG002
        entry = find_command(cmd_name)
        return None if entry is None else build_command(entry)

    def format_commands(self, ctx: Context, formatter: HelpFormatter) -> None:  # noqa: ARG002
        for title, entries in SECTIONS.items():
            with formatter.section(title):
                formatter.write_dl([(entry.name, entry.help) for entry in entries])

    def resolve_command(
        self, ctx: Context, args: list[str]
    ) -> tuple[str | None, Command | None, list[str]]:
        command = self.get_command(ctx, args[0])
        if command is None and not ctx.resilient_parsing:
            raise unknown_command(args[0])
        entry = find_command(args[0])
        if entry is not None and not ctx.resilient_parsing:
            cli_of(ctx).has_acted = entry.acts
        return args[0], command, args[1:]

    def shell_complete(self, ctx: Context, incomplete: str) -> list[CompletionItem]:
        if incomplete.startswith("-"):
            return Command.shell_complete(self, ctx, incomplete)
        fitting = [entry for entry in all_commands() if entry.name.startswith(incomplete)]
        return [CompletionItem(entry.name, help=entry.help) for entry in fitting]


def build_group() -> Command:
    """`jobrunner` itself; without a command it is `jobrunner status`."""
    app = typer.Typer(
        cls=CommandGroup,
        add_completion=False,
        rich_markup_mode=None,
        invoke_without_command=True,
        help="Crons, queues and locks from one YAML file.",
        epilog=_epilog(("jobrunner init", "jobrunner run", "jobrunner submit backup --follow")),
    )
    app.callback()(_status_unless_told)
    group = typer.main.get_command(app)
    group.params.extend(_common_params(("--file", "-f")))
    use_plain_conversion(group)
    return group


def build_command(entry: CommandEntry) -> Command:
    """The command of a registry entry, with the options that every command has."""
    module, function = entry.target.split(":")
    app = typer.Typer(add_completion=False, rich_markup_mode=None)
    app.command(
        entry.name,
        help=entry.help,
        epilog=_epilog(entry.examples),
        context_settings={"allow_interspersed_args": not entry.takes_rest},
    )(getattr(import_module(f"jobrunner.cli.{module}"), function))
    command = typer.main.get_command(app)
    taken = {name for param in command.params for name in param.opts}
    # `logs -f` follows, as `tail -f` does; --file has its long name only there.
    command.params.extend(_common_params(("--file",) if "-f" in taken else ("--file", "-f")))
    use_plain_conversion(command)
    return command


def cli_of(ctx: Context) -> CliContext:
    """The surroundings of the running command."""
    found = ctx.find_object(CliContext)
    if found is None:
        raise TypeError("the command was started without a CliContext")
    return found


def _epilog(examples: tuple[str, ...]) -> str:
    # "\b" alone on a line keeps the lines of the paragraph from being joined.
    return "\b\nExamples:\n" + "\n".join(f"  {example}" for example in examples)


def _status_unless_told(
    ctx: typer.Context,
    version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
) -> int:
    if version:
        cli_of(ctx).write(f"jobrunner {__version__}")
        raise typer.Exit
    entry = find_command("status")
    if ctx.invoked_subcommand is not None or entry is None:
        return 0
    with build_command(entry).make_context("status", [], parent=ctx) as status:
        return int(status.command.invoke(status) or 0)


def _common_params(file_names: tuple[str, ...]) -> list[Parameter]:
    """What every command accepts: kept in the CliContext, not passed to the function."""

    def options(
        file: Annotated[
            Path | None,
            typer.Option(
                *file_names,
                callback=_keep_file,
                expose_value=False,
                show_default=False,
                help="The manifest. Default: $JOBRUNNER_FILE, ./jobs.yaml or "
                "/etc/jobrunner/jobs.yaml.",
            ),
        ] = None,
        json: Annotated[
            bool,
            typer.Option("--json", callback=_keep_json, expose_value=False, help="Print JSON."),
        ] = False,
        trust: Annotated[
            bool,
            typer.Option(
                "--trust",
                callback=_keep_trust,
                expose_value=False,
                help="Use the manifest though others can write it; also JOBRUNNER_TRUST=1.",
            ),
        ] = False,
        debug: Annotated[
            bool,
            typer.Option(
                "--debug", callback=_keep_debug, expose_value=False, help="Show tracebacks."
            ),
        ] = False,
        # typer's own would convert with pydantic, and print past the CliContext.
        help: Annotated[
            bool,
            typer.Option(
                "--help",
                callback=_show_help,
                expose_value=False,
                is_eager=True,
                help="Show this help and exit.",
            ),
        ] = False,
    ) -> None: ...

    app = typer.Typer(add_completion=False)
    app.command()(options)
    return typer.main.get_command(app).params


def _show_help(ctx: typer.Context, value: bool) -> None:
    if value and not ctx.resilient_parsing:
        cli_of(ctx).write(ctx.get_help())
        raise typer.Exit


def _keep_file(ctx: typer.Context, value: Path | None) -> None:
    if value is not None:
        cli_of(ctx).file = value


def _keep_json(ctx: typer.Context, value: bool) -> None:
    cli_of(ctx).json |= value


def _keep_trust(ctx: typer.Context, value: bool) -> None:
    cli_of(ctx).is_trusted |= value


def _keep_debug(ctx: typer.Context, value: bool) -> None:
    cli_of(ctx).debug |= value
