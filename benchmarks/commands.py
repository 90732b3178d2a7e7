"""Runners of commands: how many `true` a second, so many at the same time."""

import os
import shutil
import subprocess
import tempfile
import time
from collections import deque
from collections.abc import Callable, Mapping
from pathlib import Path

from benchmarks.failure import PeerFailed
from jobrunner.bench.stage import COMMAND, Stage

WARM_UP = 50
PATIENCE_S = 120.0
SPOOLED = 900  # jobs that task-spooler can queue; the thousandth would wait for the end of one


def processors() -> int:
    return os.cpu_count() or 1


def jobrunner(count: int, at_once: int) -> float:
    """Commands a second, from the first end on record to the last.

    With as many worker processes as it has unless told otherwise.
    """
    with Stage(None, processes=processors(), slots=at_once // processors()) as stage:
        stage.warm_up(COMMAND, min(WARM_UP, count))
        return stage.perform(COMMAND, count).rate


def popen_loop(count: int, at_once: int) -> float:
    """The least: start one whenever the oldest has ended; keep nothing."""
    running: deque[subprocess.Popen[bytes]] = deque()
    begun = time.perf_counter()
    for _ in range(count):
        if len(running) == at_once:
            running.popleft().wait()
        running.append(subprocess.Popen(["true"]))
    for process in running:
        process.wait()
    return count / (time.perf_counter() - begun)


def xargs(count: int, at_once: int) -> float:
    return _piped(["xargs", "-P", str(at_once), "-n", "1", "true"], count)


def gnu_parallel(count: int, at_once: int) -> float:
    return _piped(["parallel", "--will-cite", "-j", str(at_once), "true"], count)


def task_spooler(count: int, at_once: int) -> float:
    """A full queue, as for jobrunner: one job per slot holds the others up until all are there."""
    program = _found("tsp")
    count = min(count, SPOOLED)
    with tempfile.TemporaryDirectory(prefix="jr-bench-") as name:
        folder = Path(name)
        environ = {**os.environ, "TS_SOCKET": str(folder / "socket"), "TS_MAXFINISHED": "10"}
        hold = f"until [ -e {folder}/go ]; do sleep 0.01; done"
        try:
            _run([program, "-S", str(at_once)], environ)
            for _ in range(at_once):
                _run([program, "-n", "sh", "-c", hold], environ)
            for _ in range(count):
                _run([program, "-n", "true"], environ)
            begun = time.perf_counter()
            (folder / "go").touch()
            _run([program, "-w"], environ)  # for the last one
            return count / (time.perf_counter() - begun)
        finally:
            _run([program, "-K"], environ)


RUNNERS: Mapping[str, Callable[[int, int], float]] = {
    "jobrunner": jobrunner,
    "bare subprocess.Popen": popen_loop,
    "xargs -P": xargs,
    "GNU parallel": gnu_parallel,
    "task-spooler": task_spooler,
}


def _piped(command: list[str], count: int) -> float:
    program = _found(command[0])
    begun = time.perf_counter()
    _run([program, *command[1:]], os.environ, "x\n" * count)
    return count / (time.perf_counter() - begun)


def _found(name: str) -> str:
    found = shutil.which(name)
    if found is None:
        raise PeerFailed(f"{name} is not installed")
    return found


def _run(command: list[str], environ: Mapping[str, str], given: str = "") -> None:
    try:
        subprocess.run(
            command,
            input=given,
            text=True,
            env=environ,
            check=True,
            capture_output=True,
            timeout=PATIENCE_S,
        )
    except (OSError, subprocess.SubprocessError) as error:
        raise PeerFailed(f"{command[0]}: {error}") from error
