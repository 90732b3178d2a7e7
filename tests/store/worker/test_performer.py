"""A job's way through a worker: plan, attempt, end."""

import errno
import os
import tempfile
from pathlib import Path
from typing import Any

import pytest

from jobrunner import message
from jobrunner.message import Message
from jobrunner.model import JobState, Reason
from jobrunner.runner.results import ResultFiles
from jobrunner.store.attempts import StartedAs
from jobrunner.store.cancelling import cancel
from jobrunner.store.crons import read_crons
from jobrunner.store.logs import read_log
from jobrunner.store.parking import know
from tests.store.factories import A_WAITED_LOCK, LONG_AGO, Store
from tests.store.waiting import until
from tests.store.worker.performing import Performing

pytestmark = pytest.mark.anyio


# Ends.


async def test_a_job_that_completes_has_its_result(store: Store, worker: Performing) -> None:
    job = await worker.perform("add", {"a": 2})

    assert (job.state, job.result, job.attempt, job.worker) == (JobState.COMPLETED, 3, 1, "w1")
    assert store.entries() == {}
    assert (worker.freed, worker.performer.busy) == (1, 0)


async def test_a_command_that_fails_has_its_exit_code(worker: Performing) -> None:
    job = await worker.perform("shell")

    assert (job.state, job.reason) == (JobState.FAILED, Reason.ERROR)
    assert job.error is not None
    assert job.error.exit_code == 3


@pytest.mark.parametrize(("task", "said"), [("odd", "2 rows were odd"), ("odd_locked", "odd")])
async def test_a_success_keeps_what_it_said_last_on_stderr(
    worker: Performing, task: str, said: str
) -> None:
    job = await worker.perform(task)

    assert (job.state, job.last_stderr, job.error) == (JobState.COMPLETED, said, None)


async def test_a_result_with_a_life_of_its_own_is_noted(store: Store, worker: Performing) -> None:
    job = await worker.perform("fleeting")

    assert store.texts("ZRANGE", store.keys.results(), 0, -1) == [job.id]


async def test_an_end_is_written_before_the_slot_is_free_where_each_is_acked(
    worker: Performing,
) -> None:
    await worker.perform("each", {"a": 1})

    assert worker.at_free == [JobState.COMPLETED]


async def test_other_ends_are_written_together_after_the_slot_is_free(worker: Performing) -> None:
    await worker.perform("add", {"a": 1})

    assert worker.at_free == [JobState.QUEUED]


async def test_output_is_written_before_the_job_has_ended(store: Store, worker: Performing) -> None:
    job = await worker.perform("shell")

    assert [line.text for line in store.run(read_log(store.keys, job.id)).lines] == ["hello"]


# What cannot begin.


def in_line(store: Store, task: str, arguments: dict[str, Any]) -> str:
    """A new job of this task that waits for the lock."""
    entry = store.claimed(task=task, message=message.encode(Message(task, arguments)))
    what, _ = store.start(entry, lock=A_WAITED_LOCK, task=task)
    assert what is StartedAs.BLOCKED
    return entry.job_id


async def test_a_job_of_an_unknown_task_fails_and_can_be_retried_later(
    store: Store, worker: Performing
) -> None:
    job = await worker.perform("renamed")

    assert (job.state, job.reason, job.attempt) == (JobState.FAILED, Reason.UNKNOWN_TASK, 0)
    assert job.error is not None
    assert "'renamed'" in job.error.message
    assert worker.freed == 1


@pytest.mark.parametrize(
    ("task", "arguments"),
    [("renamed", {}), ("add", {"a": "many"})],
    ids=["its task is gone", "its arguments do not fit any more"],
)
async def test_a_job_in_line_that_cannot_begin_makes_way_for_the_next(
    store: Store, worker: Performing, task: str, arguments: dict[str, Any]
) -> None:
    """The manifest was changed meanwhile."""
    holder = store.running(lock=A_WAITED_LOCK)
    first = in_line(store, task, arguments)
    follower = store.blocked()
    store.finish(holder, lock=A_WAITED_LOCK)
    store.promote(first)

    assert worker.begin_next() == first

    await until(lambda: store.state(first) is JobState.FAILED)
    await until(lambda: store.state(follower) is JobState.QUEUED)


async def test_a_job_in_line_that_waits_no_longer_leaves_the_line(
    store: Store, worker: Performing
) -> None:
    """Its task said `wait` before, and says `skip` now; it was woken for nothing."""
    store.running(lock=A_WAITED_LOCK)
    first = in_line(store, "skip", {})
    store.command("ZADD", store.keys.scheduled(), LONG_AGO, first)
    store.promote(first)

    assert worker.begin_next() == first

    await until(lambda: store.state(first) is JobState.SKIPPED)
    assert store.texts("ZRANGE", store.keys.lock_waiting("report"), 0, -1) == []


async def test_a_job_whose_task_others_know_is_parked_uncounted(
    store: Store, worker: Performing
) -> None:
    store.run(know(store.keys, "elsewhere", ["renamed"]))

    job = await worker.perform("renamed")

    assert (job.state, job.attempt, job.worker) == (JobState.SCHEDULED, 0, None)
    assert (job.reason, job.error) == (Reason.UNKNOWN_TASK, None)
    assert job.detail == "waits for a daemon that knows task 'renamed'"
    assert (worker.freed, worker.left_to_others) == (1, 1)


async def test_a_job_to_be_cancelled_is_not_parked(store: Store, worker: Performing) -> None:
    store.run(know(store.keys, "elsewhere", ["renamed"]))
    store.submit(task="renamed", message=message.encode(Message("renamed")))
    job_id = worker.begin_next()
    store.run(cancel(store.keys, job_id))

    await worker.ended()

    assert store.state(job_id) is JobState.CANCELLED


async def test_a_job_with_a_damaged_message_fails(store: Store, worker: Performing) -> None:
    store.submit(message=b"[1")
    job_id = worker.begin_next()
    await worker.ended()

    job = store.job(job_id)
    assert (job.task, job.reason) == ("demo", Reason.INVALID_ARGUMENTS)


@pytest.mark.parametrize("arguments", [{}, {"a": "x"}, {"a": 1, "c": 2}])
async def test_arguments_that_do_not_fit_fail_the_job_before_it_begins(
    worker: Performing, arguments: dict[str, Any]
) -> None:
    job = await worker.perform("add", arguments)

    assert (job.state, job.reason, job.attempt) == (JobState.FAILED, Reason.INVALID_ARGUMENTS, 0)


async def test_a_crons_last_result_tells_of_a_job_that_could_not_begin(
    store: Store, worker: Performing
) -> None:
    job = await worker.perform("add", {}, cron="nightly")

    (record,) = store.run(read_crons(store.keys, ["nightly"]))
    assert (record.last_id, record.last_state) == (job.id, JobState.FAILED)


async def test_a_worker_that_was_paused_since_the_claim_gives_the_job_back_unbegun(
    store: Store, worker: Performing
) -> None:
    worker.clock.advance(seconds=60)

    job = await worker.perform("fail")

    assert (job.state, job.attempt) == (JobState.QUEUED, 0)
    assert store.entry_of(job.id)["l"] == "0"


# Start records.


async def test_a_short_job_has_no_start_record_before_its_end(worker: Performing) -> None:
    job_id = worker.begin("add", {"a": 1})

    await until(lambda: worker.freed == 1)
    assert worker.at_free == [JobState.QUEUED]
    await worker.ended()
    assert worker.store.state(job_id) is JobState.COMPLETED


async def test_an_eager_job_has_its_start_record_at_once(worker: Performing) -> None:
    await worker.perform("eager", {"a": 1})

    assert worker.at_free == [JobState.RUNNING]


async def test_a_job_that_lasts_has_a_start_record(store: Store, worker: Performing) -> None:
    job_id = await worker.hanging()

    job = store.job(job_id)
    assert (job.worker, job.attempt) == ("w1", 1)


# Fences.


async def test_an_attempt_is_told_the_fence_of_its_entry(store: Store, worker: Performing) -> None:
    job = await worker.perform("tell")

    assert job.result["fence"] == "1"


async def test_an_attempt_under_a_lock_is_told_the_fence_of_the_lock(
    store: Store, worker: Performing
) -> None:
    store.command("SET", store.keys.tokens(), 41)

    job = await worker.perform("wait")

    assert job.result["fence"] == "42"


# Trouble.


@pytest.mark.parametrize("command", ["echo hi", [], [1, 2], None, ["a\0b"]])
async def test_an_adhoc_command_that_is_none_fails_its_job(
    worker: Performing, command: object
) -> None:
    job = await worker.perform("exec", {"command": command})

    assert job.state is JobState.FAILED


async def test_an_adhoc_command_runs_as_given(worker: Performing) -> None:
    job = await worker.perform("exec", {"command": ["sh", "-c", "exit $0", "7"]})

    assert job.error is not None
    assert job.error.exit_code == 7


@pytest.mark.parametrize("task", ["argv", "named"])
async def test_an_argument_that_no_process_can_be_given_fails_its_job(
    worker: Performing, task: str
) -> None:
    job = await worker.perform(task, {"region": "a\0b"})

    assert (job.state, job.reason) == (JobState.FAILED, Reason.INVALID_ARGUMENTS)


async def test_a_job_that_we_fail_to_perform_ends_as_failed_and_not_never(
    store: Store, worker: Performing
) -> None:
    store.command("SET", store.keys.lock("report"), "no lock at all")

    job = await worker.perform("skip")

    assert (job.state, job.reason) == (JobState.FAILED, Reason.ERROR)
    assert job.error is not None
    assert "lock 'report' is damaged" in job.error.message
    assert worker.freed == 1
    store.command("DEL", store.keys.lock("report"))


async def test_a_command_whose_start_goes_wrong_in_an_unknown_way_fails_its_job(
    worker: Performing, monkeypatch: pytest.MonkeyPatch
) -> None:
    def break_down(*_: object) -> str:
        raise LookupError("odd")

    monkeypatch.setattr(ResultFiles, "place", break_down)

    job = await worker.perform("shell")

    assert job.state is JobState.FAILED
    assert job.error is not None
    assert job.error.message.startswith("jobrunner could not perform it: LookupError('odd')")
    assert worker.performer.busy == 0


async def test_a_command_without_a_place_for_its_result_is_tried_again_as_its_task_says(
    worker: Performing, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "missing"))

    job = await worker.perform("shell")

    assert (job.state, job.attempt) == (JobState.SCHEDULED, 1)
    assert job.error is not None
    assert job.error.message.startswith("there is no place for its result: No such file")
    assert worker.performer.busy == 0


@pytest.mark.parametrize("task", ["shell", "crash", "named"])
async def test_a_job_for_which_there_is_no_room_goes_back_uncounted(
    worker: Performing, store: Store, monkeypatch: pytest.MonkeyPatch, task: str
) -> None:
    def refuse() -> tuple[int, int]:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    monkeypatch.setattr(os, "pipe", refuse)

    job_id = worker.begin(task, {"region": "eu"} if task == "named" else {})
    await until(lambda: worker.freed == 1)

    job = store.job(job_id)
    assert (job.state, job.attempt) == (JobState.QUEUED, 0)
    assert store.entry_of(job_id)["l"] == "0"
    assert worker.refusals == ["there is no room for another process: Too many open files"]
