"""The one folder that the examples write to."""

import os
import tempfile
from pathlib import Path


def example_folder() -> Path:
    """`jobrunner-example-<user id>` in the folder for temporary files, made for this user alone."""
    folder = Path(tempfile.gettempdir()) / f"jobrunner-example-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    return folder
