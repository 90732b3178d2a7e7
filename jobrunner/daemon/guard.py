"""Kills what workers had started when their supervisor is killed.

The workers die with it, by the kernel's hand; their commands do not. They would go on until a daemon
starts on this host again, while another host runs their jobs once more, and hands out their locks.
So a process outlives the supervisor: it is told of every worker through a pipe that only the
supervisor holds open, and acts when that closes. A shell does the waiting, since it needs a tenth
of an interpreter's memory: `python -m jobrunner.daemon.guard PID START` does the killing.
"""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterable
from contextlib import suppress

from jobrunner.log import EventLog
from jobrunner.runner.processes import kill_leftovers
from jobrunner.runner.proctable import started_at

WAIT_FOR_END = 'told=$(cat); printf "%s\\n" "$told" | "$@"'
GONE = "-"  # before the id of a worker that has ended
EXIT_PATIENCE_S = 1.0  # the pipe closes a moment before the process is gone
EXIT_POLL_S = 0.01


class Guard:
    """The guard of one supervisor; runs from the first worker on."""

    def __init__(self) -> None:
        self._workers: dict[str, None] = {}
        self._process: subprocess.Popen[bytes] | None = None

    def watch(self, worker: str) -> None:
        """A worker is about to start."""
        self._workers[worker] = None
        self._tell([worker])

    def forget(self, worker: str) -> None:
        """A worker has ended, and what it left is dead."""
        self._workers.pop(worker, None)
        self._tell([GONE + worker])

    def close(self) -> None:
        """End the guard; no worker is left."""
        if self._process is not None:
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
            self._process = None

    def _tell(self, lines: Iterable[str]) -> None:
        if self._process is None or self._process.poll() is not None:
            self._process = _start()
            lines = self._workers
        pipe = self._process.stdin
        text = "".join(f"{line}\n" for line in lines)
        try:
            if pipe is not None:
                pipe.write(text.encode())
        except BrokenPipeError:
            EventLog().warning("lost the guard; it is started again for the next worker")


def _start() -> "subprocess.Popen[bytes]":
    command = [sys.executable, "-P", "-m", "jobrunner.daemon.guard"]
    pid = os.getpid()
    return subprocess.Popen(
        [
            "/bin/sh",
            "-c",
            WAIT_FOR_END,
            "jobrunner-guard",
            *command,
            str(pid),
            str(started_at(pid)),
        ],
        stdin=subprocess.PIPE,
        bufsize=0,
        start_new_session=True,  # what kills the supervisor's group must not kill its guard
    )


def main(supervisor: int, since: float, lines: Iterable[str]) -> None:
    """Kill what the workers left, unless the supervisor lives: then only the shell was killed."""
    give_up_at = time.monotonic() + EXIT_PATIENCE_S
    while started_at(supervisor) == since:
        if time.monotonic() > give_up_at:
            return
        time.sleep(EXIT_POLL_S)
    for worker in _living(lines):
        kill_leftovers(worker)


def _living(lines: Iterable[str]) -> list[str]:
    told = [line.strip() for line in lines]
    ended = {line.removeprefix(GONE) for line in told if line.startswith(GONE)}
    return [line for line in told if line and not line.startswith(GONE) and line not in ended]


if __name__ == "__main__":
    main(int(sys.argv[1]), float(sys.argv[2]), sys.stdin)
