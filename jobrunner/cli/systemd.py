"""`jobrunner systemd`: prints the unit of this manifest, or installs it."""

import os
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from jobrunner.cli.context import CliContext
from jobrunner.cli.group import cli_of
from jobrunner.errors import IllegalTransition, UsageError
from jobrunner.state import expanded
from jobrunner.systemd import UnitSettings, unit_name, unit_text

if TYPE_CHECKING:
    from jobrunner.manifest.spec import Manifest

UNIT_RIGHTS = 0o644  # systemd warns of others
SYSTEM_UNITS = Path("/etc/systemd/system")


def systemd(
    ctx: typer.Context,
    user: Annotated[
        bool, typer.Option("--user", help="For your own session instead of the system.")
    ] = False,
    install: Annotated[
        bool, typer.Option("--install", help="Write it where systemd looks for it.")
    ] = False,
    force: Annotated[
        bool, typer.Option("--force", help="With --install: replace a unit that differs.")
    ] = False,
) -> None:
    cli = cli_of(ctx)
    settings = unit_settings(_manifest(cli), user)
    text = unit_text(settings)
    file = None
    if install:
        file = unit_folder(user, cli.environ) / unit_name(settings.name)
        install_unit(file, text, force=force)
        cli.has_acted = True
    _tell(cli, settings, text, file)


def _manifest(cli: CliContext) -> "Manifest":
    from jobrunner.manifest.load import load_manifest

    path, guard = cli.manifest()
    return load_manifest(path, cli.environ, guard=guard).manifest


def unit_settings(manifest: "Manifest", is_user: bool) -> UnitSettings:
    """What the manifest's unit is made of, with this installation's command."""
    return UnitSettings(
        name=manifest.name,
        manifest=Path(manifest.path),
        command=_own_command(),
        longest_stop=manifest.longest_stop(),
        is_user=is_user,
    )


def _own_command() -> list[Path | str]:
    """This installation's console script; without one, the interpreter with the package."""
    # Not resolved: the link in a virtual environment is what makes it that environment.
    interpreter = Path(sys.executable).absolute()
    script = interpreter.parent / "jobrunner"
    return [script] if script.is_file() else [interpreter, "-m", "jobrunner"]


def unit_folder(is_user: bool, environ: Mapping[str, str]) -> Path:
    """Where an administrator's units are, or those of a user."""
    if not is_user:
        return SYSTEM_UNITS
    config = environ.get("XDG_CONFIG_HOME")
    return (Path(config) if config else expanded("~") / ".config") / "systemd" / "user"


def install_unit(file: Path, text: str, *, force: bool) -> None:
    """Write the unit; one that differs is kept unless `force` says otherwise.

    Raises IllegalTransition for a unit that differs, UsageError when it cannot be written.
    """
    try:
        if not force and file.is_symlink():
            raise IllegalTransition(
                f"cannot write {file}: it is a link to {os.readlink(file)}",
                why="the unit is masked or kept elsewhere; what the link names is left alone",
                fix="remove the link, or replace it with --force",
            )
        if not force and file.exists() and file.read_text("utf-8") != text:
            raise IllegalTransition(
                f"cannot write {file}: it exists and differs",
                why="it may have been changed by hand",
                fix="move your changes into a drop-in and repeat with --force; "
                f"`jobrunner systemd | diff {file} -` shows them",
            )
        if file.parent != SYSTEM_UNITS:
            file.parent.mkdir(parents=True, exist_ok=True)
        _put(file, text)
    except OSError as error:
        raise UsageError(
            f"cannot write {file}: {error.strerror}",
            fix="run it as root where systemd is, or install it for yourself with --user",
        ) from error


def _put(file: Path, text: str) -> None:
    """Write a file anew, in place of what has its name: never through a link. Raises OSError."""
    draft, name = tempfile.mkstemp(prefix=f".{file.name}-", dir=file.parent)
    try:
        with open(draft, "w", encoding="utf-8") as opened:
            opened.write(text)
            os.fchmod(draft, UNIT_RIGHTS)
        os.replace(name, file)
    except BaseException:
        os.unlink(name)
        raise


def _tell(cli: CliContext, settings: UnitSettings, text: str, file: Path | None) -> None:
    commands = _next_commands(settings)
    if cli.json:
        unit = unit_name(settings.name)
        written = str(file) if file else None
        cli.write_json({"unit": unit, "text": text, "file": written, "next": commands})
    elif file is None:
        cli.write(text.rstrip())
    else:
        cli.write(f"wrote {file}; next:")
        cli.write("\n".join(f"  {command}" for command in commands))


def _next_commands(settings: UnitSettings) -> list[str]:
    control = "systemctl --user" if settings.is_user else "systemctl"
    unit = unit_name(settings.name)
    commands = [f"{control} daemon-reload", f"{control} enable --now {unit}"]
    # Else a user's services end with the last session.
    return [*commands, "loginctl enable-linger"] if settings.is_user else commands
