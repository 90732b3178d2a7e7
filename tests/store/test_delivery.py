"""What the benchmark finds in a store where a job was lost, or something was left."""

import pytest

from jobrunner.bench.delivery import NotDelivered, check_delivery
from jobrunner.model import JobState
from jobrunner.store.connection import StoreConnection
from jobrunner.store.keys import Keys
from jobrunner.store.requests import Operation
from tests.store.factories import Store

CALL = '"7-0"'  # the first of process 7


@pytest.fixture
def damaged(keys: Keys, connection: StoreConnection) -> Store:
    """A namespace that is not held against its records after the test: it is wrong by design."""
    return Store(keys, connection)


def delivered(store: Store, attempt: int = 1) -> None:
    """A job on record, as one looks that was performed."""
    fields = ("state", "completed", "attempt", attempt, "result", CALL)
    store.command("HSET", store.keys.job("done"), *fields)
    store.command("ZADD", store.keys.done(JobState.COMPLETED), 1, "done")


def refused(store: Store, check: Operation[None]) -> str:
    with pytest.raises(NotDelivered) as caught:
        store.run(check)
    return caught.value.why or ""


def test_a_job_that_was_performed_once_is_right(damaged: Store) -> None:
    delivered(damaged)

    damaged.run(check_delivery(damaged.keys, ["done"]))


def test_a_job_that_is_lost_is_found(damaged: Store) -> None:
    delivered(damaged)

    why = refused(damaged, check_delivery(damaged.keys, ["done", "lost"]))

    assert "job lost is not there, attempt 0" in why
    assert f"ZCARD {damaged.keys.done(JobState.COMPLETED)} is 1, not 2" in why


def test_a_job_must_have_so_many_attempts_as_its_worker_was_killed_for(damaged: Store) -> None:
    delivered(damaged, attempt=2)

    damaged.run(check_delivery(damaged.keys, ["done"], attempts=2))
    assert "attempt 2" in refused(damaged, check_delivery(damaged.keys, ["done"]))


def test_a_job_that_nobody_asked_for_is_found(damaged: Store) -> None:
    delivered(damaged)
    damaged.command("ZADD", damaged.keys.scheduled(), 1, "other")

    why = refused(damaged, check_delivery(damaged.keys, ["done"]))

    assert why == f"ZCARD {damaged.keys.scheduled()} is 1, not 0"


def test_the_results_of_commands_are_no_calls(damaged: Store) -> None:
    delivered(damaged)
    damaged.command("HSET", damaged.keys.job("done"), "result", "null")

    damaged.run(check_delivery(damaged.keys, ["done"], is_counted=False))
    assert "not the number of a call" in refused(damaged, check_delivery(damaged.keys, ["done"]))
