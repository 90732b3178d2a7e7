"""`watch.lua`: clients that wait for the ends of jobs."""

from jobrunner.model import JobState
from jobrunner.store.cancelling import cancel
from jobrunner.store.watching import watch
from tests.store.factories import Store


def watched(store: Store, *job_ids: str) -> list[JobState | None]:
    return store.run(watch(store.keys, job_ids, "c1"))


def test_a_live_job_is_watched_and_its_state_returned(store: Store) -> None:
    job_id = store.submit()

    assert watched(store, job_id) == [JobState.QUEUED]
    channel = store.keys.client_channel("c1")
    assert store.texts("SMEMBERS", store.keys.watchers(job_id)) == [f"client:{channel}"]


def test_watching_again_after_a_reconnect_adds_nobody(store: Store) -> None:
    job_id = store.submit()
    watched(store, job_id)

    watched(store, job_id)

    assert store.command("SCARD", store.keys.watchers(job_id)) == 1


def test_a_job_that_has_ended_is_not_watched(store: Store) -> None:
    store.add_worker()
    job_id = store.finished(JobState.FAILED)

    assert watched(store, job_id) == [JobState.FAILED]
    assert store.command("EXISTS", store.keys.watchers(job_id)) == 0


def test_a_job_that_is_gone_has_no_state(store: Store) -> None:
    job_id = store.submit()

    assert watched(store, "nobody", job_id) == [None, JobState.QUEUED]
    assert store.command("EXISTS", store.keys.watchers("nobody")) == 0


def test_each_end_of_a_watched_job_is_told_and_no_other(store: Store) -> None:
    store.add_worker()
    first, unwatched, second = store.running(), store.running(), store.submit()
    watched(store, first.job_id, second)

    with store.messages(store.keys.client_channel("c1")) as messages:
        store.finish(unwatched)
        store.finish(first)
        store.run(cancel(store.keys, second))

    assert messages == [first.job_id, second]


def test_a_retry_is_no_end(store: Store) -> None:
    store.add_worker()
    entry = store.running()
    watched(store, entry.job_id)

    with store.messages(store.keys.client_channel("c1")) as messages:
        store.finish(entry, JobState.FAILED, retry_delay_ms=60_000)

    assert messages == []
