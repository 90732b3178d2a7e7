"""A keeper: `python -I -S keeperchild.py CONTROL`, with a launch as JSON on standard input.

Starts one command of another user, and stays its parent: whatever the command leaves becomes a
child of the keeper (a subreaper), so that all of it is found by parentage. To read the environment
of another user's process takes a right that services seldom have. CONTROL is a socket to the
worker: the command's end is told there; when the worker closes it, or dies, the keeper kills all
that is left below it, and ends. It imports nothing but what comes with Python: it starts in half
the time, and runs as root.
"""

import ctypes
import json
import os
import resource
import select
import signal
import sys
from typing import Any, NoReturn

PR_SET_CHILD_SUBREAPER = 36
NOT_EXECUTABLE = 126  # as shells say it
KILL_EVERY_S = 0.01
# What could end the keeper before the command. KILL does; then the worker and its supervisor find
# what they can.
IGNORED = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT, signal.SIGTSTP)
IGNORED_BY_PYTHON = (signal.SIGPIPE, signal.SIGXFSZ)


def main() -> None:
    """Keep one command."""
    control = int(sys.argv[1])
    os.set_inheritable(control, False)
    if ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, ctypes.c_ulong(1), 0, 0, 0):
        sys.exit("jobrunner: cannot become a subreaper")
    launch = json.load(sys.stdin)
    for number in IGNORED:
        signal.signal(number, signal.SIG_IGN)
    woken, waker = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(waker, warn_on_full_buffer=False)
    command = os.fork()
    if command == 0:
        _become(launch, control)
    _close_output()
    _wait(control, woken, command)
    _kill_all(woken)


def _close_output() -> None:
    """It is the command's: the worker waits for its end."""
    null = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):
        os.dup2(null, stream)


def _wait(control: int, woken: int, command: int) -> None:
    """Reap, and tell of the command's end, until the worker closes its end."""
    while True:
        ready, _, _ = select.select([control, woken], [], [])
        if woken in ready:
            os.read(woken, 4096)
            _reap(control, command)
        if control in ready:
            try:
                if not os.read(control, 1):
                    return
            except OSError:
                return


def _reap(control: int, command: int) -> bool:
    """Take the status of all that have ended; False when no child is left."""
    while True:
        try:
            pid, status, used = os.wait4(-1, os.WNOHANG)
        except ChildProcessError:
            return False
        if pid == 0:
            return True
        if pid == command:
            _tell(control, os.waitstatus_to_exitcode(status), used)


def _tell(control: int, code: int, used: resource.struct_rusage) -> None:
    # It began as a copy of this process: less than that is not known.
    own = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    memory = used.ru_maxrss if used.ru_maxrss > own else None
    end = {
        "type": "ended",
        "code": code,
        "cpu_s": used.ru_utime + used.ru_stime,
        "memory_kib": memory,
        "read_blocks": used.ru_inblock,
        "written_blocks": used.ru_oublock,
    }
    try:
        os.write(control, json.dumps(end).encode() + b"\n")
    except OSError:
        return  # the worker has just died


def _kill_all(woken: int) -> None:
    while _reap(-1, -1):
        for pid in _descendants():
            try:
                os.kill(pid, signal.SIGKILL)
            except OSError:
                continue  # it has just ended
        select.select([woken], [], [], KILL_EVERY_S)
        try:
            os.read(woken, 4096)
        except BlockingIOError:
            continue


def _descendants() -> list[int]:
    below: dict[int, list[int]] = {}
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                with open(f"/proc/{name}/stat", "rb") as file:
                    parent = int(file.read().rpartition(b")")[2].split()[1])
            except OSError:
                continue
            below.setdefault(parent, []).append(int(name))
    found, parents = [], [os.getpid()]
    while parents:
        children = below.pop(parents.pop(), [])
        found += children
        parents += children
    return found


def _become(launch: dict[str, Any], control: int) -> NoReturn:
    """Be the command: the order is that of the rights that each step needs."""
    limit = None
    try:
        os.setsid()
        for number in (*IGNORED, *IGNORED_BY_PYTHON, signal.SIGCHLD):
            signal.signal(number, signal.SIG_DFL)
        signal.set_wakeup_fd(-1)
        if launch["nice"] is not None:
            limit = "nice"
            os.setpriority(os.PRIO_PROCESS, 0, launch["nice"])
        for name, kind, soft, hard in launch["rlimits"]:
            limit = f"limits.{name}"
            resource.setrlimit(kind, (soft, hard))
        limit = None
        os.chdir(launch["cwd"])
        if launch["umask"] >= 0:
            os.umask(launch["umask"])
        os.setgroups(launch["groups"])
        os.setresgid(launch["gid"], launch["gid"], launch["gid"])
        os.setresuid(launch["uid"], launch["uid"], launch["uid"])
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        os.execvpe(launch["argv"][0], launch["argv"], launch["env"])
    except Exception as error:
        code = error.errno if isinstance(error, OSError) else None
        named = error.filename if isinstance(error, OSError) else None
        filename = os.fsdecode(named) if named else None
        refused = {
            "type": "refused",
            "errno": code,
            "what": str(error),
            "filename": filename,
            "limit": limit,
        }
        os.write(control, json.dumps(refused).encode() + b"\n")
        os._exit(NOT_EXECUTABLE)


if __name__ == "__main__":
    main()
