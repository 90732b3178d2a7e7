"""The folder that a command runs in, and what its environment says of it."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jobrunner.model import Reason
from jobrunner.params import before_placeholders, substitute
from jobrunner.runner.failures import CannotStart


def working_folder(cwd: str | None, folder: Path, arguments: Mapping[str, Any]) -> Path:
    """`cwd` with its parameters filled in, from the manifest's `folder`.

    What parameters say stays below the folder that stands before the first of them, links
    followed: who submits a job does not choose another. A link made between here and the start is
    not seen. Raises CannotStart.
    """
    if cwd is None:
        return folder
    chosen = folder / substitute(cwd, arguments)
    # Errors quote what the manifest says: in a path that was put together, or whose links and dots
    # were followed, stand parts of arguments, and no masker knows those of a secret.
    written = before_placeholders(cwd)
    if written is None:
        return chosen
    base = os.path.realpath(folder / written[: written.rfind("/") + 1])
    real = os.path.realpath(chosen)
    if os.path.commonpath([base, real]) != base:
        raise CannotStart(
            f"the working folder {cwd!r} is not below {base!r} with these arguments",
            why="parameters in `cwd` cannot lead out of its first part",
            fix="give other arguments; or write the folder itself into `cwd`, where it is a link",
            reason=Reason.INVALID_ARGUMENTS,
        )
    return Path(real)


def name_folder(environment: dict[str, str], folder: Path) -> None:
    """Have the variables say where the command is, and not where the daemon was started."""
    path = str(folder)
    # As a shell's `cd` has it: the way that was taken, links and all, unless there are dots in it.
    is_plain = "/." not in path and "//" not in path
    environment["PWD"] = path if is_plain else os.path.realpath(path)
    environment.pop("OLDPWD", None)
