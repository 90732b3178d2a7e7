"""`refuse.lua`: garbage in a queue becomes a failed job."""

import pytest

from jobrunner.errors import IllegalTransition
from jobrunner.model import JobState, Reason
from jobrunner.store.removal import delete_jobs
from jobrunner.store.submission import retry_job
from jobrunner.store.unreadable import SHOWN, refuse_unreadable
from tests.store.factories import Store

STREAM = ("default", "normal")


def garbage(store: Store, *fields: str | bytes) -> str:
    entry_id: bytes = store.command("XADD", store.keys.queue(*STREAM), "*", *fields)
    return entry_id.decode()


def test_an_unreadable_entry_is_recorded_as_a_failed_job_and_acked(store: Store) -> None:
    store.add_worker()
    entry_id = garbage(store, "hello", "wor\nld")

    (job_id,) = store.run(refuse_unreadable(store.keys, "w1", store.claim_unreadable()))

    job = store.job(job_id)
    assert job_id == f"entry-default-normal-{entry_id}"
    assert (job.task, job.state, job.reason) == ("?", JobState.FAILED, Reason.INVALID_ARGUMENTS)
    assert job.error is not None
    assert job.error.message == "this entry is no job: 'hello' 'wor\\nld'"
    assert (job.queue, job.priority, job.worker) == ("default", "normal", "w1")
    assert store.entries() == {}


def test_readable_jobs_beside_garbage_are_untouched(store: Store) -> None:
    store.add_worker()
    garbage(store, "hello", "world")
    job_id = store.submit()

    store.run(refuse_unreadable(store.keys, "w1", store.claim_unreadable()))

    assert store.state(job_id) is JobState.QUEUED
    assert store.entry_of(job_id)


def test_an_entry_is_refused_once(store: Store) -> None:
    store.add_worker()
    garbage(store, "hello", "world")
    unreadable = store.claim_unreadable()
    store.run(refuse_unreadable(store.keys, "w1", unreadable))
    before = store.snapshot()

    assert store.run(refuse_unreadable(store.keys, "w2", unreadable)) == []
    assert store.snapshot() == before


def test_a_large_entry_is_cut_in_the_record(store: Store) -> None:
    store.add_worker()
    garbage(store, "x" * 100_000, b"\xff")

    (job_id,) = store.run(refuse_unreadable(store.keys, "w1", store.claim_unreadable()))

    error = store.job(job_id).error
    assert error is not None
    assert len(error.message) < SHOWN + 100
    assert error.message.endswith("characters)")


def test_nothing_to_refuse_is_no_call(store: Store) -> None:
    assert store.run(refuse_unreadable(store.keys, "w1", [])) == []


def test_the_record_of_garbage_cannot_be_retried_but_deleted(store: Store) -> None:
    store.add_worker()
    garbage(store, "hello", "world")
    (job_id,) = store.run(refuse_unreadable(store.keys, "w1", store.claim_unreadable()))

    with pytest.raises(IllegalTransition, match="could not be read"):
        store.run(retry_job(store.keys, job_id))

    assert store.run(delete_jobs(store.keys, [job_id])) == ["deleted"]
