"""Daemons with different manifests on one store: who does not know a task leaves it to who does."""

import signal
from collections.abc import Callable

import pytest

from jobrunner.model import Job, JobState, Reason
from tests.daemon.harness import ExternalServer, Project, act, eventually, is_alive

Projects = Callable[..., Project]

OLD = f"""
name: demo
workers: {{processes: 1, slots: 4}}
tasks:
  act: {act("kill_grace: 0.1s")}
"""
NEW = f"{OLD}  new: {act()}\n"
JOBS = 12


@pytest.fixture
def old(project: Projects, server: ExternalServer) -> Project:
    """A daemon that does not know task `new`."""
    return project(f"{OLD}\nstore: {{url: '{server.url}'}}\n")


@pytest.fixture
def new(project: Projects, server: ExternalServer) -> Project:
    """One that does, not started yet."""
    return project(f"{NEW}\nstore: {{url: '{server.url}'}}\n")


def submit(demo: Project) -> list[str]:
    return [demo.act(f"echo {number} >> witness", task="new") for number in range(JOBS)]


def parked(demo: Project, job_ids: list[str]) -> Job:
    """One of the jobs, once it waits for a daemon that knows it."""
    return eventually(lambda: next(filter(_is_parked, map(demo.job, job_ids)), None))


def _is_parked(job: Job) -> bool:
    return job.state is JobState.SCHEDULED and job.reason is Reason.UNKNOWN_TASK


def test_jobs_of_a_task_that_one_daemon_knows_are_performed_by_it(
    old: Project, new: Project
) -> None:
    old.start()
    new.start()
    new.workers_ready(2)

    ended = new.all_ended(submit(new))

    assert {(job.state, job.reason, job.attempt) for job in ended} == {
        (JobState.COMPLETED, None, 1)
    }
    assert sorted(new.lines(), key=int) == [str(number) for number in range(JOBS)]


def test_jobs_are_parked_while_the_only_daemon_that_knows_them_starts_again(
    old: Project, new: Project
) -> None:
    old.start()
    killed = new.start()
    new.workers_ready(2)
    [worker] = new.worker_processes()
    killed.kill()
    eventually(lambda: not is_alive(worker.pid))
    job_ids = submit(new)
    assert parked(old, job_ids).detail == "waits for a daemon that knows task 'new'"

    new.start()

    ended = new.all_ended(job_ids)
    assert {(job.state, job.attempt) for job in ended} == {(JobState.COMPLETED, 1)}


def test_a_reload_that_brings_a_task_wakes_its_jobs(old: Project, new: Project) -> None:
    daemon = old.start()
    stopped = new.start()
    new.workers_ready(2)
    stopped.stop()
    job_ids = submit(new)
    parked(old, job_ids)

    old.write(new.manifest.read_text())
    daemon.signal(signal.SIGHUP)

    ended = old.all_ended(job_ids)
    assert {(job.state, job.attempt) for job in ended} == {(JobState.COMPLETED, 1)}
    assert len(old.lines()) == JOBS


def test_jobs_whose_last_daemon_dropped_the_task_fail_and_can_be_retried(
    old: Project, new: Project
) -> None:
    old.start()
    stopped = new.start()
    new.workers_ready(2)
    stopped.stop()
    job_id = submit(new)[0]
    parked(old, [job_id])

    # As if a minute had passed since it was stopped.
    for daemon in new.execute("ZRANGE", new.keys.knowers(), "0", "-1"):
        tasks = new.keys.known_tasks(daemon.decode())
        if new.execute("SISMEMBER", tasks, "new"):
            new.execute("DEL", tasks)

    failed = old.ended(job_id)
    assert (failed.state, failed.reason, failed.attempt) == (
        JobState.FAILED,
        Reason.UNKNOWN_TASK,
        0,
    )
    new.start()
    new.cli("retry", job_id).ok()
    assert new.ended(job_id).state is JobState.COMPLETED
