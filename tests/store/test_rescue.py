"""`orphans.lua`: finding what workers held that are gone."""

from jobrunner.model import JobState, Priority
from jobrunner.store.attempts import Entry, claim_next, requeue
from jobrunner.store.leases import read_worker, resign
from jobrunner.store.rescue import BATCH, Orphan, find_orphans, forget_worker, read_claimed
from tests.store.factories import QUEUES, Store

W1 = Orphan("w1", "default", "normal")


def orphans(store: Store, dead: str = "") -> list[Orphan]:
    return store.run(find_orphans(store.keys, QUEUES, dead))


def consumers(store: Store) -> list[str]:
    stream = store.keys.queue("default", "normal")
    return [flat[1].decode() for flat in store.command("XINFO", "CONSUMERS", stream, "workers")]


def test_jobs_of_a_worker_whose_lease_ended_are_found(store: Store) -> None:
    store.add_worker("w1")
    entry = store.claimed("w1")
    store.end_lease("w1")

    assert orphans(store) == [W1]
    assert store.run(read_claimed(store.keys, W1)) == [entry]


def test_jobs_of_a_worker_that_is_known_to_be_dead_are_found_at_once(store: Store) -> None:
    store.add_worker("w1")
    store.claimed("w1")

    assert orphans(store) == []
    assert orphans(store, dead="w1") == [W1]


def test_jobs_of_live_workers_are_left_alone(store: Store) -> None:
    store.add_worker("w1")
    store.add_worker("w2")
    store.claimed("w1")
    running = store.running("w2")
    store.end_lease("w1")

    assert orphans(store) == [W1]
    assert store.state(running.job_id) is JobState.RUNNING


def test_every_queue_and_level_is_looked_at(store: Store) -> None:
    store.add_worker("w1")
    store.claimed("w1")
    store.claimed("w1", queue="web", priority=Priority.LOW)

    assert orphans(store, dead="w1") == [W1, Orphan("w1", "web", "low")]


def test_a_queue_that_no_worker_ever_read_has_no_orphans(store: Store) -> None:
    assert store.run(find_orphans(store.keys, ["never"])) == []


def test_an_entry_given_to_a_worker_after_its_burial_is_found_again(store: Store) -> None:
    # A worker that was paused in its blocking read is handed an entry although it has no lease.
    store.add_worker("w1")
    store.run(resign(store.keys, "w1"))
    assert orphans(store) == []
    job_id = store.submit()
    (entry,) = store.run(claim_next(store.keys, "w1", QUEUES, block_ms=1))

    assert orphans(store) == [W1]
    assert isinstance(entry, Entry)
    store.run(requeue(store.keys, [entry], is_lost=True))
    assert store.state(job_id) is JobState.QUEUED


def test_a_dead_workers_consumer_goes_only_when_it_holds_nothing(store: Store) -> None:
    store.add_worker("w1")
    entry = store.claimed("w1")

    orphans(store, dead="w1")
    assert consumers(store) == ["w1"]

    store.run(requeue(store.keys, [entry], is_lost=True))
    assert orphans(store) == []
    assert consumers(store) == []
    assert store.state(entry.job_id) is JobState.QUEUED


def test_a_live_workers_idle_consumer_stays(store: Store) -> None:
    store.add_worker("w1")
    store.finish(store.claimed("w1"))

    orphans(store)

    assert consumers(store) == ["w1"]


def test_many_claimed_jobs_are_read_in_batches(store: Store) -> None:
    store.add_worker("w1")
    for _ in range(BATCH + 5):
        store.submit()
    store.claim("w1", free=1000)
    taken = 0
    while entries := store.run(read_claimed(store.keys, W1)):
        held = [entry for entry in entries if isinstance(entry, Entry)]
        store.run(requeue(store.keys, held, is_lost=True))
        taken += len(held)

    assert taken == BATCH + 5


def test_a_claimed_entry_that_was_deleted_by_hand_is_forgotten(store: Store) -> None:
    store.add_worker("w1")
    entry = store.claimed("w1")
    stream = store.keys.queue("default", "normal")
    store.command("XDEL", stream, entry.entry_id)

    assert store.run(read_claimed(store.keys, W1)) == []
    assert store.command("XPENDING", stream, "workers")[0] == 0
    store.command("DEL", store.keys.job(entry.job_id), store.keys.counts())


def test_a_worker_that_holds_nothing_can_be_forgotten(store: Store) -> None:
    store.add_worker("w1")
    store.command("RPUSH", store.keys.control("w1"), "x")

    store.run(forget_worker(store.keys, "w1"))

    assert store.run(read_worker(store.keys, "w1")) is None
    assert store.command("EXISTS", store.keys.control("w1")) == 0


def test_no_ended_lease_is_judged_while_the_clock_is_in_doubt(store: Store) -> None:
    store.add_worker("w1")
    entry = store.claimed("w1")
    store.end_lease("w1")

    assert store.run(find_orphans(store.keys, QUEUES, bury_ended=False)) == []
    assert store.finish(entry, worker="w1").states == [JobState.COMPLETED]
    assert store.claim("w1") == []


def test_a_look_for_orphans_makes_no_lease_longer(store: Store) -> None:
    store.add_worker()
    end = store.now_ms() + 9000
    store.command("ZADD", store.keys.workers(), end, "w1")

    orphans(store)

    assert int(store.command("ZSCORE", store.keys.workers(), "w1")) == end
