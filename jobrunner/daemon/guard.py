"""Kills what workers had started when their supervisor is killed.

The workers die with it, by the kernel's hand (not on macOS, where the guard kills them, too); their
commands do not. They would go on until a daemon starts on this host again, while another host runs
their jobs once more, and hands out their locks. So a process outlives the supervisor: it is told of
every worker through a pipe that only the supervisor holds open, and acts when that closes. A shell
does the waiting, since it needs a tenth of an interpreter's memory; `python -m
jobrunner.daemon.guard PID START OURS` does the killing. A guard that is killed itself is started
again by the next `ensure`.
"""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterable
from contextlib import suppress

import msgspec

from jobrunner import log
from jobrunner.log import EventLog
from jobrunner.runner.cgroups.discovery import give_up
from jobrunner.runner.leftovers import Ours, kill_leftovers
from jobrunner.runner.proctable import started_at

WAIT_FOR_END = 'told=$(cat); printf "%s\\n" "$told" | "$@"'
GONE = "-"  # before the id of a worker that has ended
EXIT_PATIENCE_S = 1.0  # the pipe closes a moment before the process is gone
EXIT_POLL_S = 0.01


class Guard:
    """The guard of one supervisor; runs from the first worker on."""

    def __init__(self, ours: Ours) -> None:
        self._ours = ours
        self._workers: dict[str, None] = {}  # in the order of their start
        self._process: subprocess.Popen[bytes] | None = None

    def watch(self, worker: str) -> None:
        """A worker is about to start. Raises OSError when no guard can be started."""
        self._workers[worker] = None
        if not self.ensure():
            self._tell([worker])

    def forget(self, worker: str) -> None:
        """A worker has ended, and what it left is dead."""
        self._workers.pop(worker, None)
        self._tell([GONE + worker])

    def ensure(self) -> bool:
        """Start a guard where workers have none; whether that was needed. Raises OSError."""
        if not self._workers or (self._process is not None and self._process.poll() is None):
            return False
        lost, self._process = self._process, _start(self._ours)
        self._tell(self._workers)
        if lost is not None:
            lost.communicate()  # what is left of it ends with its pipe
            EventLog().warning("lost the guard; another was started", pid=lost.pid)
        return True

    def close(self) -> None:
        """End the guard; no worker is left."""
        if self._process is not None:
            if self._process.poll() is None:
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.communicate()
            self._process = None

    def _tell(self, lines: Iterable[str]) -> None:
        pipe = self._process.stdin if self._process else None
        if pipe is not None:
            # A broken pipe: the next guard is told everything.
            with suppress(BrokenPipeError):
                pipe.write("".join(f"{line}\n" for line in lines).encode())


def _start(ours: Ours) -> "subprocess.Popen[bytes]":
    pid = os.getpid()
    kill = [sys.executable, "-P", "-m", "jobrunner.daemon.guard"]
    kill += [str(pid), str(started_at(pid)), msgspec.json.encode(ours).decode()]
    return subprocess.Popen(
        ["/bin/sh", "-c", WAIT_FOR_END, "jobrunner-guard", *kill],
        stdin=subprocess.PIPE,
        bufsize=0,
        start_new_session=True,  # what kills the supervisor's group must not kill its guard
    )


def main(supervisor: int, since: float, ours: Ours, lines: Iterable[str]) -> None:
    """Kill what the workers left, unless the supervisor lives: then only the shell was killed."""
    give_up_at = time.monotonic() + EXIT_PATIENCE_S
    while started_at(supervisor) == since:
        if time.monotonic() > give_up_at:
            return
        time.sleep(EXIT_POLL_S)
    for worker in living(lines):
        kill_leftovers(worker, ours)
    give_up(ours.cgroups)


def living(lines: Iterable[str]) -> list[str]:
    """The workers that were told of and have not ended since."""
    workers: dict[str, None] = {}
    for line in filter(None, map(str.strip, lines)):
        if line.startswith(GONE):
            workers.pop(line.removeprefix(GONE), None)
        else:
            workers[line] = None
    return list(workers)


if __name__ == "__main__":
    log.configure("info")  # and let nobody who does not read it hold up the killing
    told = msgspec.json.decode(sys.argv[3], type=Ours)
    main(int(sys.argv[1]), float(sys.argv[2]), told, sys.stdin)
