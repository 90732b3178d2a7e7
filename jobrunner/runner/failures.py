"""How attempts fail: each way as a `JobError` with a message that helps."""

import errno
import signal
from collections.abc import Iterable
from datetime import timedelta

from jobrunner.manifest.parts import Limits
from jobrunner.manifest.units import format_duration, format_size
from jobrunner.model import JobError, Reason

NOT_EXECUTABLE = 126  # as shells say it
NOT_FOUND = 127
BY_SIGNAL = 128
# Ends as by a TERM or KILL that was not ours; shells and function hosts say it by their exit code.
KILLED = frozenset(
    code for number in (signal.SIGTERM, signal.SIGKILL) for code in (-number, BY_SIGNAL + number)
)

_EXIT_HINTS = {
    NOT_EXECUTABLE: "the command is not executable",
    NOT_FOUND: "a command was not found",
}
_SIGNAL_HINTS: dict[int, str] = {
    signal.SIGKILL: "the machine may be out of memory, or somebody killed it",
    signal.SIGXCPU: "it used up limits.cpu",
    signal.SIGXFSZ: "a file grew too large",
}
LONGEST_QUOTE = 300  # characters of a last line in a message


class CannotStart(Exception):
    """The attempt failed before its command began; `exit_code` as a shell would have given."""

    def __init__(
        self,
        what: str,
        *,
        why: str | None = None,
        fix: str | None = None,
        exit_code: int | None = None,
        reason: Reason = Reason.ERROR,
    ) -> None:
        super().__init__(what)
        self.exit_code = exit_code
        self.reason = reason
        self.error = JobError(
            type="start",
            message="; ".join(part for part in (what, why, fix) if part),
            exit_code=exit_code,
        )


class NoRoom(CannotStart):
    """The machine lacks something that it may have again in a moment: files, processes, memory."""


# Of the errors of the system, those that say so.
_LACKS = frozenset(
    {
        errno.EAGAIN,  # no more processes or threads
        errno.EDQUOT,
        errno.EMFILE,
        errno.ENFILE,
        errno.ENOBUFS,
        errno.ENOMEM,
        errno.ENOSPC,
    }
)


def no_room(error: BaseException) -> NoRoom | None:
    """What the error of a start means, if it is for want of a resource; None if it is not."""
    if isinstance(error, RuntimeError) and "start new thread" in str(error):
        return NoRoom("there is no room for another thread")
    if isinstance(error, OSError) and error.errno in _LACKS:
        return NoRoom(f"there is no room for another process: {error.strerror}")
    return None


def exit_error(code: int, last_line: str, reached: str = "") -> JobError:
    """For an exit code that is no success; negative: by a signal, as `subprocess` says it.

    `reached` tells of a limit at which the kernel refused something, or killed: see `limit_text`.
    """
    if code < 0:
        return _signal_error(-code, reached)
    said = quoted_line(last_line) + (f"; {reached}" if reached else "")
    if code > BY_SIGNAL and code - BY_SIGNAL in _known_signals():
        said = f" ({BY_SIGNAL} + {signal.Signals(code - BY_SIGNAL).name}){said}"
    elif code in _EXIT_HINTS:
        said = said or f": {_EXIT_HINTS[code]}"
    return JobError(type="exit", message=f"exit code {code}{said}", exit_code=code)


def death_of(code: int | None) -> str:
    """How a process ended, e.g. `was killed by SIGSEGV`; None is an unknown end."""
    if code is None:
        return "is gone"
    return f"was {_signal_error(-code).message}" if code < 0 else f"exited with code {code}"


def limit_text(name: str, limits: Limits) -> str:
    """What happened at a limit of the whole job."""
    if name == "memory":
        size = format_size(limits.memory or 0)
        return f"the job had reached limits.memory of {size}, and the kernel killed of it"
    if name == "pids":
        return f"the job had reached limits.pids of {limits.pids}, and could start no more"
    return f"the job used up limits.cpu of {format_duration(limits.cpu or timedelta(0))}"


def limit_error(name: str, limits: Limits) -> JobError:
    """For an attempt that was stopped at a limit of the whole job."""
    return JobError(type="limit", message=limit_text(name, limits))


def _signal_error(number: int, reached: str = "") -> JobError:
    name = signal.Signals(number).name if number in _known_signals() else f"signal {number}"
    hint = reached or _SIGNAL_HINTS.get(number)
    message = f"killed by {name}" + (f": {hint}" if hint else "")
    return JobError(type="signal", message=message, exit_code=BY_SIGNAL + number)


def _known_signals() -> Iterable[int]:
    return [int(number) for number in signal.Signals]


def quoted_line(line: str) -> str:
    """`: the line`, shortened, to follow what it explains; empty for an empty line."""
    line = line.strip()
    if len(line) > LONGEST_QUOTE:
        line = line[:LONGEST_QUOTE] + "…"
    return f": {line}" if line else ""


def timeout_error(timeout: timedelta | None) -> JobError:
    """For an attempt that was stopped because it took too long."""
    return JobError(
        type="timeout",
        message=f"ran longer than its timeout of {format_duration(timeout or timedelta(0))}",
    )
