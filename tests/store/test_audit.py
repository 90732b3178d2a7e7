"""An audit finds what does not fit together, and nothing else; mending puts it right, once."""

from collections.abc import Callable

import pytest

from jobrunner.model import JobState
from jobrunner.store.audit import audit, mend
from jobrunner.store.audit_records import check_records
from jobrunner.store.keys import GROUP
from jobrunner.store.orphan import Kind, Orphan
from jobrunner.store.requests import Argument, Script
from tests.store.factories import A_WAITED_LOCK, LONG_AGO, Store

Fault = Callable[[Store], None]


def found(store: Store) -> list[Orphan]:
    return store.run(audit(store.keys))


def kinds(orphans: list[Orphan]) -> set[Kind]:
    return {orphan.kind for orphan in orphans}


def a_queued_job_whose_entry_is_gone(store: Store) -> None:
    entry_id = store.record(store.submit())["entry"]
    store.command("XDEL", store.keys.queue("default", "normal"), entry_id)


def a_running_job_of_a_dead_worker_whose_entry_is_gone(store: Store) -> None:
    entry = store.running()
    stream = store.keys.queue("default", "normal")
    store.command("XACK", stream, GROUP, entry.entry_id)
    store.command("XDEL", stream, entry.entry_id)
    store.command("ZREM", store.keys.workers(), "w1")


def a_scheduled_job_without_a_due_time_in_the_index(store: Store) -> None:
    store.command("ZREM", store.keys.scheduled(), store.retrying())


def a_running_job_that_is_not_indexed(store: Store) -> None:
    store.command("ZREM", store.keys.running(), store.running().job_id)


def a_finished_job_that_is_not_in_the_history(store: Store) -> None:
    store.command("ZREM", store.keys.task_done("demo"), store.finished())


def a_waiter_that_is_not_in_the_line(store: Store) -> None:
    store.running(lock=A_WAITED_LOCK)
    store.command("ZREM", store.keys.lock_waiting("report"), store.blocked())


def a_line_nobody_looks_after(store: Store) -> None:
    store.running(lock=A_WAITED_LOCK)
    store.blocked()
    store.command("ZREM", store.keys.locks(), "report")


def a_line_for_a_lock_that_nobody_has(store: Store) -> None:
    store.running(lock=A_WAITED_LOCK)
    store.blocked()
    store.command("DEL", store.keys.lock("report"))


def a_follower_that_no_job_will_tell(store: Store) -> None:
    first = store.submit()
    store.submit(after=first)
    store.command("DEL", store.keys.watchers(first))


def an_entry_whose_record_is_gone(store: Store) -> None:
    job_id = store.submit()
    store.command("DEL", store.keys.job(job_id))
    store.command("DEL", store.keys.counts())


def a_second_entry_of_a_job(store: Store) -> None:
    fields = store.entry_of(store.submit())
    flat = [item for pair in fields.items() for item in pair]
    store.command("XADD", store.keys.queue("default", "normal"), "*", *flat)


def a_claim_of_a_dead_worker_without_its_entry(store: Store) -> None:
    entry = store.claimed()
    stream = store.keys.queue("default", "normal")
    store.command("XDEL", stream, entry.entry_id)
    store.command("DEL", store.keys.job(entry.job_id), store.keys.counts())
    store.command("ZREM", store.keys.workers(), "w1")


def a_finished_job_among_the_running(store: Store) -> None:
    store.command("ZADD", store.keys.running(), LONG_AGO, store.finished())


def an_unknown_job_among_the_scheduled(store: Store) -> None:
    store.command("ZADD", store.keys.scheduled(), LONG_AGO, "nobody")


def a_wish_to_cancel_a_job_that_ended(store: Store) -> None:
    store.command("SADD", store.keys.cancelling(), store.finished())


def a_failed_job_among_the_completed(store: Store) -> None:
    job_id = store.finished(JobState.FAILED)
    store.command("ZADD", store.keys.done("completed"), LONG_AGO, job_id)


def a_history_that_names_another_tasks_job(store: Store) -> None:
    store.command("ZADD", store.keys.task_done("other"), LONG_AGO, store.finished())


def a_lock_held_by_a_job_that_ended(store: Store) -> None:
    store.command("ZADD", store.keys.lock("report"), store.now_ms() + 60_000, store.finished())


def a_finished_job_in_the_line_of_a_lock(store: Store) -> None:
    store.command("ZADD", store.keys.lock_waiting("report"), 1, store.finished())


def watchers_of_a_job_that_ended(store: Store) -> None:
    store.command("SADD", store.keys.watchers(store.finished()), "client:gone")


def output_of_a_job_that_is_gone(store: Store) -> None:
    store.command("XADD", store.keys.log("nobody"), "*", "c", "[]")


def a_key_of_a_job_that_is_gone(store: Store) -> None:
    store.command("SET", store.keys.unique("k"), "nobody")


def a_count_without_jobs(store: Store) -> None:
    store.command("HSET", store.keys.counts(), "running:demo", 3)


def a_count_that_is_missing(store: Store) -> None:
    store.submit()
    store.command("DEL", store.keys.counts())


FAULTS: list[tuple[Fault, Kind]] = [
    (a_queued_job_whose_entry_is_gone, Kind.NO_ENTRY),
    (a_running_job_of_a_dead_worker_whose_entry_is_gone, Kind.NO_ENTRY),
    (a_scheduled_job_without_a_due_time_in_the_index, Kind.NOT_INDEXED),
    (a_running_job_that_is_not_indexed, Kind.NOT_INDEXED),
    (a_finished_job_that_is_not_in_the_history, Kind.NOT_INDEXED),
    (a_waiter_that_is_not_in_the_line, Kind.ASLEEP),
    (a_line_nobody_looks_after, Kind.ASLEEP),
    (a_line_for_a_lock_that_nobody_has, Kind.ASLEEP),
    (a_follower_that_no_job_will_tell, Kind.ASLEEP),
    (an_entry_whose_record_is_gone, Kind.STALE_ENTRY),
    (a_second_entry_of_a_job, Kind.STALE_ENTRY),
    (a_claim_of_a_dead_worker_without_its_entry, Kind.GHOST),
    (a_finished_job_among_the_running, Kind.STALE_MEMBER),
    (an_unknown_job_among_the_scheduled, Kind.STALE_MEMBER),
    (a_wish_to_cancel_a_job_that_ended, Kind.STALE_MEMBER),
    (a_failed_job_among_the_completed, Kind.STALE_MEMBER),
    (a_history_that_names_another_tasks_job, Kind.STALE_MEMBER),
    (a_lock_held_by_a_job_that_ended, Kind.STALE_LOCK),
    (a_finished_job_in_the_line_of_a_lock, Kind.STALE_LOCK),
    (watchers_of_a_job_that_ended, Kind.STALE_WATCHERS),
    (output_of_a_job_that_is_gone, Kind.LEFTOVER),
    (a_key_of_a_job_that_is_gone, Kind.LEFTOVER),
    (a_count_without_jobs, Kind.WRONG_COUNT),
    (a_count_that_is_missing, Kind.WRONG_COUNT),
]


@pytest.mark.parametrize(("wrong", "kind"), FAULTS, ids=[wrong.__name__ for wrong, _ in FAULTS])
def test_a_fault_is_found_mended_and_gone(store: Store, wrong: Fault, kind: Kind) -> None:
    store.add_worker()
    wrong(store)

    orphans = found(store)
    mended = store.run(mend(store.keys, orphans))

    assert kinds(orphans) == {kind}
    assert kind in kinds(mended)
    assert found(store) == []


def test_a_sound_store_has_no_orphans(store: Store) -> None:
    store.add_worker()
    store.retrying(task="other")
    store.finished(JobState.SKIPPED)
    store.running(lock=A_WAITED_LOCK)
    store.blocked()
    job_id = store.submit(key="k")
    store.submit(after=job_id)
    store.command("XADD", store.keys.log(job_id), "*", "c", "[]")

    assert found(store) == []


def test_who_waits_for_a_lock_that_is_freed_is_woken(store: Store) -> None:
    store.add_worker()
    a_lock_held_by_a_job_that_ended(store)
    store.command("ZADD", store.keys.locks(), store.now_ms() + 60_000, "report")
    waiter = store.blocked()

    store.run(mend(store.keys, found(store)))

    assert store.due_jobs() == [waiter]


def test_a_job_that_its_dead_worker_was_running_is_queued_with_one_loss_more(store: Store) -> None:
    store.add_worker()
    entry = store.running()
    store.command("XDEL", store.keys.queue("default", "normal"), entry.entry_id)
    store.command("ZREM", store.keys.workers(), "w1")

    orphans = found(store)
    store.run(mend(store.keys, orphans))
    store.add_worker("w2")
    (again,) = store.claim("w2")

    assert kinds(orphans) == {Kind.NO_ENTRY, Kind.GHOST}
    assert (again.job_id, again.attempts, again.lost) == (entry.job_id, 1, 1)
    assert again.fence > entry.fence


def test_a_record_that_says_nothing_is_kept_aside(store: Store) -> None:
    store.command("HSET", store.keys.job("x"), "progress", "1")

    orphans = found(store)
    mended = store.run(mend(store.keys, orphans))

    assert [(orphan.kind, orphan.id) for orphan in orphans] == [(Kind.NO_STATE, "x")]
    assert mended == orphans
    aside = store.keys.aside(store.keys.job("x"))
    assert store.command("HGET", aside, "progress") == b"1"
    assert store.command("TTL", aside) > 0
    assert found(store) == []


def test_an_entry_that_is_no_job_is_left_to_the_workers(store: Store) -> None:
    store.add_worker()
    store.command("XADD", store.keys.queue("default", "normal"), "*", "hello", "world")

    assert found(store) == []


def test_the_own_entry_of_a_job_that_has_ended_is_taken_out(store: Store) -> None:
    job_id = store.submit()
    now = store.now_ms()
    changes = ("state", "completed", "finished_at", now)
    store.command("HSET", store.keys.job(job_id), *changes)
    for key in (store.keys.done("completed"), store.keys.task_done("demo")):
        store.command("ZADD", key, now, job_id)
    store.command("DEL", store.keys.counts())

    orphans = found(store)
    store.run(mend(store.keys, orphans))

    assert kinds(orphans) == {Kind.STALE_ENTRY}
    assert store.entries() == {}


def test_a_stale_entry_that_a_living_worker_has_claimed_is_left_to_it(store: Store) -> None:
    store.add_worker()
    double = store.doubled(store.running())

    orphans = found(store)

    assert kinds(orphans) == {Kind.STALE_ENTRY}
    assert store.run(mend(store.keys, orphans)) == []
    store.finish(double)
    assert found(store) == []


def test_an_idempotency_key_that_went_to_a_later_job_meanwhile_is_kept(store: Store) -> None:
    store.submit(id="later", key="k")
    names = [store.keys.unique("k"), store.keys.job("gone")]

    assert store.connection.execute(Script("check_leftovers", names, [1, "gone"])) == [0]
    assert store.command("GET", store.keys.unique("k")) == b"later"


def test_a_member_that_left_an_index_meanwhile_is_no_fault(store: Store) -> None:
    keys = store.keys
    names = [keys.running(), keys.lock_waiting("none"), keys.scheduled(), keys.job("gone")]
    args: list[Argument] = ["", keys.wake_channel(), "", "running ", "", "", 0, "gone"]

    assert store.connection.execute(Script("check_members", names, args)) == [b""]


def test_who_was_woken_in_vain_is_left_to_the_scheduler_for_a_while(store: Store) -> None:
    store.add_worker()
    job_id = store.finished()
    store.command("ZADD", store.keys.scheduled(), store.now_ms(), job_id)

    assert found(store) == []
    store.promote(job_id)


def test_a_claimed_job_without_its_entry_is_left_to_the_living_worker(store: Store) -> None:
    store.add_worker()
    entry = store.claimed()
    store.command("XDEL", store.keys.queue("default", "normal"), entry.entry_id)

    orphans = found(store)

    assert Kind.NO_ENTRY in kinds(orphans)
    assert Kind.NO_ENTRY not in kinds(store.run(mend(store.keys, orphans)))
    assert store.finish(entry).states == [JobState.COMPLETED]


def test_a_running_job_without_its_entry_is_left_to_the_living_worker(store: Store) -> None:
    store.add_worker()
    entry = store.running()
    stream = store.keys.queue("default", "normal")
    store.command("XACK", stream, GROUP, entry.entry_id)
    store.command("XDEL", stream, entry.entry_id)

    assert store.run(mend(store.keys, found(store))) == []
    assert store.finish(entry).states == [JobState.COMPLETED]


def test_the_lock_of_a_job_that_has_ended_is_given_to_the_next_in_line(store: Store) -> None:
    store.add_worker()
    holder = store.running(lock=A_WAITED_LOCK)
    waiter = store.blocked()
    store.finish(holder)  # as by a caller that did not know the lock

    store.run(mend(store.keys, found(store)))

    assert store.holders() == []
    assert store.due_jobs() == [waiter]


def test_more_jobs_than_can_be_counted_at_once_are_not_counted(store: Store) -> None:
    store.submit()
    keys = store.keys
    names = [keys.counts(), keys.scheduled(), keys.blocked(), keys.running()]
    names.append(keys.queue("default", "normal"))

    assert store.connection.execute(Script("count_live", names, ["", 0, keys.job("")])) is None


def test_a_job_that_is_queued_again_has_a_higher_fence(store: Store) -> None:
    a_queued_job_whose_entry_is_gone(store)

    store.run(mend(store.keys, found(store)))

    (entry,) = store.entries().values()
    assert entry["f"] == "2"


def test_a_job_that_began_to_wait_while_it_was_looked_at_is_no_fault(store: Store) -> None:
    store.add_worker()
    store.running(lock=A_WAITED_LOCK)
    entry = store.claimed()
    checking = check_records(store.keys, [entry.job_id], mends=False)
    read = store.connection.execute(next(checking))
    store.start(entry, lock=A_WAITED_LOCK)
    script = checking.send(read)

    with pytest.raises(StopIteration) as stopped:
        checking.send(store.connection.execute(script))

    assert stopped.value.value == []
