"""The real daemon and the real CLI in a temporary folder, as a user would run them.

Jobs are submitted and read by a `Client` in the test's own process, since each run of the CLI costs
a fifth of a second; tests whose rule is about a command use `cli`.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import textwrap
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar, Unpack

import psutil

from jobrunner.client.request import SubmitOptions
from jobrunner.client.sync import Client
from jobrunner.embedded.server import EmbeddedServer
from jobrunner.locate import find_store
from jobrunner.model import Job, JobState
from jobrunner.runner.proctable import all_pids, carries, started_at
from jobrunner.store.address import StoreAddress
from jobrunner.store.connection import StoreConnection
from jobrunner.store.keys import Keys
from jobrunner.store.leases import WorkerEntry, read_workers
from jobrunner.store.lookup import Selection, list_jobs
from jobrunner.store.requests import Command

T = TypeVar("T")

# A daemon with short leases; its supervisor may believe to be on another host.
PROGRAM = """
import os, socket, sys
from datetime import timedelta
from pathlib import Path
from jobrunner.daemon.main import run_daemon
from jobrunner.daemon.supervisor import DaemonSettings
manifest, lease_s, host = sys.argv[1:]
if host:
    socket.gethostname = lambda: host
run_daemon(DaemonSettings(Path(manifest), lease_ttl=timedelta(seconds=float(lease_s))), os.environ)
"""

START_WITHIN_S = 30  # on a loaded machine
STOP_WITHIN_S = 30
END_WITHIN_S = 20  # of a job


def act(options: str = "") -> str:
    """The demo task, for a manifest: its argument is the script to run, in the project's folder."""
    return "{shell: 'eval \"$SCRIPT\"', params: {script: {}}, " + options + "}"


# Runs until the test removes the file `running`, then says so.
PATIENT = "touch running; while [ -e running ]; do sleep 0.02; done; echo done >> witness"


def eventually(check: Callable[[], T | None], within: float = 10) -> T:
    """Poll until the check returns something true, and return that; fail after `within` seconds."""
    give_up_at = time.monotonic() + within
    while True:
        result = check()
        if result:
            return result
        if time.monotonic() > give_up_at:
            raise AssertionError(
                f"not within {within} s: {check.__doc__ or check}; last: {result!r}"
            )
        time.sleep(0.01)


def is_alive(pid: int) -> bool:
    """Whether a process lives; a zombie does not."""
    return started_at(pid) is not None


@dataclass(frozen=True)
class CliResult:
    """What one run of the CLI printed and returned."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)

    def ok(self) -> Self:
        """The result itself; fails when the command failed."""
        assert self.code == 0, f"exit code {self.code}\n{self.out}\n{self.err}"
        return self

    def refused(self, code: int) -> str:
        """What it said on stderr; fails unless it ended with this code and without a traceback."""
        assert self.code == code, f"exit code {self.code}\n{self.out}\n{self.err}"
        assert "Traceback" not in self.err, self.err
        return self.err


class Daemon:
    """One run of `jobrunner run`."""

    def __init__(self, process: "subprocess.Popen[str]", log: Path) -> None:
        self.process = process
        self.pid = process.pid
        self.log_path = log

    def log(self) -> str:
        return self.log_path.read_text()

    def wait_for_log(self, text: str, within: float = START_WITHIN_S) -> None:
        """Until the daemon has logged this text; fails when it ends before."""

        def has_text() -> bool:
            has_ended = self.process.poll() is not None
            found = text in self.log()
            assert found or not has_ended, f"the daemon ended:\n{self.log()}"
            return found

        has_text.__doc__ = f"{text!r} in the daemon's log"
        eventually(has_text, within)

    def signal(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def ended(self, within: float = STOP_WITHIN_S) -> int:
        """Wait for its end; its exit code."""
        return self.process.wait(within)

    def stop(self) -> int:
        """Stop it by TERM; its exit code."""
        self.signal(signal.SIGTERM)
        return self.ended()

    def kill(self) -> None:
        """KILL to the supervisor alone, and wait for its end."""
        self.process.kill()
        self.process.wait(STOP_WITHIN_S)


class Project:
    """A folder with a manifest and modules, a private state folder, and perhaps daemons."""

    def __init__(self, manifest: str, modules: Mapping[str, str] | None = None) -> None:
        # pytest's own temporary folders have names too long for a socket.
        self.folder = Path(tempfile.mkdtemp(prefix="jr-"))
        self.manifest = self.folder / "jobs.yaml"
        self.state = self.folder / "state"
        self.write(manifest)
        for name, text in (modules or {}).items():
            (self.folder / f"{name}.py").write_text(textwrap.dedent(text))
        self.environ = {
            **os.environ,
            "JOBRUNNER_STATE": str(self.state),
            "JOBRUNNER_FILE": str(self.manifest),
            "NO_COLOR": "1",
            "COLUMNS": "100",
        }
        self.daemons: list[Daemon] = []
        self.prefix: list[str] = []  # words before a daemon's command, which become that
        self._client: Client | None = None
        self._connection: StoreConnection | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        if kind is not None:
            self.print_logs()
        self.close()

    def write(self, manifest: str) -> None:
        """Replace the manifest."""
        self.manifest.write_text(textwrap.dedent(manifest))

    # The CLI and the daemon.

    def cli(self, *args: str, stdin: str = "", within: float = 30) -> CliResult:
        """Run the CLI to its end."""
        done = subprocess.run(
            [sys.executable, "-m", "jobrunner", *args],
            input=stdin,
            capture_output=True,
            text=True,
            env=self.environ,
            cwd=self.folder,
            timeout=within,
            check=False,
        )
        return CliResult(done.returncode, done.stdout, done.stderr)

    def json(self, *args: str) -> Any:
        """What a command prints with `--json`; it must succeed."""
        return self.cli(*args, "--json").ok().json

    def start(self, *args: str, environ: Mapping[str, str] | None = None) -> Daemon:
        """Start a daemon and wait until it is ready."""
        return self._when_ready(self.spawn(*args, environ=environ))

    def start_with_leases(self, lease_s: float, host: str = "") -> Daemon:
        """Start a daemon whose workers' leases last so many seconds, and wait until it is ready.

        With `host` its supervisor takes the processes of this machine for those of another.
        """
        return self._when_ready(self._spawn("-c", PROGRAM, str(self.manifest), str(lease_s), host))

    def _when_ready(self, daemon: Daemon) -> Daemon:
        daemon.wait_for_log("INFO started daemon=")
        self.disconnect()  # of an earlier daemon's server
        return daemon

    def spawn(self, *args: str, environ: Mapping[str, str] | None = None) -> Daemon:
        """Start a daemon without waiting for it."""
        return self._spawn("-m", "jobrunner", "run", *args, environ=environ)

    def _spawn(self, *args: str, environ: Mapping[str, str] | None = None) -> Daemon:
        path = self.folder / f"daemon-{len(self.daemons) + 1}.log"
        with path.open("w") as log:
            process = subprocess.Popen(
                [*self.prefix, sys.executable, *args],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                text=True,
                env={**self.environ, **(environ or {})},
                cwd=self.folder,
                process_group=0,
            )
        self.daemons.append(Daemon(process, path))
        return self.daemons[-1]

    # Jobs.

    @property
    def client(self) -> Client:
        if self._client is None:
            address = find_store(self.manifest, self.environ).address
            self._client = Client(address.name, address.url, socket=address.socket)
        return self._client

    def submit(
        self,
        task: str,
        params: Mapping[str, Any] | None = None,
        **options: Unpack[SubmitOptions],
    ) -> str:
        """Submit a job; returns its id."""
        return self.client.submit(task, params, **options).id

    def act(self, script: str, task: str = "act", **options: Unpack[SubmitOptions]) -> str:
        """Submit a job of a demo task, which runs this script; returns its id."""
        return self.submit(task, {"script": script}, **options)

    def job(self, job_id: str) -> Job:
        return self.client.job(job_id)

    def ended(self, job_id: str, within: float = END_WITHIN_S) -> Job:
        """The job, once it has ended."""
        return self.all_ended([job_id], within)[0]

    def all_ended(self, job_ids: Sequence[str], within: float = END_WITHIN_S) -> list[Job]:
        """The jobs, once all have ended."""
        return self.client.wait(job_ids, within)

    def wait_for(self, job_id: str, state: JobState, within: float = END_WITHIN_S) -> Job:
        """The job, once it is in a state."""

        def is_there() -> Job | None:
            job = self.job(job_id)
            return job if job.state is state else None

        is_there.__doc__ = f"{job_id} is {state}"
        return eventually(is_there, within)

    def running(self, job_id: str) -> Job:
        """The job, once it runs."""
        return self.wait_for(job_id, JobState.RUNNING)

    def jobs(self) -> list[Job]:
        """All jobs, oldest first."""
        everything = Selection(states=tuple(JobState), limit=100_000)
        return self.store.run(list_jobs(self.keys, everything))[::-1]

    # What jobs leave.

    def lines(self, name: str = "witness") -> list[str]:
        """Lines of a file in the project's folder; none when there is no such file."""
        with suppress(FileNotFoundError):
            return (self.folder / name).read_text().splitlines()
        return []

    def wait_for_lines(self, count: int, name: str = "witness") -> list[str]:
        """The lines of a file, once there are so many."""

        def are_there() -> list[str] | None:
            lines = self.lines(name)
            return lines if len(lines) >= count else None

        are_there.__doc__ = f"{count} lines in {name}"
        return eventually(are_there, END_WITHIN_S)

    # The store and the processes.

    @property
    def keys(self) -> Keys:
        return Keys(self.client.address.name)

    @property
    def store(self) -> StoreConnection:
        """A connection of the test's own."""
        if self._connection is None:
            self._connection = StoreConnection(self.client.address)
        return self._connection

    def execute(self, *args: str) -> Any:
        """The reply to one command."""
        return self.store.execute(Command(args))

    def info(self, section: str) -> dict[str, str]:
        """What `INFO` tells."""
        lines = self.execute("INFO", section).decode().splitlines()
        return dict(line.split(":", 1) for line in lines if ":" in line)

    def server_pid(self) -> int:
        return int(self.info("server")["process_id"])

    def workers(self) -> list[WorkerEntry]:
        """The workers that have a lease."""
        return self.store.run(read_workers(self.keys))

    def workers_ready(self, count: int) -> list[WorkerEntry]:
        """The workers, once there are so many that live."""

        def are_ready() -> list[WorkerEntry] | None:
            alive = [worker for worker in self.workers() if is_alive(worker.pid)]
            return alive if len(alive) == count else None

        are_ready.__doc__ = f"{count} workers"
        return eventually(are_ready, START_WITHIN_S)

    def worker_processes(self) -> list[psutil.Process]:
        """Workers of the daemon that was started last, also such that are not ready yet."""
        children = psutil.Process(self.daemons[-1].pid).children()
        return [child for child in children if "jobrunner.worker" in _command_line(child)]

    def worker_pid(self, job: Job) -> int:
        """The process that runs a job."""
        return next(worker.pid for worker in self.workers() if worker.id == job.worker)

    def processes_of(self, job_id: str) -> list[int]:
        """Living processes of a job, wherever they have moved."""
        marker = [f"JOBRUNNER_JOB_ID={job_id}".encode()]
        return [pid for pid in all_pids() if carries(pid, marker) and is_alive(pid)]

    # The end.

    def disconnect(self) -> None:
        """Close the test's own connections; the next use opens others."""
        for opened in (self._client, self._connection):
            if opened is not None:
                opened.close()

    def print_logs(self) -> None:
        """For the report of a test that failed."""
        for daemon in self.daemons:
            print(f"--- {daemon.log_path}\n{daemon.log()}")

    def close(self) -> None:
        """Stop what runs, also a server that outlived its daemon, and remove the folder."""
        self.disconnect()
        for daemon in self.daemons:
            _end(daemon)
        if self.state.is_dir():
            EmbeddedServer(self.state, "everysec").stop()
        shutil.rmtree(self.folder, ignore_errors=True)


def _command_line(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.Error:
        return []  # it has ended


def _end(daemon: Daemon) -> None:
    """Stop a daemon at once, its jobs given back."""
    if daemon.process.poll() is not None:
        return
    daemon.signal(signal.SIGTERM)
    with suppress(subprocess.TimeoutExpired):
        daemon.ended(0.3)
        return
    daemon.signal(signal.SIGTERM)
    try:
        daemon.ended()
    except subprocess.TimeoutExpired:
        daemon.kill()


class ExternalServer:
    """A server that no daemon manages, reached by its URL."""

    def __init__(self) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="jr-ext-"))
        self._server = EmbeddedServer(self._folder, "everysec")
        self._server.ensure()
        self._password = ""

    @property
    def url(self) -> str:
        return self.url_with(self._password)

    def url_with(self, password: str) -> str:
        user = f":{password}@" if password else ""
        return f"unix://{user}{self._server.address('').socket}"

    def pid(self) -> int:
        pid = self._server.pid()
        assert pid is not None
        return pid

    def set_password(self, password: str) -> None:
        """Ask every client for this password from now on; empty for none."""
        with StoreConnection(StoreAddress("", url=self.url)) as connection:
            connection.execute(Command(("CONFIG", "SET", "requirepass", password)))
        self._password = password

    def close(self) -> None:
        self.set_password("")
        self._server.stop()
        shutil.rmtree(self._folder, ignore_errors=True)
