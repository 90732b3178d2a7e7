"""A server that is away for longer than a lease, dead or loading its file, ends no running job."""

import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from jobrunner.embedded.binary import bundled_binary
from jobrunner.errors import StoreUnavailable
from jobrunner.model import JobState
from jobrunner.store.address import StoreAddress
from jobrunner.store.checks import info_fields
from jobrunner.store.connection import StoreConnection
from jobrunner.store.requests import Command, Pipeline
from tests.daemon.harness import Project, eventually

Projects = Callable[..., Project]
LEASE_S = 2.0

# Each runs until the test removes the file `running`.
MANIFEST = """
name: demo
store: {{url: "unix://{socket}"}}
workers: {{processes: 1}}
tasks:
  plain: &patient
    shell: 'echo began >> $JOBRUNNER_TASK; while [ -e running ]; do sleep 0.02; done'
  locked: {{<<: *patient, lock_ttl: 1s}}
  function: {{python: "patient:wait"}}
"""
MODULE = """
import os, time
def wait():
    open("function", "a").write("began\\n")
    while os.path.exists("running"):
        time.sleep(0.02)
"""


class SlowServer:
    """A server that the test kills and starts, and that may load its file slowly."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="jr-slow-"))
        self.socket = str(self.folder / "s")
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, delay_us: int = 0) -> None:
        """`delay_us`: for each command of its file; it serves clients after each 1024 of them."""
        options = {
            "port": "0",
            "unixsocket": self.socket,
            "dir": str(self.folder),
            "save": "",
            "appendonly": "yes",
            "key-load-delay": str(delay_us),
        }
        words = [word for name, value in options.items() for word in (f"--{name}", value)]
        self._process = subprocess.Popen([str(bundled_binary()), *words], stdout=subprocess.DEVNULL)

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def is_loading(self) -> bool | None:
        """None when it does not answer."""
        try:
            with StoreConnection(StoreAddress("demo", socket=self.socket)) as connection:
                info = info_fields(connection.execute(Command(("INFO", "persistence"))))
        except StoreUnavailable:
            return None
        return info["loading"] != "0"

    def fill(self, keys: int) -> None:
        with StoreConnection(StoreAddress("demo", socket=self.socket)) as connection:
            commands = [Command(("SET", f"ballast:{number}", "x")) for number in range(keys)]
            connection.execute(Pipeline(list(commands)))


@pytest.fixture
def slow_server() -> Iterator[SlowServer]:
    server = SlowServer()
    yield server
    server.kill()
    shutil.rmtree(server.folder, ignore_errors=True)


def pass_seconds(seconds: float) -> None:
    until = time.monotonic() + seconds
    eventually(lambda: time.monotonic() > until, within=seconds + 5)


def test_jobs_run_once_through_a_long_absence_of_the_server(
    project: Projects, slow_server: SlowServer
) -> None:
    slow_server.start()
    eventually(lambda: slow_server.is_loading() is False)
    slow_server.fill(20_000)
    demo = project(MANIFEST.format(socket=slow_server.socket), {"patient": MODULE})
    (demo.folder / "running").touch()
    demo.start_with_leases(LEASE_S)
    jobs = {task: demo.submit(task) for task in ("plain", "locked", "function")}
    for task, job_id in jobs.items():
        demo.running(job_id)
        demo.wait_for_lines(1, task)

    demo.disconnect()
    slow_server.kill()
    pass_seconds(1.5 * LEASE_S)
    slow_server.start(delay_us=200)
    eventually(lambda: slow_server.is_loading() is True)
    began_at = time.monotonic()
    eventually(lambda: slow_server.is_loading() is False, within=60)
    loaded_s = time.monotonic() - began_at
    pass_seconds(2 * LEASE_S)
    second = demo.submit("locked")
    assert demo.ended(second).state is JobState.SKIPPED
    (demo.folder / "running").unlink()
    ended = demo.all_ended(list(jobs.values()))

    assert loaded_s > 1.5 * LEASE_S
    assert [(job.state, job.attempt) for job in ended] == [(JobState.COMPLETED, 1)] * 3
    assert [demo.lines(task) for task in jobs] == [["began"]] * 3
