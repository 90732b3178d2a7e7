"""`delete.lua`, and retention by age and count."""

from collections.abc import Callable
from datetime import timedelta

import pytest

from jobrunner.clock import from_ms
from jobrunner.model import TERMINAL, JobState
from jobrunner.store.connection import StoreConnection
from jobrunner.store.keys import Keys
from jobrunner.store.removal import BATCH, delete_jobs, prune_results, prune_state
from jobrunner.store.submission import submit
from tests.store.factories import Store, minutes


def finish_at(store: Store, at_ms: int) -> str:
    """A completed job with this finish, as retention sees it."""
    job_id = store.finished()
    store.command("ZADD", store.keys.done("completed"), at_ms, job_id)
    return job_id


@pytest.mark.parametrize("state", sorted(TERMINAL))
def test_a_finished_job_is_deleted_with_all_that_belongs_to_it(
    store: Store, state: JobState
) -> None:
    store.add_worker()
    entry = store.claimed(key="k", task="backup")
    store.finish(entry, state, result=b"1", result_life_ms=1000, task="backup")
    store.command("XADD", store.keys.log(entry.job_id), "*", "c", "line")

    assert store.run(delete_jobs(store.keys, [entry.job_id])) == ["deleted"]

    assert [key for key in store.snapshot() if entry.job_id in key] == []
    assert store.command("EXISTS", store.keys.unique("k")) == 0
    assert store.command("ZCARD", store.keys.results()) == 0


@pytest.mark.parametrize("state", ["queued", "scheduled", "blocked", "running"])
def test_a_live_job_is_not_deleted(store: Store, state: str) -> None:
    store.add_worker()
    ways: dict[str, Callable[[], str]] = {
        "queued": store.submit,
        "scheduled": lambda: store.submit(delay=minutes(1)),
        "blocked": lambda: store.submit(after=store.submit()),
        "running": lambda: store.running().job_id,
    }
    job_id = ways[state]()
    before = store.snapshot()

    assert store.run(delete_jobs(store.keys, [job_id])) == [state]
    assert store.snapshot() == before


def test_a_key_that_a_later_job_has_stays(store: Store) -> None:
    store.add_worker()
    first = store.finished(key="k")
    later = store.submit()
    store.command("SET", store.keys.unique("k"), later)

    store.run(delete_jobs(store.keys, [first]))

    assert store.command("GET", store.keys.unique("k")) == later.encode()


def test_a_deleted_jobs_key_can_be_used_again(store: Store) -> None:
    store.add_worker()
    store.run(delete_jobs(store.keys, [store.finished(key="k")]))

    (again,) = store.run(submit(store.keys, [store.submission(key="k")]))

    assert again.is_new


def test_what_is_gone_leaves_the_indexes_too(store: Store) -> None:
    store.command("ZADD", store.keys.done("failed"), 1, "ghost")

    assert store.run(delete_jobs(store.keys, ["ghost"])) == ["gone"]
    assert store.command("ZCARD", store.keys.done("failed")) == 0


@pytest.mark.parametrize("index", sorted(TERMINAL))
def test_a_live_job_leaves_the_indexes_of_ended_jobs_and_lives_on(
    store: Store, index: JobState
) -> None:
    job_id = store.submit()
    before = store.snapshot()
    store.command("ZADD", store.keys.done(index), 1, job_id)

    assert store.run(delete_jobs(store.keys, [job_id])) == ["queued"]
    assert store.snapshot() == before


@pytest.mark.parametrize(
    ("field", "outcome"), [("task", "deleted"), ("key", "deleted"), ("state", "\ufffd")]
)
def test_a_field_that_is_no_text_does_not_hold_up_the_others(
    keys: Keys, connection: StoreConnection, field: str, outcome: str
) -> None:
    store = Store(keys, connection)  # not the fixture: something stays that does not fit
    store.add_worker()
    ids = [store.finished(key="k"), store.finished()]
    store.command("HSET", keys.job(ids[0]), field, b"\xff")

    assert store.run(delete_jobs(keys, ids)) == [outcome, "deleted"]


def test_nothing_to_delete_is_no_call(store: Store) -> None:
    assert store.run(delete_jobs(store.keys, [])) == []


def test_any_number_of_jobs_is_deleted(store: Store) -> None:
    ids = [f"ghost{number}" for number in range(BATCH * 2 + 1)]

    assert store.run(delete_jobs(store.keys, ids)) == ["gone"] * len(ids)


def test_jobs_past_their_age_are_pruned(store: Store) -> None:
    store.add_worker()
    now_ms = store.now_ms()
    old = finish_at(store, now_ms - 61_000)
    young = finish_at(store, now_ms - 59_000)
    failed = store.finished(JobState.FAILED)

    pruned = store.run(
        prune_state(
            store.keys,
            JobState.COMPLETED,
            now=from_ms(now_ms),
            keep_for=minutes(1),
            keep_count=10,
        )
    )

    assert pruned == 1
    assert store.records().keys() == {young, failed}
    assert old not in store.records()


def test_the_oldest_of_too_many_jobs_are_pruned(store: Store) -> None:
    store.add_worker()
    now_ms = store.now_ms()
    ids = [finish_at(store, now_ms - 1000 + number) for number in range(5)]

    pruned = store.run(
        prune_state(
            store.keys,
            JobState.COMPLETED,
            now=from_ms(now_ms),
            keep_for=timedelta(days=1),
            keep_count=2,
        )
    )

    assert pruned == 3
    assert store.records().keys() == set(ids[3:])


def test_nothing_is_pruned_within_retention(store: Store) -> None:
    store.add_worker()
    store.finished()
    before = store.snapshot()

    pruned = store.run(
        prune_state(
            store.keys,
            JobState.COMPLETED,
            now=from_ms(store.now_ms()),
            keep_for=minutes(1),
            keep_count=1,
        )
    )

    assert pruned == 0
    assert store.snapshot() == before


def test_a_result_past_its_life_goes_and_the_record_stays(store: Store) -> None:
    store.add_worker()
    first, second = store.running(), store.running()
    store.finish(first, result=b"1", result_life_ms=1000)
    store.finish(second, result=b"2", result_life_ms=100_000)

    dropped = store.run(prune_results(store.keys, from_ms(store.now_ms() + 2000)))

    assert dropped == 1
    assert store.job(first.job_id).result is None
    assert store.state(first.job_id) is JobState.COMPLETED
    assert store.job(second.job_id).result == 2
    assert store.run(prune_results(store.keys, from_ms(store.now_ms()))) == 0
