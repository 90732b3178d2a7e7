"""Starts the process of a command, in a session and process group of its own.

Three ways, the cheapest that does: posix_spawn, when nothing but descriptors has to be changed;
`Popen`, which vforks, for another folder, umask or user; and `Popen` with a gate for limits and
niceness, which are set from outside while the child waits: a shell that reads one line and then
becomes the command. Never by `preexec_fn`: that forks the whole worker, eight times slower, and
runs Python in a copy of a process with threads.
"""

import math
import os
import resource
import signal
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

from jobrunner.manifest.parts import Limits
from jobrunner.runner.failures import CannotStart
from jobrunner.runner.identity import Identity
from jobrunner.runner.programs import Programs
from jobrunner.runner.refusals import refusal

KEEP_UMASK = -1
CPU_GRACE_S = 5  # between XCPU, which a program may answer, and KILL
GATE = 'read -r _ || exit 125; exec "$@" </dev/null'


@dataclass(frozen=True, slots=True)
class Launch:
    """Everything that a process is started with."""

    argv: list[str]
    env: dict[str, str]
    cwd: Path
    identity: Identity | None = None
    umask: int = KEEP_UMASK
    nice: int | None = None
    limits: Limits = field(default_factory=Limits)

    @property
    def needs_gate(self) -> bool:
        """Something must be set before the command begins."""
        return self.nice is not None or bool(_rlimits(self.limits))


def spawn(launch: Launch, programs: Programs, stdout: int, stderr: int) -> int:
    """Start the process and return its pid, for the caller to reap; raises CannotStart."""
    try:
        if launch.needs_gate:
            return _spawn_gated(launch, stdout, stderr)
        if _is_plain(launch):
            return _spawn_plain(launch, programs, stdout, stderr)
        return _popen(launch, launch.argv, subprocess.DEVNULL, stdout, stderr)
    except (OSError, ValueError, subprocess.SubprocessError) as error:
        raise refusal(error, launch.argv, launch.env, launch.cwd) from error


def _is_plain(launch: Launch) -> bool:
    return (
        sys.platform == "linux"
        and launch.identity is None
        and launch.umask == KEEP_UMASK
        and str(launch.cwd) == os.getcwd()
    )


def _spawn_plain(launch: Launch, programs: Programs, stdout: int, stderr: int) -> int:
    # posix_spawnp would look along the daemon's PATH.
    name, path = launch.argv[0], launch.env.get("PATH", os.defpath)
    program = programs.find(name, path)
    try:
        return _posix_spawn(program, launch, stdout, stderr)
    except OSError:
        programs.forget()
        if (now_at := programs.find(name, path)) == program:
            raise
        return _posix_spawn(now_at, launch, stdout, stderr)


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
    argv = ["/bin/sh", "-c", _limits_for_shell(launch.limits) + GATE, "sh", *launch.argv]
    gate, opener = os.pipe()
    try:
        pid = _popen(launch, argv, gate, stdout, stderr)
        try:
            _set_nice(pid, launch.nice)
            _set_limits(pid, launch.limits)
        except CannotStart:
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
            why="only root may ask for a higher priority than its own",
            fix="give a larger number, or start the daemon as root",
        ) from error


def _set_limits(pid: int, limits: Limits) -> None:
    if sys.platform != "linux":
        return  # done by the shell at the gate
    for name, number, soft, hard in _rlimits(limits):
        try:
            resource.prlimit(pid, number, (soft, hard))
        except (OSError, ValueError) as error:
            raise CannotStart(
                f"cannot set limits.{name} to {soft}",
                why=f"the daemon itself is limited to {resource.getrlimit(number)[1]}",
                fix="ask for less, or raise the daemon's own limit",
            ) from error


def _rlimits(limits: Limits) -> list[tuple[str, int, int, int]]:
    """(name in the manifest, rlimit, soft, hard) of the limits that are given."""
    found = []
    if limits.memory is not None:
        found.append(("memory", resource.RLIMIT_AS, limits.memory, limits.memory))
    if limits.cpu is not None:
        seconds = max(math.ceil(limits.cpu.total_seconds()), 1)
        found.append(("cpu", resource.RLIMIT_CPU, seconds, seconds + CPU_GRACE_S))
    if limits.files is not None:
        found.append(("files", resource.RLIMIT_NOFILE, limits.files, limits.files))
    return found


def _limits_for_shell(limits: Limits) -> str:
    """`ulimit` lines for systems without prlimit; macOS does not keep the one for memory."""
    if sys.platform == "linux":
        return ""
    options = {"cpu": "-t", "files": "-n"}
    chosen = [(options[name], soft) for name, _, soft, _ in _rlimits(limits) if name in options]
    return "".join(f"ulimit {option} {soft}\n" for option, soft in chosen)
