"""How many files a process may open (RLIMIT_NOFILE), and how many slots that is enough for.

A worker with many slots needs more than the usual soft limit of 1024, so it raises its own, as far
as its slots need. What it starts gets back the limit that the daemon was started with: a program
that uses select() cannot have descriptors above 1023. posix_spawn sets no limits, so the worker's
is lowered while it starts a plain command. glibc then refuses descriptors above the limit, so that
the command's pipes get numbers that were set aside. For other commands a shell sets it, and for a
function's host, which has an interpreter to load first, it is set from outside.
"""

import os
import resource
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

DAEMON_NEEDS = 256  # of a supervisor: connections, its workers, what it reads
# Of a worker, beside its slots: connections, modules while they are imported, files of functions
# that share its process, what it reads of /proc.
RESERVED = 128
# A command: both ends of two pipes, its exit, what else it is watched and confined by. The host of
# a function: its socket, two pipes, tokens, its exit.
PER_SLOT = 8
MORE_FILES = (
    "raise the hard limit (LimitNOFILE= of the unit, --ulimit nofile= of Docker, ulimit -Hn)"
)
NO_LIMIT = 1 << 20  # of all processes of Linux, unless fs.nr_open was raised


def limit() -> int:
    """The soft limit of this process."""
    return _finite(resource.getrlimit(resource.RLIMIT_NOFILE)[0])


def highest_limit() -> int:
    """To which it may be raised."""
    return _finite(resource.getrlimit(resource.RLIMIT_NOFILE)[1])


def hard_limit_of(pid: int) -> int:
    """The hard limit of another process; of this one, where that cannot be seen."""
    try:
        lines = Path(f"/proc/{pid}/limits").read_text().splitlines()
        words = next(line for line in lines if line.startswith("Max open files")).split()
        return NO_LIMIT if words[4] == "unlimited" else int(words[4])
    except (OSError, StopIteration, IndexError, ValueError):
        return highest_limit()


def raise_limit(needed: int) -> None:
    """Raise the soft limit to `needed`, as far as that is allowed; never lower it."""
    wanted = min(needed, highest_limit())
    if wanted > limit():
        _set(wanted)


def files_for(slots: int) -> int:
    """How many files a worker with so many slots may have open at once."""
    return RESERVED + slots * PER_SLOT


def slots_within(wanted: int, files: int) -> int:
    """How many of the wanted slots so many open files are enough for; at least one."""
    return max(1, min(wanted, (files - RESERVED) // PER_SLOT))


class OpenFiles:
    """The limit of what a worker starts; belongs to the worker's loop."""

    def __init__(self, before: int) -> None:
        """To be made early, while small descriptors are free; `before` is what jobs get."""
        self._before = before
        self.is_raised = sys.platform == "linux" and limit() > before
        if self.is_raised:
            self._nothing, *self._aside = [os.open(os.devnull, os.O_RDWR) for _ in range(3)]

    @contextmanager
    def lowered(self, stdout: int, stderr: int) -> Iterator[tuple[int, int]]:
        """For as long as it takes to start a program; gives other numbers for its output."""
        raised = limit()
        try:
            self._put_aside(stdout, stderr)
            _set(self._before)
            yield self._aside[0], self._aside[1]
        finally:
            _set(raised)
            self._put_aside(self._nothing, self._nothing)

    def line_for_shell(self) -> str:
        """The same by a shell that will become the program; empty when nothing is to be done."""
        return f"ulimit -S -n {self._before} || exit 125\n" if self.is_raised else ""

    def give_back(self, pid: int) -> None:
        """Set the limit of a process that has not begun its work yet."""
        if self.is_raised and sys.platform == "linux":
            hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
            resource.prlimit(pid, resource.RLIMIT_NOFILE, (self._before, hard))

    def _put_aside(self, *files: int) -> None:
        for file, aside in zip(files, self._aside, strict=True):
            os.dup2(file, aside, inheritable=False)


def _set(soft: int) -> None:
    resource.setrlimit(
        resource.RLIMIT_NOFILE, (soft, resource.getrlimit(resource.RLIMIT_NOFILE)[1])
    )


def _finite(limit: int) -> int:
    return NO_LIMIT if limit == resource.RLIM_INFINITY else limit
