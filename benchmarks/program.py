"""A peer's processes during one run: short ones that submit or wait, and its worker."""

import json
import os
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Self

import psutil

from benchmarks.failure import PeerFailed
from benchmarks.peers.protocol import CASE, COUNTER, FOLDER, GOAL, SOCKET

TOP = Path(__file__).parents[1]
CALL_S = 300.0
END_S = 10.0  # for a worker to end by itself
STUCK_S = 30.0  # without a single job
LOOK_S = 0.002
SAID = 400  # characters of what a process said last, in an error


class Program:
    """One peer in one case on one server; `with` ends its worker."""

    def __init__(
        self, python: Path, peer: str, settings: Mapping[str, str], folder: Path, socket: str
    ) -> None:
        self._bin = python.parent
        self._command = [str(python), "-m", "benchmarks.peers", peer]
        self._counter = folder / "counter"
        self._counter.touch()
        self._log = folder / "worker.log"
        self._environ = {
            **os.environ,
            **settings,
            "PYTHONPATH": str(TOP),
            SOCKET: socket,
            COUNTER: str(self._counter),
            FOLDER: str(folder),
        }
        self._folder = folder
        self._worker: subprocess.Popen[bytes] | None = None

    def call(self, what: str, count: int) -> Any:
        """What `python -m benchmarks.peers` prints. Raises PeerFailed."""
        return json.loads(self._run([*self._command, what, str(count)]))

    def _run(self, command: Sequence[str]) -> str:
        said = " ".join(command[-2:])
        try:
            done = subprocess.run(
                command,
                capture_output=True,
                text=True,
                timeout=CALL_S,
                env=self._environ,
                cwd=self._folder,
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            raise PeerFailed(f"'{said}' takes longer than {CALL_S:.0f} s") from error
        if done.returncode:
            raise PeerFailed(f"'{said}' failed: {_last(done.stderr)}")
        return done.stdout

    def time_command(self, words: Sequence[str]) -> float:
        """Seconds that a program of the peer's environment takes. Raises PeerFailed."""
        command = [str(self._bin / words[0]), *words[1:]]
        begun = time.perf_counter()
        self._run(command)
        return time.perf_counter() - begun

    def work(self) -> None:
        """Start the worker."""
        with self._log.open("wb") as log:
            self._worker = subprocess.Popen(
                [*self._command, "work", "0"],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=self._environ,
                cwd=self._folder,
                start_new_session=True,
            )

    def performed(self) -> int:
        """Jobs so far."""
        return self._counter.stat().st_size

    def wait_for(self, count: int) -> int:
        """Until so many jobs were performed; how many that are. Raises PeerFailed when stuck."""
        performed, last_at = 0, time.monotonic()
        while performed < count:
            now = self.performed()
            if now > performed:
                performed, last_at = now, time.monotonic()
            elif self._has_ended() or time.monotonic() - last_at > STUCK_S:
                said = _last(self._log.read_text(errors="replace"))
                raise PeerFailed(f"performed {performed} of {count} jobs: {said}")
            time.sleep(LOOK_S)
        return performed

    def usage_s(self) -> float:
        """Processor time of the worker and all it has started, so far."""
        total = 0.0
        for process in self._processes():
            with suppress(psutil.NoSuchProcess):
                total += sum(process.cpu_times()[:4])  # own and of ended children
        return total

    def resident_mb(self) -> float:
        """Memory of its largest process: the one that performs jobs, not one that watches it."""
        sizes = [0]
        for process in self._processes():
            with suppress(psutil.NoSuchProcess):
                sizes.append(process.memory_info().rss)
        return max(sizes) / 1e6

    def _processes(self) -> list[psutil.Process]:
        if self._worker is None:
            return []
        worker = psutil.Process(self._worker.pid)
        return [worker, *worker.children(recursive=True)]

    def _has_ended(self) -> bool:
        return self._worker is not None and self._worker.poll() is not None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._worker is None:
            return
        self._worker.send_signal(signal.SIGTERM)
        with suppress(subprocess.TimeoutExpired):
            self._worker.wait(END_S)
        with suppress(ProcessLookupError):  # whatever is left of the session it led
            os.killpg(self._worker.pid, signal.SIGKILL)
        self._worker.wait()


def settings_of(case: str, goal: str) -> dict[str, str]:
    """What a run is told besides its place."""
    return {CASE: case, GOAL: goal}


def _last(text: str) -> str:
    return " ".join(text[-SAID:].split()) or "it said nothing"
