"""Removes a tree of files that a job has made, which may be as deep and as hostile as it likes.

By descriptor and without recursion: a path of so many folders is longer than the system takes, and
a link, or a folder that is moved meanwhile, must not lead out of the tree. No descriptor is kept
for each level, either. Each folder is moved up to the top before it is emptied, so that the way
back is never asked for: `..` of a folder that somebody moves is somewhere else.
"""

import errno
import itertools
import os
import time
from contextlib import suppress

FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW
PATIENCE_S = 60.0  # somebody may fill the tree as fast as it is emptied; the rest is left
TAKEN = (errno.EEXIST, errno.ENOTEMPTY, errno.ENOTDIR, errno.EISDIR)  # there is such a name


def remove_tree(name: str, parent: int | None = None) -> None:
    """Remove a file, or a folder with all that is in it; the name is one in an opened folder.

    Takes 60 s at most. What cannot be removed is left; no error is raised.
    """
    if _unlinked(name, parent):
        return
    with suppress(OSError):
        top = _opened(name, parent)
        try:
            _empty(top, time.monotonic() + PATIENCE_S)
        finally:
            os.close(top)
        os.rmdir(name, dir_fd=parent)


def _unlinked(name: str, folder: int | None) -> bool:
    """Whether it is gone: folders stay."""
    try:
        os.unlink(name, dir_fd=folder)
    except FileNotFoundError:
        return True
    except OSError:
        return False
    return True


def _opened(name: str, folder: int | None) -> int:
    """The folder, which we may empty from now on. Raises OSError."""
    try:
        opened = os.open(name, FOLDER, dir_fd=folder)
    except PermissionError:
        if os.geteuid() == 0:
            raise  # no mode keeps root out; and by a name it could be led to another's file
        os.chmod(name, 0o700, dir_fd=folder)
        opened = os.open(name, FOLDER, dir_fd=folder)
    with suppress(OSError):
        os.fchmod(opened, 0o700)
    return opened


def _empty(top: int, until: float) -> None:
    """Remove all that is in an opened folder, as long as there is time."""
    free = itertools.count()
    left: set[str] = set()
    while names := [name for name in os.listdir(top) if name not in left]:
        for name in names:
            if time.monotonic() > until:
                return
            if not _unlinked(name, top) and not _is_hollowed(name, top, free):
                left.add(name)


def _is_hollowed(name: str, top: int, free: "itertools.count[int]") -> bool:
    """Whether the folder is gone. Folders in it are moved to the top, for their turn to come."""
    try:
        opened = _opened(name, top)
        try:
            for inner in os.listdir(opened):
                if not _unlinked(inner, opened):
                    _move_up(inner, opened, top, free)
        finally:
            os.close(opened)
        os.rmdir(name, dir_fd=top)
    except OSError:
        return False
    return True


def _move_up(inner: str, folder: int, top: int, free: "itertools.count[int]") -> None:
    """Raises OSError."""
    os.close(_opened(inner, folder))  # to move a folder takes the right to write to it
    for number in free:
        try:
            os.rename(inner, f".removed-{number}", src_dir_fd=folder, dst_dir_fd=top)
        except OSError as error:
            if error.errno not in TAKEN:
                raise
        else:
            return
