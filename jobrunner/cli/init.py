"""`jobrunner init`: writes a commented manifest to begin with."""

from importlib.resources import files
from pathlib import Path

import typer

from jobrunner.cli.group import cli_of
from jobrunner.errors import IllegalTransition, UsageError


def init(ctx: typer.Context) -> None:
    cli = cli_of(ctx)
    path = cli.file or Path("jobs.yaml")
    write_new(path, files("jobrunner.manifest").joinpath("template.yaml").read_text("utf-8"))
    if cli.json:
        cli.write_json({"file": str(path.absolute())})
    else:
        cli.write(f"wrote {path}; `jobrunner validate` checks it, `jobrunner run` starts it")


def write_new(path: Path, text: str) -> None:
    """Create the file; one that is there already is never overwritten."""
    try:
        # "x" decides and creates in one step: of two at the same time, one is refused.
        with path.open("x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        raise IllegalTransition(
            f"cannot write {path}: it exists",
            why="a manifest is never overwritten",
            fix="choose another name with --file, or remove the old one first",
        ) from None
    except OSError as error:
        raise UsageError(
            f"cannot write {path}: {error.strerror}",
            fix="choose a folder that exists and that you may write to, with --file",
        ) from error
