"""KILL to the supervisor and to the embedded server: nothing is lost, nothing doubled."""

import os
import signal
from collections.abc import Callable
from contextlib import suppress

from jobrunner.errors import StoreUnavailable
from jobrunner.model import JobState, Reason, new_job_id
from tests.daemon.harness import PATIENT, Project, act, eventually, is_alive
from tests.daemon.test_worker_death import HAUNTED, fences

Projects = Callable[..., Project]

MANIFEST = f"""
name: demo
workers: {{processes: 1, slots: 8}}
tasks:
  act: {act("kill_grace: 0.2s")}
  twice: {act("max_lost: 2")}
"""
SURE = f"{MANIFEST}\nstore: {{durability: always}}\n"


def test_a_killed_supervisor_takes_its_workers_with_it_and_leaves_the_server(
    project: Projects,
) -> None:
    demo = project(MANIFEST)
    daemon = demo.start()
    workers = demo.workers_ready(1)

    daemon.kill()

    eventually(lambda: not any(is_alive(worker.pid) for worker in workers))
    assert is_alive(demo.server_pid())


def test_a_restarted_supervisor_adopts_the_server_and_ends_every_job(project: Projects) -> None:
    demo = project(MANIFEST)
    daemon = demo.start()
    running = [demo.act("echo $JOBRUNNER_JOB_ID >> witness; sleep 0.5") for _ in range(8)]
    queued = [demo.act("echo $JOBRUNNER_JOB_ID >> witness") for _ in range(20)]
    for job in running:
        demo.running(job)
    server = demo.server_pid()

    delayed = demo.act("echo $JOBRUNNER_JOB_ID >> witness", delay=0.2)
    daemon.kill()
    later = demo.act("echo $JOBRUNNER_JOB_ID >> witness")
    demo.start()

    ended = demo.all_ended([*running, *queued, delayed, later])
    assert demo.server_pid() == server
    assert {job.state for job in ended} == {JobState.COMPLETED}
    assert [job.attempt for job in ended] == [2] * 8 + [1] * 22
    assert sorted(demo.lines()) == sorted([*running, *running, *queued, delayed, later])


def test_what_a_killed_daemon_left_is_dead_before_its_jobs_run_again(project: Projects) -> None:
    demo = project(MANIFEST)
    daemon = demo.start()
    job_id = demo.act(HAUNTED)
    demo.running(job_id)
    eventually(lambda: len(fences(demo, job_id)) > 4)

    daemon.kill()
    orphans = demo.processes_of(job_id)
    demo.start()

    assert demo.ended(job_id).state is JobState.COMPLETED
    assert len(orphans) > 1
    seen = fences(demo, job_id)
    assert (len(set(seen)), seen) == (2, sorted(seen))
    assert demo.processes_of(job_id) == []


def test_a_job_that_kills_its_daemons_fails_as_lost(project: Projects) -> None:
    demo = project(MANIFEST)
    kill_both = "kill -9 $(ps -o ppid= -p $PPID) $PPID; sleep 600"
    daemon = demo.start()
    job_id = demo.act(kill_both, task="twice")
    daemon.ended()
    again = demo.spawn()
    again.ended()

    demo.start()

    failed = demo.ended(job_id)
    assert (failed.state, failed.reason, failed.attempt) == (JobState.FAILED, Reason.LOST, 2)


def test_a_killed_server_is_started_again_and_no_acknowledged_submit_is_lost(
    project: Projects,
) -> None:
    demo = project(SURE)
    daemon = demo.start()
    acknowledged: list[str] = []

    for _ in range(3):
        server = demo.server_pid()
        for _ in range(20):
            acknowledged.append(demo.act("echo $JOBRUNNER_JOB_ID >> witness"))
        os.kill(server, signal.SIGKILL)
        _wait_for_another_server(demo, server)

    ended = demo.all_ended(acknowledged)
    assert {job.state for job in ended} == {JobState.COMPLETED}
    assert set(demo.lines()) == set(acknowledged)
    assert daemon.process.poll() is None


def test_running_jobs_outlive_the_server_and_their_ends_are_written_when_it_is_back(
    project: Projects,
) -> None:
    demo = project(SURE)
    demo.start()
    job_id = demo.act(PATIENT)
    demo.running(job_id)
    server = demo.server_pid()

    os.kill(server, signal.SIGKILL)
    (demo.folder / "running").unlink()
    demo.wait_for_lines(1)
    _wait_for_another_server(demo, server)

    ended = demo.ended(job_id)
    assert (ended.state, ended.attempt) == (JobState.COMPLETED, 1)
    assert demo.lines() == ["done"]


def test_a_submit_that_was_cut_off_can_be_repeated_with_its_id(project: Projects) -> None:
    demo = project(SURE)
    demo.start()
    server = demo.server_pid()
    job_id = new_job_id()
    os.kill(server, signal.SIGKILL)

    def is_submitted() -> bool:
        with suppress(StoreUnavailable):
            return demo.act("echo once >> witness", id=job_id) == job_id
        return False

    eventually(is_submitted)
    is_submitted()

    assert demo.ended(job_id).state is JobState.COMPLETED
    assert demo.lines() == ["once"]


def test_supervisor_and_server_killed_together_lose_nothing(project: Projects) -> None:
    demo = project(SURE)
    daemon = demo.start()
    jobs = [demo.act("sleep 0.2; echo $JOBRUNNER_JOB_ID >> witness") for _ in range(12)]
    demo.running(jobs[0])
    server = demo.server_pid()

    os.kill(server, signal.SIGKILL)
    daemon.kill()
    demo.start()

    assert {job.state for job in demo.all_ended(jobs)} == {JobState.COMPLETED}
    assert set(demo.lines()) == set(jobs)


def test_a_stop_writes_the_ends_of_jobs_also_when_the_server_dies_meanwhile(
    project: Projects,
) -> None:
    demo = project(SURE)
    daemon = demo.start()
    job_id = demo.act(PATIENT)
    demo.running(job_id)
    server = demo.server_pid()

    daemon.signal(signal.SIGTERM)
    daemon.wait_for_log("INFO stopping")
    os.kill(server, signal.SIGKILL)
    (demo.folder / "running").unlink()

    assert daemon.ended() == 0
    demo.start()
    assert demo.ended(job_id).attempt == 1
    assert demo.lines() == ["done"]


def _wait_for_another_server(demo: Project, old: int) -> None:
    def is_there() -> bool:
        with suppress(StoreUnavailable):
            return demo.server_pid() != old
        return False

    eventually(is_there)
