"""A platform tells the daemon to stop and kills everything before the drain is over.

That is no loss, in whatever order the processes die and whoever rescues the jobs.
"""

import os
import signal
from collections.abc import Callable, Sequence
from contextlib import suppress

import psutil
import pytest

from jobrunner.model import JobState
from tests.daemon.harness import Daemon, ExternalServer, Project, act, eventually, is_alive

Projects = Callable[..., Project]

# One loss and a job has failed.
MANIFEST = f"""
name: demo
workers: {{processes: 1, slots: 8, drain: 60s}}
tasks:
  act: {act("max_lost: 1")}
  waits: {{python: "work:waits", max_lost: 1}}
  crashes: {{python: "work:crashes", max_lost: 1}}
"""
WORK = """
import asyncio, os, time

def waits():
    while not os.path.exists("over"):
        time.sleep(0.05)

async def crashes():
    while not os.path.exists("over"):
        await asyncio.sleep(0.05)
    os.abort()
"""
LONG = "while [ ! -e over ]; do sleep 0.05; done"


def processes_of(demo: Project, daemon: Daemon) -> dict[str, list[int]]:
    """Pids of everything that a platform would kill, by what they are."""
    guards = [child.pid for child in psutil.Process(daemon.pid).children()]
    workers = [process.pid for process in demo.worker_processes()]
    jobs = [child.pid for worker in workers for child in psutil.Process(worker).children(True)]
    server = demo.server_pid()
    rest = [pid for pid in guards if pid not in (*workers, server)]
    found = {"jobs": jobs, "workers": workers, "supervisor": [daemon.pid], "server": [server]}
    return {**found, "guard": rest}


def kill(pids: Sequence[int]) -> None:
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def stop_and_kill(demo: Project, daemon: Daemon, order: Sequence[str]) -> None:
    """TERM to the daemon, and when it drains, KILL to all in this order."""
    pids = processes_of(demo, daemon)
    daemon.signal(signal.SIGTERM)
    daemon.wait_for_log("stopped claiming")

    def is_noted() -> bool:
        return all(worker.is_stopping for worker in demo.workers())

    eventually(is_noted)
    demo.disconnect()
    for what in (*order, *(pids.keys() - order)):
        kill(pids[what])
    daemon.ended()
    eventually(lambda: not any(is_alive(pid) for each in pids.values() for pid in each))


@pytest.mark.parametrize(
    "order",
    [
        ("supervisor", "workers", "jobs"),
        ("workers", "supervisor", "jobs"),
        ("jobs", "workers", "supervisor"),
        ("server", "supervisor", "workers"),
    ],
    ids=lambda order: order[0],
)
def test_a_stop_that_is_cut_short_is_no_loss(project: Projects, order: tuple[str, ...]) -> None:
    demo = project(MANIFEST, {"work": WORK})
    daemon = demo.start()
    jobs = [demo.act(LONG), demo.submit("waits")]
    for job in jobs:
        demo.running(job)

    stop_and_kill(demo, daemon, order)

    daemon = demo.start()
    for job in jobs:
        assert demo.running(job).attempt == 1
    (demo.folder / "over").touch()
    assert {job.state for job in demo.all_ended(jobs)} == {JobState.COMPLETED}
    assert "killed while its daemon stopped" in daemon.log()


def test_another_host_that_rescues_after_the_lease_counts_no_loss(
    project: Projects, server: ExternalServer
) -> None:
    manifest = MANIFEST.replace("workers:", f"store: {{url: '{server.url}'}}\nworkers:")
    demo = project(manifest, {"work": WORK})
    first = demo.start_with_leases(2)
    job = demo.act(LONG)
    demo.running(job)

    pids = processes_of(demo, first)
    first.signal(signal.SIGTERM)
    eventually(lambda: all(worker.is_stopping for worker in demo.workers()))
    del pids["server"]
    kill([pid for each in pids.values() for pid in each])
    demo.start_with_leases(2, host="elsewhere")

    assert demo.running(job).attempt == 1
    (demo.folder / "over").touch()
    assert demo.ended(job).state is JobState.COMPLETED


def test_a_worker_that_is_killed_alone_while_it_drains_counts_no_loss(project: Projects) -> None:
    demo = project(MANIFEST, {"work": WORK})
    daemon = demo.start()
    job = demo.act(LONG)
    demo.running(job)
    daemon.signal(signal.SIGTERM)
    daemon.wait_for_log("stopped claiming")

    kill([process.pid for process in demo.worker_processes()])

    assert daemon.ended() == 0
    demo.start()
    assert demo.running(job).attempt == 1


def test_a_job_that_crashes_its_worker_during_a_drain_counts_a_loss(project: Projects) -> None:
    demo = project(MANIFEST, {"work": WORK})
    daemon = demo.start()
    poison = demo.submit("crashes")
    demo.running(poison)
    daemon.signal(signal.SIGTERM)
    daemon.wait_for_log("stopped claiming")

    (demo.folder / "over").touch()

    assert daemon.ended() == 0
    demo.start()
    job = demo.job(poison)
    assert (job.state, job.reason) == (JobState.FAILED, "lost")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_jobs_that_are_killed_with_the_daemon_go_back_to_their_queue(
    project: Projects, number: signal.Signals
) -> None:
    demo = project(MANIFEST, {"work": WORK})
    daemon = demo.start()
    jobs = [demo.act(LONG), demo.submit("waits")]
    pids = [pid for job in jobs for pid in demo.processes_of(demo.running(job).id)]
    workers = [process.pid for process in demo.worker_processes()]
    hosts = [child.pid for worker in workers for child in psutil.Process(worker).children()]

    daemon.signal(signal.SIGTERM)
    for pid in {*pids, *hosts}:
        with suppress(ProcessLookupError):
            os.kill(pid, number)

    assert daemon.ended() == 0
    demo.start()
    for job in jobs:
        assert demo.running(job).attempt == 1


def test_a_daemon_that_drains_says_so_in_status(project: Projects) -> None:
    demo = project(MANIFEST, {"work": WORK})
    daemon = demo.start()
    demo.running(demo.act(LONG))

    daemon.signal(signal.SIGTERM)

    def states() -> list[str]:
        return [each["state"] for each in demo.json("status")["daemons"]]

    eventually(lambda: states() == ["draining"])
    (demo.folder / "over").touch()
    assert daemon.ended() == 0
