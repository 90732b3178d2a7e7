"""What a check says: all is well, or what is wrong, why that matters, and how to mend it."""

from dataclasses import dataclass
from enum import StrEnum


class Level(StrEnum):
    OK = "ok"
    WARNING = "warning"  # works, but not as well or as safely as it could
    PROBLEM = "problem"  # jobs do not run, or may be lost


@dataclass(frozen=True, slots=True)
class Finding:
    """The result of one check, which is named `check`."""

    check: str
    level: Level
    what: str
    why: str | None = None
    fix: str | None = None


def ok(check: str, what: str) -> Finding:
    return Finding(check, Level.OK, what)


def warning(check: str, what: str, why: str, fix: str) -> Finding:
    return Finding(check, Level.WARNING, what, why, fix)


def problem(check: str, what: str, why: str, fix: str) -> Finding:
    return Finding(check, Level.PROBLEM, what, why, fix)


def counted(number: int, noun: str) -> str:
    """`1 job`, `3 jobs`."""
    return f"{number} {noun}{'' if number == 1 else 's'}"


def listed(names: list[str], most: int = 3) -> str:
    """The first of the names; of more, how many there are."""
    left = len(names) - most
    return ", ".join(names[:most]) + (f" and {left} more" if left > 0 else "")


def size_text(size: int) -> str:
    """Bytes as people read them: `3.2 GiB`, `512 MiB`."""
    for unit, name in ((2**30, "GiB"), (2**20, "MiB"), (2**10, "KiB")):
        if size >= unit:
            return f"{size / unit:.1f} {name}" if size < 10 * unit else f"{size // unit} {name}"
    return f"{size} B"
