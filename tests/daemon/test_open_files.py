"""A machine without a free descriptor, or with fewer than the slots need."""

import resource
import subprocess
import sys
from collections.abc import Callable

import psutil
import pytest

from jobrunner.model import JobState
from tests.daemon.harness import Daemon, Project, eventually

Projects = Callable[..., Project]
pytestmark = pytest.mark.skipif(
    sys.platform != "linux", reason="limits of other processes are set on Linux only"
)

MANIFEST = """
name: demo
workers: {processes: 1, slots: 200}
tasks:
  says: {shell: "ulimit -Sn", max_lost: 1}
  waits: {shell: "while [ ! -e over ]; do sleep 0.05; done; echo 7 > $JOBRUNNER_RESULT"}
  counts: {python: "work:counts", max_lost: 1}
"""
WORK = """
import resource

def counts():
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]
"""


def start_within(project: Project, soft: int, hard: int) -> Daemon:
    """A daemon that may open so many files."""
    log = project.folder / "daemon.log"
    limited = 'ulimit -Sn "$2"; ulimit -Hn "$1"; shift 2; exec "$@"'
    command = ["/bin/sh", "-c", limited, "sh", str(hard), str(soft)]
    with log.open("w") as file:
        process = subprocess.Popen(
            [*command, sys.executable, "-m", "jobrunner", "run"],
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=file,
            text=True,
            env=project.environ,
            cwd=project.folder,
        )
    project.daemons.append(Daemon(process, log))
    project.daemons[-1].wait_for_log("INFO started daemon=")
    return project.daemons[-1]


def test_jobs_wait_uncounted_while_no_descriptor_is_free(project: Projects) -> None:
    demo = project(MANIFEST, {"work": WORK})
    daemon = demo.start()
    (worker,) = demo.workers_ready(1)
    running = demo.running(demo.submit("waits"))
    process = psutil.Process(worker.pid)
    soft, hard = process.rlimit(resource.RLIMIT_NOFILE)

    process.rlimit(resource.RLIMIT_NOFILE, (process.num_fds(), hard))
    jobs = [demo.submit("says"), demo.submit("counts")]
    daemon.wait_for_log("could not start jobs; they wait in their queues")
    eventually(lambda: daemon.log().count("could not start jobs") >= 3)
    for waiting in jobs:
        assert (demo.job(waiting).state, demo.job(waiting).attempt) == (JobState.QUEUED, 0)
    process.rlimit(resource.RLIMIT_NOFILE, (soft, hard))
    (demo.folder / "over").touch()

    for job in demo.all_ended(jobs):
        assert (job.state, job.attempt) == (JobState.COMPLETED, 1)
    ended = demo.ended(running.id)
    assert (ended.state, ended.result, ended.attempt) == (JobState.COMPLETED, 7, 1)
    assert "Traceback" not in daemon.log()


def test_a_worker_raises_its_limit_for_its_slots_and_jobs_get_their_own_back(
    project: Projects,
) -> None:
    demo = project(MANIFEST, {"work": WORK})
    start_within(demo, 300, 4096)
    (worker,) = demo.workers_ready(1)
    # Read before any job: it is lowered while a command is started.
    raised, _ = psutil.Process(worker.pid).rlimit(resource.RLIMIT_NOFILE)

    said, counted = demo.submit("says"), demo.submit("counts")

    assert worker.slots == 200
    assert raised > 1024
    demo.ended(said)
    assert [line.text for line in demo.client.logs(said)] == ["300"]
    assert demo.ended(counted).result == 300


def test_slots_are_lowered_to_what_the_hard_limit_allows_and_that_is_told(
    project: Projects,
) -> None:
    demo = project(MANIFEST, {"work": WORK})
    daemon = start_within(demo, 300, 400)
    (worker,) = demo.workers_ready(1)

    jobs = [demo.submit("says") for _ in range(100)]

    assert worker.slots < 50
    assert f"lowered workers.slots from 200 to {worker.slots}" in daemon.log()
    assert {job.state for job in demo.all_ended(jobs, within=60)} == {JobState.COMPLETED}
