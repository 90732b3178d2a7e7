"""`progress.lua`: progress is written by the attempt that has the job, and by no other."""

from jobrunner.model import JobState
from jobrunner.store.attempts import requeue
from jobrunner.store.progress import note_progress
from tests.store.factories import Store


def test_a_running_job_notes_its_progress(store: Store) -> None:
    store.add_worker()
    entry = store.running()

    assert store.run(note_progress(store.keys, entry.job_id, entry.fence, {"done": 3}))
    assert store.job(entry.job_id).progress == {"done": 3}


def test_a_job_whose_start_record_is_not_written_yet_notes_it_too(store: Store) -> None:
    store.add_worker()
    entry = store.claimed()

    assert store.run(note_progress(store.keys, entry.job_id, entry.fence, 0.5))
    assert store.job(entry.job_id).progress == 0.5


def test_an_attempt_that_lost_its_job_notes_nothing(store: Store) -> None:
    store.add_worker()
    entry = store.running()
    store.run(requeue(store.keys, [entry], is_lost=True))
    (again,) = store.claim()

    assert not store.run(note_progress(store.keys, entry.job_id, entry.fence, 1))
    assert store.job(entry.job_id).progress is None
    assert store.run(note_progress(store.keys, again.job_id, again.fence, 2))


def test_a_job_that_has_ended_keeps_the_progress_it_had(store: Store) -> None:
    store.add_worker()
    entry = store.running()
    store.run(note_progress(store.keys, entry.job_id, entry.fence, 1))
    store.finish(entry)

    assert not store.run(note_progress(store.keys, entry.job_id, entry.fence, 2))
    assert store.job(entry.job_id).progress == 1


def test_a_retry_begins_without_progress(store: Store) -> None:
    store.add_worker()
    entry = store.running()
    store.run(note_progress(store.keys, entry.job_id, entry.fence, 1))

    store.finish(entry, JobState.FAILED, retry_delay_ms=1000)

    assert store.job(entry.job_id).progress is None
    assert not store.run(note_progress(store.keys, entry.job_id, entry.fence, 2))


def test_a_job_that_is_gone_is_not_made_by_its_progress(store: Store) -> None:
    assert not store.run(note_progress(store.keys, "nobody", 1, 1))
    assert store.records() == {}
