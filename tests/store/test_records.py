"""Reading records whole, and only the few bytes of them that a table shows."""

from dataclasses import replace

import pytest

from jobrunner.model import JobState, Reason
from jobrunner.store.connection import StoreConnection
from jobrunner.store.keys import Keys
from jobrunner.store.records import END, ROW, read_jobs, read_parts
from tests.store.counting import commands_of
from tests.store.factories import AN_ERROR, Store


@pytest.fixture
def damaged(keys: Keys, connection: StoreConnection) -> Store:
    """Not the fixture `store`: records stay that do not fit."""
    opened = Store(keys, connection)
    opened.add_worker()
    return opened


def test_the_parts_of_a_row_are_as_in_the_whole_record(store: Store) -> None:
    store.add_worker()
    entry = store.running(key="k")
    store.finish(entry, JobState.FAILED, reason=Reason.ERROR, error=AN_ERROR)
    ids = [entry.job_id, store.running().job_id, store.retrying(), store.submit()]

    rows = store.run(read_parts(store.keys, ids, ROW))

    for row, whole in zip(rows, store.run(read_jobs(store.keys, ids)), strict=True):
        assert whole.arguments is not None
        short = replace(whole, result=None, error=None, arguments=None, unmarked=None)
        assert row == replace(short, worker=None, key=None)


@pytest.mark.parametrize("fields", [END, ROW])
def test_parts_are_all_that_is_read(store: Store, fields: tuple[str, ...]) -> None:
    store.add_worker()
    job_id = store.finished()

    _, commands = commands_of(store, read_parts(store.keys, [job_id], fields))

    assert commands == [("HMGET", store.keys.job(job_id), *fields)]
    assert not {"message", "result", "error", "progress"} & set(fields)


def test_parts_keep_the_order_and_leave_out_what_is_gone(store: Store) -> None:
    first, second = store.submit(), store.submit()

    found = store.run(read_parts(store.keys, [second, "gone", first], END))

    assert [job.id for job in found] == [second, first]
    assert store.run(read_parts(store.keys, [], END)) == []


@pytest.mark.parametrize(
    ("field", "value"),
    [("state", "x"), ("created_at", "1" * 30), ("reason", "?"), ("task", b"\xff")],
)
def test_damaged_parts_are_told_as_in_the_whole_record(
    damaged: Store, field: str, value: str
) -> None:
    job_id = damaged.finished()
    damaged.command("HSET", damaged.keys.job(job_id), field, value)

    [whole] = damaged.run(read_jobs(damaged.keys, [job_id]))
    [row] = damaged.run(read_parts(damaged.keys, [job_id], ROW))

    assert (row.id, row.task, row.state, row.error) == (
        whole.id,
        whole.task,
        whole.state,
        whole.error,
    )


def test_a_record_of_which_only_garbage_is_left_is_shown_all_the_same(damaged: Store) -> None:
    damaged.command("HSET", damaged.keys.job("odd"), "x", "y", "result", "{")

    [row] = damaged.run(read_parts(damaged.keys, ["odd"], ROW))

    assert row == damaged.run(read_jobs(damaged.keys, ["odd"]))[0]
    assert (row.state, row.error is not None) == (JobState.FAILED, True)
