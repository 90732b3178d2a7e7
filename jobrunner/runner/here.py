"""Where this process stands: a deploy may delete its folder, and make another of the same name.

By itself, since function hosts load it, and next to nothing else.
"""

import os
from pathlib import Path


def stands_in(folder: Path) -> bool:
    """Whether this process is in the folder that the path names now; a deploy may replace it."""
    try:
        return os.path.samestat(os.stat("."), os.stat(folder))
    except OSError:
        return False  # whoever enters it is told why that cannot be


def enter_anew(folder: str) -> bool:
    """Go back to a folder that was deleted under this process and is there again; whether it was.

    Without it no function could ask where it is, nor open a file by a relative path.
    """
    if os.stat(".").st_nlink > 0:
        return False
    try:
        os.chdir(folder)
    except OSError:
        return False  # not yet: a deploy is under way
    return True
