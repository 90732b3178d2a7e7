"""One control group: a folder of the kernel's. Version 1 and 2 differ in little but names.

A group that is gone reads as empty; what the kernel does not offer reads as None.
"""

import contextlib
import os
import signal
import time
from collections.abc import Iterable

REMOVE_PATIENCE_S = 0.1  # the kernel lets go of a killed process a moment after it is gone
POLL_S = 0.002


def read(folder: str, name: str) -> str | None:
    """The text of one of its files."""
    try:
        with open(f"{folder}/{name}", encoding="ascii", errors="replace") as file:
            return file.read()
    except OSError:
        return None


def write(folder: str, name: str, text: str | int) -> None:
    """Raises OSError, for a text that the kernel refuses, too."""
    opened = os.open(f"{folder}/{name}", os.O_WRONLY)
    try:
        os.write(opened, str(text).encode())
    finally:
        os.close(opened)


def can_write(folder: str, name: str, text: str | int) -> bool:
    """Write, where that can be done."""
    try:
        write(folder, name, text)
    except OSError:
        return False
    return True


def number(folder: str, name: str, key: str | None = None) -> int | None:
    """A number that stands alone in a file, or behind `key` on a line of it."""
    text = read(folder, name)
    if text is None:
        return None
    words = [line.split() for line in text.splitlines()]
    found = [line[-1] for line in words if line and (key is None or line[0] == key)]
    return int(found[0]) if found and found[0].isdecimal() else None


def subgroups(folder: str) -> list[str]:
    """The group and all below it, the deepest first."""
    return [path for path, _, _ in os.walk(folder, topdown=False)]


def members(folder: str, *, is_deep: bool = True) -> list[int]:
    """Pids of the processes in it and, unless told otherwise, below it."""
    groups = subgroups(folder) if is_deep else [folder]
    texts = (read(group, "cgroup.procs") or "" for group in groups)
    # 0 is a process of a PID namespace that we cannot see into.
    return [pid for text in texts for pid in map(int, text.split()) if pid > 0]


def kill(folder: str) -> None:
    """KILL to all in it and below it; a process that forks meanwhile does not get away with it."""
    if can_write(folder, "cgroup.kill", 1):
        return
    groups = subgroups(folder)
    for group in groups:  # no more forks, by whichever controller there is
        can_write(group, "pids.max", 0)
        can_write(group, "freezer.state", "FROZEN")
    for pid in members(folder):
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(pid, signal.SIGKILL)
    for group in groups:
        can_write(group, "freezer.state", "THAWED")


def remove(folders: Iterable[str]) -> bool:
    """Remove empty groups with all below them; False when one is not empty."""
    give_up_at = time.monotonic() + REMOVE_PATIENCE_S
    left = [group for folder in folders for group in subgroups(folder)]
    while True:
        left = [group for group in left if not _is_removed(group)]  # the deepest first
        if not left or time.monotonic() > give_up_at:
            return not left
        time.sleep(POLL_S)


def _is_removed(group: str) -> bool:
    try:
        os.rmdir(group)
    except FileNotFoundError:
        return True
    except OSError:
        return False
    return True
