"""Finds programs along PATH, as a shell does, and remembers for a moment where they were."""

import errno
import os
import time

FRESH_S = 1.0  # a program put into an earlier folder of PATH is seen after that


class Programs:
    """What was found lately. A look costs one system call per folder, a command more than that."""

    def __init__(self) -> None:
        self._found: dict[tuple[str, str], str] = {}
        self._fresh_until = 0.0  # monotonic

    def find(self, name: str, path: str) -> str:
        """Where `path`, a command's own PATH, has the program. Raises FileNotFoundError."""
        if "/" in name:
            return name
        now = time.monotonic()
        if now >= self._fresh_until:
            self._found.clear()
            self._fresh_until = now + FRESH_S
        found = self._found.get((name, path))
        if found is None:
            found = self._found[name, path] = _look(name, path)
        return found

    def forget(self) -> None:
        """Look anew: what was found could not be started."""
        self._found.clear()


def _look(name: str, path: str) -> str:
    for folder in path.split(os.pathsep):
        program = f"{folder or '.'}/{name}"
        if os.access(program, os.X_OK) and not os.path.isdir(program):
            return program
    raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), name)
