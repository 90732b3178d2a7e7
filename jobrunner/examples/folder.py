"""The one folder that the examples write to."""

import os
import tempfile
from pathlib import Path

from jobrunner.store.private import is_private_folder


def example_folder() -> Path:
    """`jobrunner-example-<user id>` in the folder for temporary files, made for this user alone.

    Raises PermissionError for one that somebody else has made or can enter.
    """
    folder = Path(tempfile.gettempdir()) / f"jobrunner-example-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    if not is_private_folder(folder):
        # Everybody can foresee its name: others could read what is written there, or redirect it.
        raise PermissionError(f"{folder} is not a folder of this user alone: remove it")
    return folder
