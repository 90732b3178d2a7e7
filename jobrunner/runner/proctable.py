"""Facts about processes of this machine: identity, children, environment.

On Linux read from /proc directly, since some are asked for at every spawn; elsewhere from psutil.
"""

import os
import sys
from collections.abc import Iterable
from pathlib import Path

DEAD_STATES = (b"Z", b"X")
STOPPED_STATES = (b"T", b"t")  # by a signal, by a debugger
READ_BYTES = 16 << 10  # enough for most files at once


def boot_id() -> str:
    """Names this run of the machine."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        import psutil

        return f"boot-{psutil.boot_time():.0f}"


def pid_space() -> str:
    """Names where pids mean what they mean here: this run of the machine, and on Linux the PID
    namespace, since containers of one machine may have the same host name.
    """
    try:
        return f"{boot_id()}/{os.stat('/proc/self/ns/pid').st_ino}"
    except OSError:
        return boot_id()


def started_at(pid: int) -> float | None:
    """When the process started, which tells it from a later one of the same pid; None once dead.

    Seconds since boot on Linux (the wall clock may be set), else since the epoch. A zombie is dead.
    """
    if sys.platform != "linux":
        return _started_at_elsewhere(pid)
    fields = _stat(pid)
    if not fields or fields[0] in DEAD_STATES:
        return None
    return int(fields[19]) / os.sysconf("SC_CLK_TCK")


LONGEST_NAME = 15  # bytes of the name of a process that Linux keeps


def name_of(pid: int) -> str:
    """The name of its program, at most 15 bytes, for people; empty when it is gone.

    Not its arguments: those may hold secrets.
    """
    if sys.platform != "linux":
        import psutil

        try:
            return psutil.Process(pid).name()
        except psutil.Error:
            return ""
    return _read(f"/proc/{pid}/comm").decode(errors="replace").rstrip("\n")


def can_run(pid: int) -> bool:
    """Whether the process lives and is not stopped, e.g. by SIGSTOP."""
    if sys.platform != "linux":
        return _can_run_elsewhere(pid)
    fields = _stat(pid)
    return bool(fields) and fields[0] not in (*DEAD_STATES, *STOPPED_STATES)


def _stat(pid: int) -> list[bytes]:
    """The fields of /proc/PID/stat from the state on; none when the process is gone."""
    stat = _read(f"/proc/{pid}/stat")
    # The name in parentheses may itself hold parentheses and spaces: count from its end.
    return stat[stat.rindex(b")") + 2 :].split() if stat else []


def children(pid: int) -> list[int]:
    """Direct children of a process; empty when it is gone."""
    try:
        threads = os.listdir(f"/proc/{pid}/task")
    except FileNotFoundError:
        return [] if sys.platform == "linux" else _children_elsewhere(pid)
    if not os.path.exists(f"/proc/{pid}/task/{pid}/children"):
        return _children_elsewhere(pid)  # a kernel without CONFIG_PROC_CHILDREN, or just gone
    lists = (_read(f"/proc/{pid}/task/{thread}/children") for thread in threads)
    return [int(child) for found in lists for child in found.split()]


def open_main_children(pid: int) -> int | None:
    """A descriptor for `read_children` of a process; None where there is no such thing.

    It tells the children of the main thread: to it go the orphans, and it started most others.
    """
    try:
        return os.open(f"/proc/{pid}/task/{pid}/children", os.O_RDONLY)
    except OSError:
        return None


def read_children(opened: int) -> list[int]:
    """The children now; empty when the process is gone."""
    try:
        return [int(child) for child in _read_all(opened).split()]
    except OSError:
        return []


def descendants(pid: int) -> list[int]:
    """Children, their children and so on, whatever session or group they moved to."""
    found: list[int] = []
    below = children(pid)
    while below:
        found += below
        below = [child for parent in below for child in children(parent)]
    return found


def carries(pid: int, markers: Iterable[bytes]) -> bool | None:
    """Whether a process was started with all these `NAME=value` in its environment.

    None when it shows no environment: it is gone, belongs to another user, was given none, or is
    just beginning another program.
    """
    variables = _environment(pid)
    return set(variables).issuperset(markers) if any(variables) else None


def job_of(pid: int) -> str | None:
    """The job that a process was started for, as its environment says; for people."""
    variables = dict(word.partition(b"=")[::2] for word in _environment(pid))
    found = variables.get(b"JOBRUNNER_JOB_ID")
    return None if found is None else found.decode(errors="replace")


def all_pids() -> list[int]:
    """Every process of the machine that we may see."""
    if sys.platform == "linux":
        return [int(name) for name in os.listdir("/proc") if name.isdigit()]
    import psutil

    return psutil.pids()


def group_members(group: int) -> list[int]:
    """Pids in a process group, those that wait to be reaped included."""
    return [pid for pid in all_pids() if _group_of(pid) == group]


def _group_of(pid: int) -> int | None:
    try:
        return os.getpgid(pid)
    except OSError:
        return None


def _environment(pid: int) -> list[bytes]:
    if sys.platform == "linux":
        return _read(f"/proc/{pid}/environ").split(b"\0")
    import psutil

    try:
        return [f"{k}={v}".encode() for k, v in psutil.Process(pid).environ().items()]
    except (psutil.Error, OSError):
        return []


def _read(path: str) -> bytes:
    """A file of /proc; empty when the process is gone or not ours."""
    try:
        opened = os.open(path, os.O_RDONLY)
    except OSError:
        return b""
    try:
        return _read_all(opened)
    except OSError:
        return b""
    finally:
        os.close(opened)


def _read_all(opened: int) -> bytes:
    """From the beginning; /proc tells again what is so now."""
    text = b""
    while part := os.pread(opened, READ_BYTES, len(text)):
        text += part
    return text


def _started_at_elsewhere(pid: int) -> float | None:
    import psutil

    try:
        process = psutil.Process(pid)
        return None if process.status() == psutil.STATUS_ZOMBIE else process.create_time()
    except psutil.Error:
        return None


def _can_run_elsewhere(pid: int) -> bool:
    import psutil

    try:
        unable = (psutil.STATUS_ZOMBIE, psutil.STATUS_STOPPED, psutil.STATUS_TRACING_STOP)
        return psutil.Process(pid).status() not in unable
    except psutil.Error:
        return False


def _children_elsewhere(pid: int) -> list[int]:
    import psutil

    try:
        return [child.pid for child in psutil.Process(pid).children()]
    except psutil.Error:
        return []
