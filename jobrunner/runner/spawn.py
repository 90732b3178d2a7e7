"""Starts the process of a command, in a session and process group of its own.

Three ways, the cheapest that does: posix_spawn, when nothing but descriptors has to be changed;
`Popen`, which vforks, for another folder, umask or user; and `Popen` with a gate for limits and
niceness, which are set from outside while the child waits: a shell that reads one line and then
becomes the command. For another user the shell itself sets what anyone may, less than there is:
from outside that takes CAP_SYS_RESOURCE and CAP_SYS_NICE, which services seldom have.
Never by `preexec_fn`: that forks the whole worker, eight times slower, and runs Python in a copy of
a process with threads.
"""

import math
import os
import resource
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from jobrunner.manifest.parts import Limits
from jobrunner.runner.failures import CannotStart, no_room
from jobrunner.runner.here import stands_in
from jobrunner.runner.identity import Identity
from jobrunner.runner.openfiles import OpenFiles
from jobrunner.runner.programs import Programs
from jobrunner.runner.refusals import refusal

KEEP_UMASK = -1
CPU_GRACE_S = 5  # between XCPU, which a program may answer, and KILL
GATE = 'read -r _ || exit 125; exec "$@" </dev/null'
# Of the shell's `ulimit`: the option of a limit, and its unit in bytes, seconds or files.
SHELL_OPTIONS = {"memory": ("-v", 1024), "cpu": ("-t", 1), "files": ("-n", 1)}
SHELL_LIMITS_ELSEWHERE = ("cpu", "files")  # where there is no prlimit; macOS keeps none for memory


# Name in the manifest, number, soft and hard limit.
Rlimit = tuple[str, int, int, int]


@dataclass(frozen=True, slots=True)
class Launch:
    """Everything that a process is started with."""

    argv: list[str]
    env: dict[str, str]
    cwd: Path
    cwd_written: str | None = None  # in the manifest, if it has parameters: errors quote it
    identity: Identity | None = None
    umask: int = KEEP_UMASK
    nice: int | None = None
    limits: Limits = field(default_factory=Limits)
    open_files: OpenFiles | None = None  # None: the limit is this process's own
    enter: Callable[[int], None] | None = None  # is told the pid before the command begins

    @property
    def needs_gate(self) -> bool:
        """Something must be set before the command begins."""
        is_limited = self.nice is not None or bool(rlimits_of(self.limits))
        return is_limited or self.enter is not None

    @property
    def lowers_files(self) -> bool:
        """It gets back the limit that this process has raised for itself."""
        return self.open_files is not None and self.open_files.is_raised


def spawn(launch: Launch, programs: Programs, stdout: int, stderr: int) -> int:
    """Start the process and return its pid, for the caller to reap; raises CannotStart."""
    try:
        if launch.needs_gate:
            return _spawn_gated(launch, stdout, stderr)
        if _is_plain(launch):
            return _spawn_plain(launch, programs, stdout, stderr)
        if launch.lowers_files:
            return _spawn_gated(launch, stdout, stderr)
        return _popen(launch, launch.argv, subprocess.DEVNULL, stdout, stderr)
    except (OSError, ValueError, subprocess.SubprocessError) as error:
        if (lack := no_room(error)) is not None:
            raise lack from error
        raise refusal(error, launch.argv, launch.env, launch.cwd, launch.cwd_written) from error


def _is_plain(launch: Launch) -> bool:
    return (
        sys.platform == "linux"
        and launch.identity is None
        and launch.umask == KEEP_UMASK
        and stands_in(launch.cwd)
    )


def _spawn_plain(launch: Launch, programs: Programs, stdout: int, stderr: int) -> int:
    # posix_spawnp would look along the daemon's PATH.
    name, path = launch.argv[0], launch.env.get("PATH", os.defpath)
    program = programs.find(name, path)
    try:
        return _start_plain(program, launch, stdout, stderr)
    except OSError:
        programs.forget()
        if (now_at := programs.find(name, path)) == program:
            raise
        return _start_plain(now_at, launch, stdout, stderr)


def _start_plain(program: str, launch: Launch, stdout: int, stderr: int) -> int:
    if launch.open_files is None or not launch.open_files.is_raised:
        return _posix_spawn(program, launch, stdout, stderr)
    with launch.open_files.lowered(stdout, stderr) as (out, err):
        return _posix_spawn(program, launch, out, err)


def _posix_spawn(program: str, launch: Launch, stdout: int, stderr: int) -> int:
    files = (
        (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
        (os.POSIX_SPAWN_DUP2, stdout, 1),
        (os.POSIX_SPAWN_DUP2, stderr, 2),
    )
    return os.posix_spawn(
        program,
        launch.argv,
        launch.env,
        file_actions=files,
        setsid=True,
        setsigdef=(signal.SIGPIPE, signal.SIGXFSZ),  # Python ignores them; a command must not
    )


def _popen(launch: Launch, argv: list[str], stdin: int, stdout: int, stderr: int) -> int:
    who = launch.identity
    process = subprocess.Popen(
        argv,
        stdin=stdin,
        stdout=stdout,
        stderr=stderr,
        cwd=launch.cwd,
        env=launch.env,
        start_new_session=True,
        umask=launch.umask,
        user=who.uid if who else None,
        group=who.gid if who else None,
        extra_groups=who.groups if who else None,
    )
    process.returncode = 0  # hand it over: it is reaped by its pid, like one of posix_spawn
    return process.pid


def _spawn_gated(launch: Launch, stdout: int, stderr: int) -> int:
    inside, outside = _split(launch)
    nice = _nice_for_shell(launch)
    limits = _open_files_for_shell(launch) + _limits_for_shell(inside)
    argv = ["/bin/sh", "-c", limits + GATE, "sh", *nice, *launch.argv]
    gate, opener = os.pipe()
    try:
        pid = _popen(launch, argv, gate, stdout, stderr)
        try:
            if launch.enter is not None:
                launch.enter(pid)
            if not nice:
                _set_nice(pid, launch.nice)
            _set_limits(pid, outside)
        except BaseException:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
            raise
        os.write(opener, b"\n")
        return pid
    finally:
        os.close(gate)
        os.close(opener)


def _set_nice(pid: int, nice: int | None) -> None:
    if nice is None:
        return
    try:
        os.setpriority(os.PRIO_PROCESS, pid, nice)
    except PermissionError as error:
        raise CannotStart(
            f"cannot set nice to {nice}",
            why=f"the daemon's own is {_own_nice()}, and it takes CAP_SYS_NICE to go below",
            fix=f"give {_own_nice()} or more, or give the daemon CAP_SYS_NICE",
        ) from error


def _set_limits(pid: int, limits: list[Rlimit]) -> None:
    for name, number, soft, hard in limits:
        try:
            resource.prlimit(pid, number, (soft, hard))
        except (OSError, ValueError) as error:
            own = resource.getrlimit(number)[1]
            raise CannotStart(
                f"cannot set limits.{name} to {soft}",
                why=f"the daemon has {own} itself, and it takes CAP_SYS_RESOURCE to set more",
                fix="ask for less, raise the daemon's own limit, or give it CAP_SYS_RESOURCE",
            ) from error


def rlimits_of(limits: Limits) -> list[Rlimit]:
    """(name in the manifest, rlimit, soft, hard) of the limits that are given."""
    found = []
    if limits.memory is not None:
        found.append(("memory", resource.RLIMIT_AS, limits.memory, limits.memory))
    if limits.cpu is not None:
        seconds = max(math.ceil(limits.cpu.total_seconds()), 1)
        found.append(("cpu", resource.RLIMIT_CPU, seconds, seconds + CPU_GRACE_S))
    if limits.files is not None:
        found.append(("files", resource.RLIMIT_NOFILE, limits.files, limits.files))
    if limits.pids is not None:
        found.append(("pids", resource.RLIMIT_NPROC, limits.pids, limits.pids))
    return found


def _split(launch: Launch) -> tuple[list[Rlimit], list[Rlimit]]:
    """The limits that the shell at the gate sets, and those that are set from outside."""
    limits = rlimits_of(launch.limits)
    if sys.platform != "linux":
        return [limit for limit in limits if limit[0] in SHELL_LIMITS_ELSEWHERE], []
    inside = [limit for limit in limits if launch.identity is not None and _is_less(*limit)]
    return inside, [limit for limit in limits if limit not in inside]


def _is_less(name: str, number: int, soft: int, _hard: int) -> bool:
    """Whether anyone may set it, by the shell."""
    own = resource.getrlimit(number)[1]
    return name in SHELL_OPTIONS and (own == resource.RLIM_INFINITY or soft <= own)


def _open_files_for_shell(launch: Launch) -> str:
    if launch.open_files is None or launch.limits.files is not None:
        return ""
    return launch.open_files.line_for_shell()


def _limits_for_shell(limits: list[Rlimit]) -> str:
    """`ulimit` lines: the soft limit first, which the hard one may not go below."""
    lines = []
    for name, number, soft, hard in limits:
        option, unit = SHELL_OPTIONS[name]
        own = resource.getrlimit(number)[1]
        most = hard if own == resource.RLIM_INFINITY else min(hard, own)
        lines += [f"ulimit -S {option} {soft // unit}", f"ulimit -H {option} {most // unit}"]
    return "".join(f"{line} || exit 125\n" for line in lines)


def _nice_for_shell(launch: Launch) -> list[str]:
    """The words by which the shell starts the command as a nicer one; none if it shall not."""
    if launch.identity is None or launch.nice is None or launch.nice < _own_nice():
        return []
    program = shutil.which("nice", path=os.defpath)
    return [] if program is None else [program, "-n", str(launch.nice - _own_nice())]


def _own_nice() -> int:
    return os.getpriority(os.PRIO_PROCESS, 0)
