"""What happens to jobs: results, timeouts, cancel, retry, priorities, delays, dependencies."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from jobrunner.model import JobState, Reason
from jobrunner.runner.proctable import children
from tests.daemon.harness import Project, act, eventually, is_alive

MANIFEST = f"""
name: demo
adhoc: true
workers: {{processes: 2, slots: 16}}
tasks:
  act: {act("kill_grace: 0.2s")}
  hasty: {act("timeout: 0.3s, kill_grace: 0.1s")}
  stubborn: {act("retry: {attempts: 3, delay: 50ms, backoff: fixed, jitter: false}")}
  choosy: {act("retry: {attempts: 3, delay: 10ms, exit_codes: [7]}")}
  aside: {act("queue: aside")}
  typed:
    command: ["echo", "{{n}} {{day}}"]
    params: {{n: {{type: integer, min: 1}}, day: {{type: date, default: today}}}}
"""
ENDLESS = 'trap "" TERM; setsid sleep 600 & while :; do sleep 0.05; done'


@pytest.fixture(scope="module")
def demo() -> Iterator[Project]:
    with Project(MANIFEST) as project:
        project.start()
        yield project


# Results and failures.


def test_json_in_the_result_file_becomes_the_result(demo: Project) -> None:
    job = demo.act('echo \'{"rows": 3}\' > "$JOBRUNNER_RESULT"')

    assert demo.ended(job).result == {"rows": 3}
    assert demo.json("show", job)["result"] == {"rows": 3}


def test_a_failed_job_tells_its_exit_code_and_its_last_words(demo: Project) -> None:
    submitted = demo.cli("submit", "act", "script=echo oops >&2; exit 9", "--wait")

    assert submitted.code == 1
    shown = demo.json("show", submitted.out.strip())
    assert (shown["state"], shown["reason"], shown["error"]["exit_code"]) == ("failed", "error", 9)
    assert "oops" in shown["error"]["message"]


def test_a_timeout_kills_the_whole_tree(demo: Project) -> None:
    job = demo.act(ENDLESS, task="hasty")

    ended = demo.ended(job)

    assert (ended.state, ended.reason) == (JobState.FAILED, Reason.TIMEOUT)
    assert demo.processes_of(job) == []


def test_what_a_job_leaves_behind_is_killed_and_reaped(demo: Project) -> None:
    [daemon] = demo.daemons

    jobs = [demo.act("(setsid sleep 600 &)") for _ in range(5)]

    demo.all_ended(jobs)
    eventually(lambda: not _zombies(daemon.pid), within=4)


def _zombies(pid: int) -> list[int]:
    return [child for child in children(pid) if not is_alive(child)]


def test_a_command_that_is_killed_fails_and_its_worker_goes_on(demo: Project) -> None:
    ended = demo.ended(demo.act("kill -9 $$"))

    assert (ended.state, ended.reason, ended.attempt) == (JobState.FAILED, Reason.ERROR, 1)
    assert ended.error is not None
    assert ended.error.type == "signal"


# Retries.


def test_a_failed_attempt_is_retried_under_the_same_id_until_it_completes(demo: Project) -> None:
    job = demo.act("echo $JOBRUNNER_ATTEMPT >> tries; [ $JOBRUNNER_ATTEMPT = 3 ]", task="stubborn")

    ended = demo.ended(job)

    assert (ended.state, ended.attempt, ended.reason) == (JobState.COMPLETED, 3, None)
    assert demo.lines("tries") == ["1", "2", "3"]


def test_a_job_fails_once_its_attempts_are_used_up(demo: Project) -> None:
    ended = demo.ended(demo.act("exit 1", task="stubborn"))

    assert (ended.state, ended.reason, ended.attempt) == (JobState.FAILED, Reason.ERROR, 3)


@pytest.mark.parametrize(("code", "attempts"), [(7, 3), (8, 1)])
def test_only_the_listed_exit_codes_are_retried(demo: Project, code: int, attempts: int) -> None:
    assert demo.ended(demo.act(f"exit {code}", task="choosy")).attempt == attempts


def test_retry_runs_an_ended_job_again_with_all_its_attempts(demo: Project) -> None:
    job = demo.act("[ -e retried ]", task="stubborn")
    demo.ended(job)
    (demo.folder / "retried").touch()

    demo.cli("retry", job).ok()

    ended = demo.ended(job)
    assert (ended.state, ended.attempt) == (JobState.COMPLETED, 4)


# Cancel.


def test_cancel_returns_when_a_running_job_has_stopped(demo: Project) -> None:
    job = demo.act(ENDLESS)
    demo.running(job)

    cancelled = demo.cli("cancel", job).ok()

    assert "cancelled" in cancelled.out
    assert demo.processes_of(job) == []
    assert demo.job(job).state is JobState.CANCELLED


def test_a_scheduled_a_blocked_and_a_queued_job_can_be_cancelled(demo: Project) -> None:
    scheduled = demo.act("echo scheduled >> never", delay="1h")
    blocked = demo.act("echo blocked >> never", after=scheduled)
    # No worker of this daemon works on such a queue.
    queued = demo.act("echo queued >> never", queue="nobody")

    demo.cli("cancel", blocked, scheduled, queued).ok()

    jobs = [demo.job(each) for each in (scheduled, blocked, queued)]
    assert [(job.state, job.attempt) for job in jobs] == [(JobState.CANCELLED, 0)] * 3
    assert demo.lines("never") == []


def test_an_ended_job_cannot_be_cancelled(demo: Project) -> None:
    job = demo.act("true")
    demo.ended(job)

    assert "completed" in demo.cli("cancel", job).refused(5)


def test_a_cancelled_job_is_not_retried(demo: Project) -> None:
    job = demo.act("sleep 600", task="stubborn")
    demo.running(job)

    demo.cli("cancel", job).ok()

    assert (demo.job(job).state, demo.job(job).attempt) == (JobState.CANCELLED, 1)


def test_delete_removes_record_and_output_of_an_ended_job(demo: Project) -> None:
    job = demo.act("echo said")
    demo.ended(job)

    demo.cli("delete", job).ok()

    demo.cli("show", job).refused(3)
    demo.cli("logs", job).refused(3)


# When a job begins.


def test_a_delayed_job_does_not_begin_before_its_time(demo: Project) -> None:
    submitted = demo.json("submit", "act", "script=true", "--in", "400ms")
    at = datetime.now(UTC) + timedelta(milliseconds=300)
    dated = demo.cli("submit", "act", "script=true", "--at", at.isoformat()).ok().out.strip()

    delayed = demo.ended(submitted["id"])

    assert submitted["state"] == "scheduled"
    assert delayed.due_at is not None
    assert delayed.started_at is not None
    assert delayed.started_at >= delayed.due_at
    punctual = demo.ended(dated)
    assert punctual.started_at is not None
    assert punctual.started_at >= at


def test_a_job_begins_after_another_has_completed(demo: Project) -> None:
    first = demo.act("sleep 0.2; echo first >> chain")
    second = demo.cli("submit", "act", "script=echo second >> chain", "--after", first).ok()

    demo.ended(second.out.strip())

    assert demo.lines("chain") == ["first", "second"]


def test_a_job_fails_with_the_one_it_waits_for(demo: Project) -> None:
    first = demo.act("sleep 0.2; exit 1")
    second = demo.act("true", after=first)
    third = demo.act("true", after=second)

    ended = demo.all_ended([second, third])

    assert [(job.state, job.reason) for job in ended] == [(JobState.FAILED, Reason.UPSTREAM)] * 2


def test_the_same_key_gives_the_first_job_back(demo: Project) -> None:
    first = demo.cli("submit", "act", "script=echo keyed >> keyed", "--key", "order-1").ok()
    second = demo.cli("submit", "act", "script=echo keyed >> keyed", "--key", "order-1").ok()

    assert first.out == second.out
    demo.ended(first.out.strip())
    assert demo.lines("keyed") == ["keyed"]


def test_jobs_of_every_queue_of_the_manifest_run(demo: Project) -> None:
    jobs = [demo.act("true"), demo.act("true", task="aside"), demo.act("true", queue="aside")]

    assert [job.queue for job in demo.all_ended(jobs)] == ["default", "aside", "aside"]


# Ways to submit.


def test_a_batch_of_five_thousand_lines_makes_as_many_jobs(demo: Project) -> None:
    lines = [json.dumps({"task": "typed", "params": {"n": n}, "in": "1h"}) for n in range(1, 5001)]

    batch = demo.cli("submit", "--batch", "-", stdin="\n".join(lines)).ok()

    assert len(set(batch.out.split())) == 5000
    [task] = [task for task in demo.json("status")["tasks"] if task["name"] == "typed"]
    assert task["scheduled"] == 5000


def test_one_bad_line_of_a_batch_makes_no_job(demo: Project) -> None:
    lines = ['{"task": "typed", "params": {"n": 1}}', '{"task": "typed", "prams": {"n": 1}}']
    before = len(demo.jobs())

    refused = demo.cli("submit", "--batch", "-", stdin="\n".join(lines)).refused(2)

    assert "stdin:2" in refused
    assert "params" in refused
    assert len(demo.jobs()) == before


def test_an_ad_hoc_command_runs_with_its_words_untouched(demo: Project) -> None:
    executed = demo.cli("exec", "--follow", "--", "printf", "%s|", "a b", "$HOME", "{n}").ok()

    assert executed.out == "a b|$HOME|{n}|\n"


def test_many_jobs_by_many_clients_all_end_once(demo: Project) -> None:
    submitted = demo.client.submit_many(
        "act", [{"script": f"echo {n} >> many"} for n in range(300)]
    )

    ended = demo.all_ended([job.id for job in submitted], within=60)

    assert {(job.state, job.attempt) for job in ended} == {(JobState.COMPLETED, 1)}
    assert sorted(map(int, demo.lines("many"))) == list(range(300))


def test_output_is_there_while_the_job_runs(demo: Project) -> None:
    job = demo.act("echo begun; sleep 600")
    demo.running(job)

    eventually(lambda: [line.text for line in demo.client.logs(job)] == ["begun"])

    demo.cli("cancel", job).ok()


def test_the_higher_priority_goes_first() -> None:
    with Project(MANIFEST.replace("processes: 2, slots: 16", "processes: 1, slots: 1")) as single:
        single.start()
        single.running(single.act("while [ ! -e go ]; do sleep 0.02; done"))
        jobs = [
            single.act(f"echo {priority} >> order", priority=priority)
            for priority in ("low", "normal", "high", "low", "normal", "high")
        ]

        (single.folder / "go").touch()
        single.all_ended(jobs)

        assert single.lines("order") == ["high"] * 2 + ["normal"] * 2 + ["low"] * 2
