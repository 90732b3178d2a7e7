"""Nobody reads the daemon's log: a stopped `tee`, a log driver that hangs. Nothing waits for it."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress

import pytest

from jobrunner.errors import JobNotFound, StoreUnavailable
from jobrunner.model import JobState
from tests.daemon.harness import Daemon, Project, eventually

MANIFEST = """
name: demo
workers: {processes: 1, drain: 20s}
tasks:
  fails: {shell: exit 1}
  says: {python: "noisy:says"}
  writes: {python: "noisy:writes"}
  long: {shell: sleep 600, kill_grace: 1s}
  timed: {shell: sleep 600, kill_grace: 1s, timeout: 0.5s}
crons:
  often: {task: fails, every: 1s}
"""
# Imported by the worker, too: what it prints goes to the daemon's own output.
NOISY = """
import sys
print("x" * 100_000, flush=True)
print("x" * 100_000, file=sys.stderr, flush=True)
async def says():
    return "said"
async def writes():
    import os
    for descriptor in (1, 2):
        os.write(descriptor, b"y" * 5_000_000)
    return "written"
"""


class UnreadLog:
    """A pipe that is full from the beginning."""

    def __init__(self) -> None:
        self.read_end, self.write_end = os.pipe()
        os.set_blocking(self.write_end, False)
        with suppress(BlockingIOError):
            while os.write(self.write_end, b"\n" * 4096):
                pass
        os.set_blocking(self.write_end, True)

    def start(self, project: Project) -> Daemon:
        """Start a daemon that writes there, and wait until it takes jobs."""
        process = subprocess.Popen(
            [sys.executable, "-m", "jobrunner", "run"],
            stdin=subprocess.DEVNULL,
            stdout=self.write_end,
            stderr=self.write_end,
            text=True,
            env=project.environ,
            cwd=project.folder,
        )
        log = project.folder / "unread.log"
        log.touch()
        project.daemons.append(Daemon(process, log))

        def takes_jobs() -> bool:
            with suppress(StoreUnavailable, JobNotFound):
                return bool(project.submit("says"))
            return False

        eventually(takes_jobs, within=30)
        return project.daemons[-1]

    def read(self) -> str:
        """What was written, up to the end."""
        os.close(self.write_end)
        with os.fdopen(self.read_end, errors="replace") as reader:
            return reader.read()


@pytest.fixture(scope="module")
def demo() -> Iterator[Project]:
    with Project(MANIFEST, {"noisy": NOISY}) as project:
        UnreadLog().start(project)
        yield project


def test_crons_fire_and_functions_end_while_nobody_reads_the_log(demo: Project) -> None:
    def has_failed_twice() -> bool:
        fired = [job for job in demo.jobs() if job.task == "fails"]
        return sum(job.state is JobState.FAILED for job in fired) >= 2

    eventually(has_failed_twice, within=20)
    assert demo.ended(demo.submit("says")).result == "said"


def test_a_function_that_writes_to_the_descriptors_itself_holds_up_nobody(demo: Project) -> None:
    assert demo.ended(demo.submit("writes")).result == "written"


def test_a_timeout_ends_a_job_while_nobody_reads_the_log(demo: Project) -> None:
    job = demo.ended(demo.submit("timed"))

    assert (job.state, job.reason) == (JobState.FAILED, "timeout")


def test_a_cancel_ends_a_job_while_nobody_reads_the_log(demo: Project) -> None:
    job = demo.submit("long")
    demo.running(job)

    demo.cli("cancel", job).ok()

    assert demo.job(job).state is JobState.CANCELLED


def test_a_worker_that_dies_is_replaced_while_nobody_reads_the_log(demo: Project) -> None:
    job = demo.submit("long")
    os.kill(demo.worker_pid(demo.running(job)), 9)

    eventually(lambda: demo.job(job).state is JobState.RUNNING and demo.job(job).attempt == 2)

    demo.cli("cancel", job).ok()


def test_a_reload_is_done_while_nobody_reads_the_log(demo: Project) -> None:
    demo.write(MANIFEST.replace("  long:", "  added: {shell: 'true'}\n  long:"))

    demo.cli("reload").ok()

    assert demo.ended(demo.submit("added")).state is JobState.COMPLETED


def test_a_daemon_stops_while_nobody_reads_its_log(project: Callable[..., Project]) -> None:
    unread = UnreadLog()
    demo = project(MANIFEST, {"noisy": NOISY})
    daemon = unread.start(demo)

    assert daemon.stop() == 0


def test_a_daemon_that_cannot_start_ends_while_nobody_reads_its_log(
    project: Callable[..., Project],
) -> None:
    unread = UnreadLog()
    demo = project("name: demo\ntasks: {bad: {}}\n")

    done = subprocess.run(
        [sys.executable, "-m", "jobrunner", "run"],
        stdout=unread.write_end,
        stderr=unread.write_end,
        env=demo.environ,
        cwd=demo.folder,
        timeout=20,
        check=False,
    )

    assert done.returncode == 2


def test_what_a_function_writes_to_the_descriptors_itself_is_in_the_log(
    project: Callable[..., Project],
) -> None:
    raw = """
import os, subprocess
async def writes():
    os.write(1, b"raw to stdout\\n")
    os.write(2, b"raw to stderr\\n")
    subprocess.run(["echo", "from a child"])
"""
    demo = project('name: demo\ntasks: {writes: {python: "raw:writes"}}\n', {"raw": raw})
    daemon = demo.start()

    assert demo.ended(demo.submit("writes")).state is JobState.COMPLETED

    for line in ("raw to stdout", "raw to stderr", "from a child"):
        daemon.wait_for_log(f"{line}\n")
    assert daemon.stop() == 0
