"""What only Linux lets a process set: whom its orphans go to, with whom it dies, how promptly a
thread wakes."""

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1
PR_SET_TIMERSLACK = 29
PR_SET_CHILD_SUBREAPER = 36


def become_subreaper() -> bool:
    """Make orphaned descendants children of this process; False where that is not possible.

    Whoever calls this must also reap them.
    """
    return _prctl(PR_SET_CHILD_SUBREAPER, 1)


def die_with_parent(parent: int | None = None) -> bool:
    """Be killed when the parent dies; False where that is not possible.

    With `parent`, its pid as it knows it itself, exits at once when it is dead already: then the
    signal would never come. Counts from the death of the parent's *thread* that started us.
    """
    done = _prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if parent is not None and os.getppid() != parent:
        sys.exit("jobrunner: the parent process is gone")
    return done


def wake_promptly() -> bool:
    """Let the waits of this thread end when they are due; the system may take 50 µs longer to spare
    power. False where that is not possible."""
    return _prctl(PR_SET_TIMERSLACK, 1)


def _prctl(option: int, value: int) -> bool:
    if sys.platform != "linux":
        return False
    libc = ctypes.CDLL(None)
    return bool(libc.prctl(option, ctypes.c_ulong(value), 0, 0, 0) == 0)
