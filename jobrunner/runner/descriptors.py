"""What a process has open for those that it starts: 0, 1, 2 and nothing else.

Python has what it opens closed at `exec`. That is not so of what was open before the interpreter
began, or came by way of `uvloop`; so every process of ours marks all that it finds when it starts.
"""

import os
import sys
from contextlib import suppress
from tempfile import TemporaryFile
from typing import IO

FIRST_OWN = 3  # after stdin, stdout and stderr
FOLDERS = ("/proc/self/fd", "/dev/fd")  # of Linux and macOS
MOST_GUESSED = 1024  # where neither folder is there, as in a chroot without /proc


def keep_descriptors() -> None:
    """Give none of those open now to programs that this process starts, but 0, 1 and 2."""
    for descriptor in _open_descriptors():
        with suppress(OSError):  # it was the folder's own, and is closed
            os.set_inheritable(descriptor, False)


def close_stdin() -> None:
    """Put /dev/null in the place of stdin, which was read: who is started next must not see it."""
    nowhere = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nowhere, 0)
    os.close(nowhere)


def anonymous_file() -> IO[bytes]:
    """A file that nobody else can open, in memory where the system can.

    So nothing of it reaches a disk, and no temporary folder is needed. Raises OSError.
    """
    if sys.platform == "linux":
        with suppress(OSError):  # a sandbox that forbids it
            return os.fdopen(os.memfd_create("jobrunner"), "w+b")
    return TemporaryFile()


def _open_descriptors() -> list[int]:
    for folder in FOLDERS:
        with suppress(OSError):
            return [number for number in map(int, os.listdir(folder)) if number >= FIRST_OWN]
    return list(range(FIRST_OWN, MOST_GUESSED))
