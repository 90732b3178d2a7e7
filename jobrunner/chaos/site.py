"""A daemon under test in a folder of its own, and the processes that belong to it."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

from jobrunner.chaos.history import VARIABLE

START_PATIENCE_S = 60.0  # on a loaded machine
STOP_PATIENCE_S = 40.0
POLL_S = 0.01
STARTED = "INFO started daemon="


class Stuck(Exception):
    """What had to happen did not, within a patience that is long enough for any machine."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a daemon is: its folder, which has `jobs.yaml`, and how short its leases are.

    With `host` its supervisor takes the processes of this machine for those of another.
    """

    folder: Path
    history: Path
    lease_s: float
    host: str = ""


class Site:
    """One daemon; started again as often as a scenario likes."""

    def __init__(self, place: Place, manifest: str, environ: Mapping[str, str]) -> None:
        self.place = place
        self.manifest = place.folder / "jobs.yaml"
        self.state = place.folder / "state"
        place.folder.mkdir(parents=True, exist_ok=True)
        self.write(manifest)
        self._environ = {**environ, VARIABLE: str(place.history)}
        self._environ["JOBRUNNER_STATE"] = str(self.state)
        self._daemon: subprocess.Popen[bytes] | None = None
        self._starts = 0

    def write(self, manifest: str) -> None:
        """Replace the manifest, in one step, as a careful user would."""
        written = self.manifest.with_suffix(".new")
        written.write_text(manifest)
        written.replace(self.manifest)

    def run_from(self, folder: Path) -> None:
        """Use the package `jobrunner` of this folder from the next start on."""
        self._environ["PYTHONPATH"] = str(folder)

    @property
    def pid(self) -> int:
        """Of the supervisor started last. Raises Stuck before the first start."""
        if self._daemon is None:
            raise Stuck("the daemon was never started")
        return self._daemon.pid

    def spawn(self) -> None:
        """Start it, without waiting."""
        place = self.place
        program = ("jobrunner.chaos.daemon", str(self.manifest), str(place.lease_s), place.host)
        self._spawn(*program)

    def spawn_like_users(self) -> None:
        """The same by the command that they have for it, with the usual leases."""
        self._spawn("jobrunner", "run", "--file", str(self.manifest))

    def _spawn(self, *program: str) -> None:
        self._starts += 1
        with self._log_path().open("wb") as log:
            self._daemon = subprocess.Popen(
                [sys.executable, "-P", "-m", *program],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=self._environ,
                cwd=self.place.folder,
                process_group=0,
            )

    def start(self) -> None:
        """Start it and wait until it is ready. Raises Stuck."""
        self.spawn()
        self.wait_until_ready()

    def wait_until_ready(self) -> None:
        """Raises Stuck when it ends, or takes too long."""

        def is_ready() -> bool:
            if not self.is_alive():
                raise Stuck(f"the daemon ended at its start:\n{self.log()[-2000:]}")
            return STARTED in self.log()

        until(is_ready, START_PATIENCE_S, "the daemon is ready")

    def ensure(self) -> None:
        """Start it if it does not live, and wait until it is ready."""
        if not self.is_alive():
            self.spawn()
        self.wait_until_ready()

    def is_alive(self) -> bool:
        return self._daemon is not None and self._daemon.poll() is None

    def signal(self, number: signal.Signals) -> None:
        """To the supervisor alone."""
        if self._daemon is not None:
            self._daemon.send_signal(number)

    def wait(self) -> int:
        """Its exit code, once it has ended. Raises Stuck."""
        if self._daemon is None:
            return 0
        try:
            return self._daemon.wait(STOP_PATIENCE_S)
        except subprocess.TimeoutExpired as error:
            raise Stuck(f"the daemon did not end:\n{self.log()[-2000:]}") from error

    def stop(self) -> int:
        """Stop it by TERM; its exit code."""
        self.signal(signal.SIGTERM)
        return self.wait()

    def end(self) -> None:
        """End it at once, its jobs given back, and whoever was stopped with it."""
        if not self.is_alive():
            return
        for process in (*self.workers(), psutil.Process(self.pid)):
            with suppress(psutil.NoSuchProcess):
                process.resume()
        self.signal(signal.SIGTERM)
        self.signal(signal.SIGTERM)
        try:
            self.wait()
        except Stuck:
            self.signal(signal.SIGKILL)
            self.wait()

    def workers(self) -> list[psutil.Process]:
        return workers_of(self.pid)

    def hosts(self) -> list[psutil.Process]:
        """Processes that perform synchronous functions."""
        return [child for child in self._performing() if _is_host(child)]

    def commands(self) -> list[psutil.Process]:
        """The first process of each running command."""
        return [child for child in self._performing() if not _is_host(child)]

    def pids(self) -> list[int]:
        """The supervisor's and the workers'."""
        return [self.pid, *(worker.pid for worker in self.workers())]

    def _performing(self) -> list[psutil.Process]:
        return [child for worker in self.workers() for child in _children(worker.pid)]

    def log(self) -> str:
        """Of the daemon started last."""
        return self._log_path().read_text(errors="replace")

    def logs(self) -> str:
        """Of all that were started."""
        paths = sorted(self.place.folder.glob("daemon-*.log"))
        return "".join(path.read_text(errors="replace") for path in paths)

    def _log_path(self) -> Path:
        return self.place.folder / f"daemon-{self._starts:03}.log"


def until(check: Callable[[], bool], within_s: float, what: str) -> None:
    """Poll until the check is true. Raises Stuck after so many seconds."""
    give_up_at = time.monotonic() + within_s
    while not check():
        if time.monotonic() > give_up_at:
            raise Stuck(f"not within {within_s:.0f} s: {what}")
        time.sleep(POLL_S)


def site_environ() -> dict[str, str]:
    """The environment for daemons under test: this process's, without what names a manifest."""
    own = ("JOBRUNNER_", "NOTIFY_SOCKET", "WATCHDOG_")
    return {name: value for name, value in os.environ.items() if not name.startswith(own)}


def workers_of(supervisor: int) -> list[psutil.Process]:
    """The workers among the children of a process."""
    return [child for child in _children(supervisor) if "jobrunner.worker" in _words_of(child)]


def _children(pid: int) -> list[psutil.Process]:
    try:
        return psutil.Process(pid).children()
    except psutil.NoSuchProcess:
        return []


def _words_of(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.Error:
        return []  # it has ended


def _is_host(process: psutil.Process) -> bool:
    return any(word.startswith("jobrunner.runner.host") for word in _words_of(process))
