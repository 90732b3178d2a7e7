"""KILL to workers: every job ends, what they left dies first, the records tell the truth."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from jobrunner.model import Job, JobState, Reason
from tests.daemon.harness import Project, act, eventually, is_alive

MANIFEST = f"""
name: demo
workers: {{processes: 2, slots: 4}}
tasks:
  act: {act("kill_grace: 0.2s")}
  once: {act("max_lost: 1")}
  twice: {act("max_lost: 2")}
"""

# Beats into a file as long as it lives, beside a grandchild in a session of its own that does so,
# too, and would outlive its worker. The first attempt goes on for ever, later ones end.
HAUNTED = """
beat="while :; do echo $JOBRUNNER_FENCE >> beats-$JOBRUNNER_JOB_ID; sleep 0.01; done"
setsid sh -c "trap '' TERM HUP; $beat" &
if [ $JOBRUNNER_ATTEMPT = 1 ]; then eval "$beat"; fi
sleep 0.1
"""


@pytest.fixture(scope="module")
def demo() -> Iterator[Project]:
    with Project(MANIFEST) as project:
        project.start()
        yield project


@pytest.fixture(autouse=True)
def _ready(demo: Project) -> None:
    """Both workers live, whatever the test before did to them."""
    demo.workers_ready(2)


def kill_worker_of(demo: Project, job: Job) -> int:
    pid = demo.worker_pid(job)
    os.kill(pid, signal.SIGKILL)
    return pid


def fences(demo: Project, job_id: str) -> list[int]:
    """The fencing tokens in the order of the beats."""
    return [int(line) for line in demo.lines(f"beats-{job_id}")]


def test_all_running_and_queued_jobs_end_after_a_worker_is_killed(demo: Project) -> None:
    running = [demo.act("[ $JOBRUNNER_ATTEMPT -gt 1 ] || sleep 2") for _ in range(8)]
    queued = [demo.act("echo $JOBRUNNER_JOB_ID >> queued") for _ in range(20)]
    killed = demo.running(running[0])
    for job in running[1:]:
        demo.running(job)

    kill_worker_of(demo, killed)

    ended = demo.all_ended(running + queued)
    assert {job.state for job in ended} == {JobState.COMPLETED}
    # Those of the killed worker ran again, and only those; the others finished their first attempt.
    assert sorted(job.attempt for job in ended[:8]) == [1, 1, 1, 1, 2, 2, 2, 2]
    assert {job.attempt for job in ended[8:]} == {1}
    assert sorted(demo.lines("queued")) == sorted(queued)


def test_a_rescued_job_tells_who_ran_it_last_and_its_attempts(demo: Project) -> None:
    job_id = demo.act("echo attempt $JOBRUNNER_ATTEMPT; [ $JOBRUNNER_ATTEMPT -gt 1 ] || sleep 600")
    first = demo.running(job_id)

    killed = kill_worker_of(demo, first)

    ended = demo.ended(job_id)
    assert (ended.state, ended.attempt, ended.error) == (JobState.COMPLETED, 2, None)
    assert ended.worker != first.worker
    assert not is_alive(killed)
    assert [line.text for line in demo.client.logs(job_id)] == ["attempt 1", "attempt 2"]


def test_the_orphans_of_a_dead_worker_are_dead_before_the_job_runs_again(demo: Project) -> None:
    job_id = demo.act(HAUNTED)
    first = demo.running(job_id)
    eventually(lambda: len(fences(demo, job_id)) > 4)

    kill_worker_of(demo, first)

    assert demo.ended(job_id).state is JobState.COMPLETED
    seen = fences(demo, job_id)
    assert len(set(seen)) == 2
    assert seen == sorted(seen)
    assert demo.processes_of(job_id) == []


def test_a_job_that_kills_its_workers_fails_as_lost_and_spares_its_neighbours(
    demo: Project,
) -> None:
    neighbours = [
        demo.act("until [ -e poisoned ]; do sleep 0.05; done", task="act") for _ in range(4)
    ]
    for job in neighbours:
        demo.running(job)
    poison = demo.act("echo $JOBRUNNER_ATTEMPT >> lost; kill -9 $PPID; sleep 600", task="twice")

    failed = demo.ended(poison)
    (demo.folder / "poisoned").touch()

    assert (failed.state, failed.reason, failed.attempt) == (JobState.FAILED, Reason.LOST, 2)
    assert failed.error is not None
    assert "died 2 times" in failed.error.message
    assert demo.lines("lost") == ["1", "2"]
    assert {job.state for job in demo.all_ended(neighbours)} == {JobState.COMPLETED}


def test_nothing_of_a_dead_worker_stays_in_the_folder_for_temporary_files(demo: Project) -> None:
    job_id = demo.act('echo "$JOBRUNNER_RESULT" >> place; [ $JOBRUNNER_ATTEMPT = 2 ] || sleep 600')
    first = demo.running(job_id)
    folder = Path(demo.wait_for_lines(1, "place")[0]).parent
    existed = folder.exists()

    kill_worker_of(demo, first)

    demo.ended(job_id)
    assert existed
    assert not folder.exists()


def test_a_lost_job_can_be_retried_and_is_lost_again_only_after_max_lost(demo: Project) -> None:
    job_id = demo.act("[ -e mended ] || { kill -9 $PPID; sleep 600; }", task="once")
    assert demo.ended(job_id).reason is Reason.LOST
    (demo.folder / "mended").touch()

    demo.cli("retry", job_id).ok()

    ended = demo.ended(job_id)
    assert (ended.state, ended.reason, ended.attempt) == (JobState.COMPLETED, None, 2)


def test_a_cancelled_job_whose_worker_dies_is_not_run_again(demo: Project) -> None:
    job_id = demo.act(
        "echo $JOBRUNNER_ATTEMPT >> cancelled; trap '' TERM; while :; do sleep 0.05; done"
    )
    first = demo.running(job_id)
    os.kill(demo.worker_pid(first), signal.SIGSTOP)  # it cannot answer the request
    demo.client.cancel(job_id)

    kill_worker_of(demo, first)

    assert demo.ended(job_id).state is JobState.CANCELLED
    assert demo.lines("cancelled") == ["1"]
    assert demo.processes_of(job_id) == []


def test_a_batch_in_flight_ends_exactly_once_per_job_when_workers_keep_dying(
    demo: Project,
) -> None:
    jobs = [demo.act(f"echo {n} >> batch; sleep 0.05") for n in range(60)]
    for count in (10, 30):
        demo.wait_for_lines(count, "batch")
        os.kill(demo.workers_ready(2)[0].pid, signal.SIGKILL)

    ended = demo.all_ended(jobs)

    assert {job.state for job in ended} == {JobState.COMPLETED}
    assert set(demo.lines("batch")) == {str(n) for n in range(60)}
    # Only attempts that were under way, or ended in the call in flight, may run again.
    assert all(job.attempt <= 3 for job in ended)
    assert len(demo.lines("batch")) <= sum(job.attempt for job in ended)


def test_a_stop_does_not_wait_for_the_successor_of_a_worker_that_just_died() -> None:
    with Project(MANIFEST) as own:
        daemon = own.start()
        killed: set[int] = set()

        def have_died() -> bool:
            alive = {worker.pid for worker in own.worker_processes()} - killed
            for pid in alive:
                os.kill(pid, signal.SIGKILL)
            killed.update(alive)
            return len(killed) >= 8  # the pause before the next start has grown with each death

        eventually(have_died, within=30)

        daemon.signal(signal.SIGTERM)

        assert daemon.ended(within=10) == 0
