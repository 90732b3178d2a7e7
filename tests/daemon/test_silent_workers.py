"""Workers too busy to renew: slow is not dead, and neither a timeout nor a cancel waits."""

import os
import signal
import time
from collections.abc import Callable

import pytest

from jobrunner.model import Job, JobState, Reason
from tests.daemon.harness import Project, act, eventually, is_alive

Projects = Callable[..., Project]

LEASE_S = 1.5  # the supervisor of a loaded machine has to look within the half of it
MANIFEST = f"""
name: demo
workers: {{processes: 1, slots: 4}}
imports: [slow]
tasks:
  act: {act("kill_grace: 0.1s")}
  hold: {{python: "slow:hold", kill_grace: 0.2s, lock: {{name: machine, ttl: 1s}}}}
  block: {{python: "slow:block", kill_grace: 0.2s, lock: {{name: machine, ttl: 1s}}}}
  hold_once: {{python: "slow:hold_once", kill_grace: 0.2s}}
  hold_briefly: {{python: "slow:hold", kill_grace: 0.2s, timeout: 0.5s, retry: {{attempts: 2}}}}
"""
SLOW = """
import ctypes
import os
import time

def note(what: str) -> None:
    with open("witness", "a") as file:
        file.write(what + "\\n")

async def hold(seconds: float = 60) -> None:
    note("begin")
    # As C code that computes for long: no other thread of this process runs meanwhile.
    ctypes.PyDLL(None).usleep(int(seconds * 1_000_000))
    note("end")

async def hold_once() -> None:
    with open("witness") if os.path.exists("witness") else open(os.devnull) as file:
        is_first = not file.read()
    await hold(60 if is_first else 0)

async def block(seconds: float) -> None:
    note("begin")
    time.sleep(seconds)
    note("end")
"""
LONG_S = 3 * LEASE_S


@pytest.fixture
def demo(project: Projects) -> Project:
    demo = project(MANIFEST, {"slow": SLOW})
    demo.start_with_leases(LEASE_S)
    return demo


def silent(demo: Project, job_id: str) -> Job:
    """The job, once it holds up its worker and the supervisor has seen so."""
    demo.wait_for_lines(1)
    demo.daemons[-1].wait_for_log("renewed the lease of a worker that could not")
    return demo.job(job_id)


@pytest.mark.parametrize("task", ["hold", "block"])
def test_a_task_that_holds_up_its_worker_for_several_leases_runs_once_and_keeps_its_lock(
    demo: Project, task: str
) -> None:
    neighbour = demo.act(f"echo $JOBRUNNER_ATTEMPT >> neighbour; sleep {LONG_S}")
    demo.wait_for_lines(1, "neighbour")
    [before] = demo.workers_ready(1)

    job_id = demo.submit(task, {"seconds": LONG_S})
    demo.wait_for_lines(1)
    lock = demo.keys.lock("machine")
    held_until = []

    def has_ended() -> bool:
        held_until.append(float(demo.execute("ZSCORE", lock, job_id) or 0) / 1000 - time.time())
        return demo.job(job_id).is_terminal

    eventually(has_ended, within=LONG_S + 10)
    ended = demo.all_ended([job_id, neighbour])
    assert [(job.state, job.attempt) for job in ended] == [(JobState.COMPLETED, 1)] * 2
    assert demo.lines() == ["begin", "end"]
    assert demo.lines("neighbour") == ["1"]
    assert min(held_until[:-1]) > 0
    assert [worker.id for worker in demo.workers_ready(1)] == [before.id]


def test_a_job_that_holds_up_its_worker_ends_at_its_timeout(demo: Project) -> None:
    neighbour = demo.act("[ $JOBRUNNER_ATTEMPT != 1 ] || sleep 600")  # it may die with both
    demo.running(neighbour)

    failed = demo.ended(demo.submit("hold_briefly"))

    assert (failed.state, failed.reason, failed.attempt) == (JobState.FAILED, Reason.TIMEOUT, 2)
    assert demo.lines() == ["begin", "begin"]
    assert demo.ended(neighbour).state is JobState.COMPLETED


def test_a_job_that_holds_up_its_worker_can_be_cancelled(demo: Project) -> None:
    job_id = demo.submit("hold")
    silent(demo, job_id)

    demo.client.cancel(job_id)

    ended = demo.ended(job_id)
    assert ended.state is JobState.CANCELLED
    assert demo.lines() == ["begin"]
    assert demo.ended(demo.act("true")).state is JobState.COMPLETED


def test_a_held_up_worker_that_is_stopped_loses_its_lease(demo: Project) -> None:
    job_id = demo.submit("hold_once")
    worker = silent(demo, job_id)
    [entry] = demo.workers_ready(1)

    os.kill(entry.pid, signal.SIGSTOP)

    ended = demo.ended(job_id)
    assert (ended.state, ended.attempt) == (JobState.COMPLETED, 2)
    assert not is_alive(entry.pid)
    assert ended.worker != worker.worker


def test_what_was_taken_back_from_a_held_up_worker_stays_taken(demo: Project) -> None:
    job_id = demo.submit("hold_once")
    silent(demo, job_id)
    [entry] = demo.workers_ready(1)

    # As if another host had taken it for dead.
    demo.execute("ZREM", demo.keys.workers(), entry.id)

    ended = demo.ended(job_id)
    assert (ended.state, ended.attempt) == (JobState.COMPLETED, 2)
    assert not is_alive(entry.pid)
    assert demo.execute("ZSCORE", demo.keys.workers(), entry.id) is None
