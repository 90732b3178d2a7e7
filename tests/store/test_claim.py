"""`claim.lua` and the blocking read: who is given what, and in which order."""

import pytest

from jobrunner.model import JobState, Priority
from jobrunner.store.attempts import Entry, Unreadable, claim, claim_next, ensure_groups
from jobrunner.store.failures import ReplyError
from jobrunner.store.leases import resign
from tests.store.factories import MESSAGE, QUEUES, Store


def submit_levels(store: Store, **numbers: int) -> None:
    for level, number in numbers.items():
        for _ in range(number):
            store.submit(priority=Priority(level))


def levels(entries: list[Entry]) -> dict[str, int]:
    found = [entry.priority for entry in entries]
    return {level: found.count(level) for level in sorted(set(found))}


def test_a_claimed_entry_tells_all_about_its_job(store: Store) -> None:
    store.add_worker()
    job_id = store.submit(queue="web", priority=Priority.HIGH)

    (entry,) = store.claim()

    assert entry == Entry(entry.entry_id, "web", "high", job_id, MESSAGE, 0, 0, 1, 0)
    assert entry.attempt == 1
    assert store.record(job_id)["entry"] == entry.entry_id
    assert store.state(job_id) is JobState.QUEUED  # the pending list says who has it


def test_a_job_is_given_to_one_worker_only(store: Store) -> None:
    store.add_worker("w1")
    store.add_worker("w2")
    store.submit()

    assert len(store.claim("w1")) == 1
    assert store.claim("w2") == []


def test_a_buried_worker_is_given_nothing(store: Store) -> None:
    store.add_worker("w1")
    store.submit()
    store.run(resign(store.keys, "w1"))

    assert store.run(claim(store.keys, "w1", QUEUES, 10)) is None
    assert store.run(claim(store.keys, "stranger", QUEUES, 10)) is None
    assert store.command("XPENDING", store.keys.queue("default", "normal"), "workers")[0] == 0


def test_a_lease_that_seems_to_have_ended_since_the_clock_was_set_is_no_reason_to_stop(
    store: Store,
) -> None:
    store.add_worker()
    job_id = store.submit()
    store.end_lease("w1")

    assert [entry.job_id for entry in store.claim()] == [job_id]


def test_jobs_submitted_before_the_first_worker_are_claimed(store: Store) -> None:
    job_id = store.submit()

    store.add_worker()

    assert [entry.job_id for entry in store.claim()] == [job_id]


def test_making_the_groups_again_changes_nothing(store: Store) -> None:
    store.add_worker()
    store.submit()
    store.claim()
    before = store.snapshot()

    store.run(ensure_groups(store.keys, QUEUES))

    assert store.snapshot() == before


def test_a_queue_that_is_no_stream_keeps_nobody_from_the_others(store: Store) -> None:
    key = store.keys.queue("default", "high")
    store.command("SET", key, "x")

    store.add_worker()
    job_id = store.submit()

    assert [entry.job_id for entry in store.claim()] == [job_id]
    store.finished()
    assert store.run(claim_next(store.keys, "w1", QUEUES, 10)) == []
    waited = store.submit()
    (entry,) = store.run(claim_next(store.keys, "w1", QUEUES, 10))
    assert isinstance(entry, Entry)
    assert entry.job_id == waited
    store.command("DEL", key)


def test_higher_priorities_go_first_and_each_is_in_order(store: Store) -> None:
    store.add_worker()
    low = store.submit(priority=Priority.LOW)
    normal = [store.submit(), store.submit()]
    high = store.submit(priority=Priority.HIGH)

    assert [entry.job_id for entry in store.claim()] == [high, *normal, low]


@pytest.mark.parametrize("free", [1, 2, 5, 9])
@pytest.mark.parametrize("fair_share", [(0, 0), (1, 1), (3, 2), (50, 50)])
def test_never_more_jobs_than_free_slots_are_claimed(
    store: Store, free: int, fair_share: tuple[int, int]
) -> None:
    store.add_worker()
    submit_levels(store, high=4, normal=4, low=4)
    store.submit(queue="web")

    assert len(store.claim(free=free, fair_share=fair_share)) == free


def test_the_fair_share_of_lower_levels_comes_first(store: Store) -> None:
    store.add_worker()
    submit_levels(store, high=20, normal=20, low=20)

    first = store.claim(free=10, fair_share=(1, 2))
    second = store.claim(free=10)

    assert levels(first) == {"high": 7, "low": 1, "normal": 2}
    assert levels(second) == {"high": 10}


def test_slots_left_by_a_level_go_to_the_next(store: Store) -> None:
    store.add_worker()
    submit_levels(store, high=1, low=5)

    assert levels(store.claim(free=4, fair_share=(1, 1))) == {"high": 1, "low": 3}


def test_the_rotation_says_which_queue_comes_first(store: Store) -> None:
    store.add_worker()
    for queue in ("default", "web", "default", "web"):
        store.submit(queue=queue)

    (first,) = store.claim(free=1, rotation=1)
    (second,) = store.claim(free=1, rotation=2)

    assert (first.queue, second.queue) == ("web", "default")


def test_claiming_from_empty_queues_gives_an_empty_list(store: Store) -> None:
    store.add_worker()

    assert store.claim() == []


def test_a_broken_queue_does_not_hide_what_was_taken_from_another(store: Store) -> None:
    store.add_worker()
    store.command("DEL", store.keys.queue("default", "normal"))
    job_id = store.submit(queue="web", priority=Priority.LOW)

    assert [entry.job_id for entry in store.claim()] == [job_id]
    with pytest.raises(ReplyError, match="NOGROUP"):
        store.claim()


def test_the_blocking_read_returns_what_is_there(store: Store) -> None:
    store.add_worker()
    first = store.submit()
    store.submit()
    high = store.submit(queue="web", priority=Priority.HIGH)

    entries = store.run(claim_next(store.keys, "w1", QUEUES, block_ms=1000))

    # At most one of each queue and level.
    assert {e.job_id for e in entries if isinstance(e, Entry)} == {first, high}
    assert {(e.queue, e.priority) for e in entries} == {("default", "normal"), ("web", "high")}


def test_the_blocking_read_gives_nothing_when_its_time_is_over(store: Store) -> None:
    store.add_worker()

    assert store.run(claim_next(store.keys, "w1", QUEUES, block_ms=1)) == []


def test_an_entry_of_a_newer_version_with_more_fields_is_still_read(store: Store) -> None:
    store.add_worker()
    stream = store.keys.queue("default", "normal")
    names = ("id", "x", "m", "[]", "n", 2, "l", 1, "f", 4, "b", 1, "new", "field")
    store.command("XADD", stream, "*", *names)

    (entry,) = store.claim()
    store.command("DEL", stream)  # the job has no record

    assert (entry.job_id, entry.attempts, entry.lost, entry.fence, entry.base) == ("x", 2, 1, 4, 1)


def test_the_entry_of_a_first_hand_out_says_only_which_job(store: Store) -> None:
    store.add_worker()
    store.submit(id="x")

    [fields] = store.entries().values()
    (entry,) = store.claim()

    assert set(fields) == {"id", "m"}
    assert (entry.job_id, entry.attempts, entry.lost, entry.fence, entry.base) == ("x", 0, 0, 1, 0)


@pytest.mark.parametrize(
    "fields",
    [
        ("hello", "world"),
        ("id", "x", "data", "[]"),
        ("id", "x", "m", "[]", "n", 0),
        ("id", "x", "m", "[]", "n", "two", "l", 0, "f", 1, "b", 0),
        ("ID", "x", "m", "[]", "n", 0, "l", 0, "f", 1, "b", 0),
        ("id", b"\xff", "m", "[]", "n", 0, "l", 0, "f", 1, "b", 0),
    ],
)
def test_an_entry_that_is_no_job_is_told_apart(store: Store, fields: tuple[str, ...]) -> None:
    store.add_worker()
    entry_id = store.command("XADD", store.keys.queue("web", "low"), "*", *fields)

    (unreadable,) = store.claim_unreadable()

    assert isinstance(unreadable, Unreadable)
    assert unreadable.entry_id == entry_id.decode()
    assert (unreadable.queue, unreadable.priority) == ("web", "low")
