"""Locks: one holder, kept as long as its job runs, freed at its end or with its worker's death."""

import os
import signal
from collections.abc import Iterator

import pytest

from jobrunner.model import Job, JobState, Reason
from tests.daemon.harness import Project, act, eventually

MANIFEST = f"""
name: demo
workers: {{processes: 2, slots: 8}}
tasks:
  act: {act("kill_grace: 0.1s")}
  brief: {act("lock_ttl: 1s, kill_grace: 0.1s")}
  waiting: {act("lock: {name: waiting, ttl: 30s, conflict: wait}, kill_grace: 0.1s")}
  failing: {act("lock: {name: failing, ttl: 30s, conflict: fail}")}
  double: {act("lock: {name: double, ttl: 30s, slots: 2, conflict: wait}")}
  retried: {act("lock: {name: retried, conflict: wait}, retry: {attempts: 2, delay: 10ms}")}
  frail: {act("lock: {name: frail, ttl: 2s, conflict: wait}, kill_grace: 0.1s")}
  regional:
    shell: eval "$SCRIPT"
    params: {{script: {{}}, region: {{}}}}
    lock: {{name: "region-{{region}}", ttl: 30s}}
"""
UNTIL_GONE = "touch {0}; while [ -e {0} ]; do sleep 0.02; done"


@pytest.fixture(scope="module")
def demo() -> Iterator[Project]:
    with Project(MANIFEST) as project:
        project.start()
        yield project


def hold(demo: Project, task: str, name: str) -> Job:
    """A job of the task that runs until `release`."""
    return demo.running(demo.act(UNTIL_GONE.format(name), task=task))


def release(demo: Project, name: str) -> None:
    eventually((demo.folder / name).exists)
    (demo.folder / name).unlink()


def test_a_job_longer_than_its_lock_ttl_keeps_the_lock_and_others_are_skipped(
    demo: Project,
) -> None:
    first = demo.running(demo.act("sleep 2.2", task="brief"))
    skipped = []
    while demo.job(first.id).state is JobState.RUNNING:
        skipped.append(demo.act("echo ran >> brief", task="brief"))
        demo.ended(skipped[-1])

    ended = demo.all_ended(skipped[:-1])  # the last one may have come just after the end

    assert (demo.job(first.id).state, demo.job(first.id).attempt) == (JobState.COMPLETED, 1)
    assert len(ended) > 3
    assert {(job.state, job.reason, job.detail) for job in ended} == {
        (JobState.SKIPPED, Reason.LOCKED, first.id)
    }
    assert demo.json("show", skipped[0])["reason"] == "locked"


def test_jobs_wait_for_a_lock_in_the_order_of_their_arrival(demo: Project) -> None:
    hold(demo, "waiting", "first")
    waiting = []
    for n in range(5):
        waiting.append(demo.act(f"echo start {n} >> order; echo end {n} >> order", task="waiting"))
        demo.wait_for(waiting[-1], JobState.BLOCKED)

    release(demo, "first")

    assert {job.state for job in demo.all_ended(waiting)} == {JobState.COMPLETED}
    assert demo.lines("order") == [f"{what} {n}" for n in range(5) for what in ("start", "end")]


def test_a_cancelled_waiter_lets_the_next_one_through(demo: Project) -> None:
    hold(demo, "waiting", "holder")
    second, third = demo.act("true", task="waiting"), demo.act("true", task="waiting")
    demo.wait_for(second, JobState.BLOCKED)
    demo.wait_for(third, JobState.BLOCKED)

    demo.cli("cancel", second).ok()
    release(demo, "holder")

    assert demo.ended(third).state is JobState.COMPLETED
    assert demo.job(second).state is JobState.CANCELLED


def test_a_cancelled_holder_frees_the_lock(demo: Project) -> None:
    holder = demo.running(demo.act("sleep 600", task="waiting"))
    second = demo.act("true", task="waiting")
    demo.wait_for(second, JobState.BLOCKED)

    demo.cli("cancel", holder.id).ok()

    assert demo.ended(second).state is JobState.COMPLETED


def test_a_conflict_can_fail_the_job(demo: Project) -> None:
    holder = hold(demo, "failing", "held")

    failed = demo.ended(demo.act("true", task="failing"))
    release(demo, "held")

    assert (failed.state, failed.reason) == (JobState.FAILED, Reason.LOCKED)
    assert failed.detail == holder.id


def test_as_many_jobs_run_together_as_a_lock_has_slots(demo: Project) -> None:
    script = "echo + >> slots; sleep 0.1; echo - >> slots"

    jobs = [demo.act(script, task="double") for _ in range(8)]

    assert {job.state for job in demo.all_ended(jobs)} == {JobState.COMPLETED}
    running = [0]
    for line in demo.lines("slots"):
        running.append(running[-1] + (1 if line == "+" else -1))
    assert max(running) == 2


def test_a_lock_can_be_named_by_parameters(demo: Project) -> None:
    eu = demo.submit("regional", {"script": UNTIL_GONE.format("eu"), "region": "eu"})
    demo.running(eu)

    other = demo.submit("regional", {"script": "true", "region": "us"})
    same = demo.submit("regional", {"script": "true", "region": "eu"})

    assert demo.ended(other).state is JobState.COMPLETED
    assert demo.ended(same).detail == eu
    release(demo, "eu")


def test_each_holder_of_a_lock_has_a_greater_fencing_token(demo: Project) -> None:
    jobs = [demo.act("echo $JOBRUNNER_FENCE >> tokens", task="waiting") for _ in range(4)]

    demo.all_ended(jobs)

    tokens = [int(line) for line in demo.lines("tokens")]
    assert len(set(tokens)) == 4
    assert tokens == sorted(tokens)


def test_a_retry_gives_the_lock_back_meanwhile(demo: Project) -> None:
    first = demo.act("[ $JOBRUNNER_ATTEMPT = 2 ]", task="retried")
    second = demo.act("true", task="retried")

    ended = demo.all_ended([first, second])

    assert [(job.state, job.attempt) for job in ended] == [
        (JobState.COMPLETED, 2),
        (JobState.COMPLETED, 1),
    ]
    assert [lock for lock in demo.json("locks") if lock["name"] == "retried"] == []


def test_the_lock_of_a_killed_worker_passes_on_when_its_job_has_ended(demo: Project) -> None:
    job = demo.running(
        demo.act("echo $JOBRUNNER_FENCE >> frail; [ $JOBRUNNER_ATTEMPT = 2 ] || sleep 600", "frail")
    )
    second = demo.act("echo $JOBRUNNER_FENCE >> frail", task="frail")
    demo.wait_for(second, JobState.BLOCKED)
    demo.wait_for_lines(1, "frail")

    os.kill(demo.worker_pid(job), signal.SIGKILL)

    ended = demo.all_ended([job.id, second])
    assert [(each.state, each.attempt) for each in ended] == [
        (JobState.COMPLETED, 2),
        (JobState.COMPLETED, 1),
    ]
    tokens = [int(line) for line in demo.lines("frail")]
    assert len(set(tokens)) == 3
    assert tokens == sorted(tokens)
    demo.workers_ready(2)


def test_a_job_whose_lock_is_broken_is_stopped_before_it_runs_again(demo: Project) -> None:
    note = "echo $JOBRUNNER_FENCE >> broken"
    first = f"while [ $JOBRUNNER_ATTEMPT = 1 ]; do {note}; sleep 0.02; done"
    job = demo.running(demo.act(f"{first}; {note}", task="brief"))
    demo.wait_for_lines(3, "broken")

    demo.cli("locks", "--break", "brief", "--yes").ok()

    ended = demo.ended(job.id)
    assert (ended.state, ended.attempt) == (JobState.COMPLETED, 2)
    tokens = [int(line) for line in demo.lines("broken")]
    assert (len(set(tokens)), tokens) == (2, sorted(tokens))
