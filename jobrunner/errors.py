"""The errors of jobrunner, each with what is wrong, why, and how to fix it.

Every error a user can meet derives from `JobrunnerError`; the one boundary in
`cli/app.py` turns it into a message on stderr and an exit code.
"""

from dataclasses import dataclass
from enum import IntEnum
from typing import Any

MOST_QUOTED = 80  # characters of a value in a message
MASK = "***"  # stands in the place of a secret, wherever one would be shown


class ExitCode(IntEnum):
    """Exit codes of the CLI; other programs rely on them."""

    DONE = 0
    FAILED = 1  # the job failed, or a problem was found
    USAGE = 2  # wrong usage, or an invalid manifest
    NOT_FOUND = 3
    UNREACHABLE = 4  # store or daemon
    REFUSED = 5  # by state, lock or limit
    TIMED_OUT = 6  # while waiting
    INTERRUPTED = 130


def quoted(value: object) -> str:
    """A value as a message has it: in quotes, at most 80 characters, whatever it is."""
    try:
        # Of a text no more than can be shown is looked at: it may have millions of characters.
        text = repr(value[:MOST_QUOTED]) if isinstance(value, str) else repr(value)
        is_cut = isinstance(value, str) and len(value) > MOST_QUOTED
    except Exception:  # nested too deeply, too many digits, or a class with a fault of its own
        return f"this {type(value).__name__}"
    return text if len(text) <= MOST_QUOTED and not is_cut else f"{text[: MOST_QUOTED - 3]}…"


class JobrunnerError(Exception):
    """An expected error: one line on what is wrong, and optionally why and how to fix it."""

    exit_code = ExitCode.FAILED
    excerpt: str | None = None  # source text with a caret line under the bad part, if that helps

    def __init__(self, what: str, *, why: str | None = None, fix: str | None = None) -> None:
        super().__init__(what)
        self.what = what
        self.why = why
        self.fix = fix


class UsageError(JobrunnerError):
    """The command or call was given something it cannot use."""

    exit_code = ExitCode.USAGE


class InvalidArguments(UsageError):
    """A job's arguments do not fit the task's parameters."""


class JobNotFound(JobrunnerError):
    """No job, task, cron, queue or lock of that name is known."""

    exit_code = ExitCode.NOT_FOUND


class StoreUnavailable(JobrunnerError):
    """The store cannot be reached, or refuses to serve."""

    exit_code = ExitCode.UNREACHABLE


class StoreFull(StoreUnavailable):
    """The store has no room for more jobs; what ends jobs goes on."""


class NotPermitted(StoreUnavailable):
    """The store's user may not do this; other things it may."""


class IllegalTransition(JobrunnerError):
    """The state of the thing does not allow what was asked."""

    exit_code = ExitCode.REFUSED


class LeaseLost(JobrunnerError):
    """The lease under which something was done has ended; the write was refused."""

    exit_code = ExitCode.REFUSED


class JobFailed(JobrunnerError):
    """The awaited job ended in another state than `completed`; `job` is its record."""

    def __init__(
        self, what: str, *, job: Any, why: str | None = None, fix: str | None = None
    ) -> None:
        super().__init__(what, why=why, fix=fix)
        self.job = job  # a `model.Job`, which this layer does not know


class JobTimeout(JobrunnerError):
    """The awaited job had not ended when the timeout was over; it goes on."""

    exit_code = ExitCode.TIMED_OUT


@dataclass(frozen=True, slots=True, order=True)
class Location:
    """A place in a file; line and column count from 1."""

    file: str
    line: int
    column: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}"


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong in a manifest, as values; `cli/render.py` prints it.

    `excerpt` is source text with a caret line under the bad part, where that helps.
    """

    where: Location | None
    what: str
    why: str | None = None
    fix: str | None = None
    excerpt: str | None = None


class ManifestError(JobrunnerError):
    """The manifest cannot be used; carries every problem, in file order.

    Of more than `MOST` only the first; `left_out` is how many others there are, at least.
    """

    exit_code = ExitCode.USAGE
    MOST = 100  # nobody corrects more of them before the next try

    def __init__(self, problems: list[Problem], left_out: int = 0) -> None:
        count = len(problems) + left_out
        least = "at least " if count > self.MOST else ""
        super().__init__(f"the manifest has {least}{count} problem{'s' if count != 1 else ''}")
        self.problems = problems[: self.MOST]
        self.left_out = count - len(self.problems)
