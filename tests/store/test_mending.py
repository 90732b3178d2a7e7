"""Auditing and mending a store while workers move its jobs: nothing is lost, nothing runs twice."""

import random
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from threading import Event

from jobrunner.clock import SystemClock
from jobrunner.model import JobState, Reason
from jobrunner.store.address import StoreAddress
from jobrunner.store.attempts import StartedAs, requeue
from jobrunner.store.audit import audit, mend
from jobrunner.store.connection import StoreConnection
from jobrunner.store.due import promote_due
from jobrunner.store.keys import Keys
from jobrunner.store.orphan import Kind, Orphan
from tests.store.factories import A_WAITED_LOCK, AN_ERROR, Store

JOBS = 1000
PATIENCE_S = 20  # for all of them to end, which takes two


@contextmanager
def opened(address: StoreAddress) -> Iterator[Store]:
    """The store for one thread."""
    with StoreConnection(address) as connection:
        yield Store(Keys(address.name), connection)


class Workers:
    """Threads that claim, start, retry, give back and finish jobs; they note each accepted end."""

    def __init__(self, address: StoreAddress) -> None:
        self._address = address
        self.stopping = Event()
        self.ends: Counter[str] = Counter()

    def work(self, worker: str) -> None:
        dice = random.Random(worker)
        with opened(self._address) as store:
            while not self.stopping.is_set():
                store.run(promote_due(store.keys))
                for entry in store.claim(worker, dice.randint(1, 20)):
                    lock = A_WAITED_LOCK if entry.job_id.startswith("locked") else None
                    what, _ = store.start(entry, worker, lock)
                    if what is not StartedAs.STARTED:
                        continue
                    chance = dice.random()
                    if chance < 0.2:
                        store.run(requeue(store.keys, [entry], is_lost=False))
                    elif chance < 0.4:
                        store.finish(
                            entry,
                            JobState.FAILED,
                            worker,
                            reason=Reason.ERROR,
                            error=AN_ERROR,
                            retry_delay_ms=5,
                            lock=lock,
                        )
                    else:
                        states = store.finish(entry, worker=worker, lock=lock).states
                        self.ends[entry.job_id] += states == [JobState.COMPLETED]


def submit_all(store: Store) -> list[str]:
    ids = [store.submit(id=f"job{n}", queue=("default", "web")[n % 2]) for n in range(JOBS)]
    ids += [store.submit(id=f"locked{n}") for n in range(20)]
    ids += [store.submit(id=f"after{n}", after=f"job{n}") for n in range(20)]
    return ids


def run_beside(
    address: StoreAddress, store: Store, ids: list[str], act: Callable[[], None]
) -> Counter[str]:
    """Act again and again while workers do the jobs; how often each job's end was accepted."""
    workers = Workers(address)
    for worker in ("w1", "w2"):
        store.add_worker(worker)
    with ThreadPoolExecutor() as threads:
        running = [threads.submit(workers.work, worker) for worker in ("w1", "w2")]
        try:
            give_up_at = SystemClock().monotonic() + PATIENCE_S
            while store.command("ZCARD", store.keys.done("completed")) < len(ids):
                act()
                assert SystemClock().monotonic() < give_up_at, store.records()
                for thread in running:
                    assert not thread.done(), thread.result()
        finally:
            workers.stopping.set()
    return workers.ends


def test_an_audit_of_a_sound_store_finds_nothing_while_jobs_move(
    address: StoreAddress, store: Store
) -> None:
    ids = submit_all(store)
    found: list[Orphan] = []

    def look() -> None:
        found.extend(store.run(audit(store.keys)))

    ends = run_beside(address, store, ids, look)

    assert found == []
    assert ends == Counter(ids)


def test_mending_under_load_neither_loses_a_job_nor_runs_one_twice(
    address: StoreAddress, store: Store
) -> None:
    ids = submit_all(store)
    dice = random.Random(7)
    mended: Counter[Kind] = Counter()

    def wreck() -> None:
        for queue in ("default", "web"):
            stream = store.keys.queue(queue, "normal")
            for entry_id, _ in store.command("XRANGE", stream, "-", "+", "COUNT", 5):
                if dice.random() < 0.5:
                    store.command("XDEL", stream, entry_id)
        store.command("ZADD", store.keys.running(), 1, "nobody")
        store.command("HINCRBY", store.keys.counts(), "queued:demo", 1)
        for job_id in store.texts("ZRANGE", store.keys.scheduled(), 0, 1):
            store.command("ZREM", store.keys.scheduled(), job_id)

    def wreck_and_mend() -> None:
        wreck()
        orphans = store.run(audit(store.keys))
        mended.update(orphan.kind for orphan in store.run(mend(store.keys, orphans)))

    ends = run_beside(address, store, ids, wreck_and_mend)
    store.run(mend(store.keys, store.run(audit(store.keys))))

    assert ends == Counter(ids)
    assert {Kind.NO_ENTRY, Kind.NOT_INDEXED, Kind.STALE_MEMBER} <= mended.keys()


def test_a_job_that_a_living_worker_runs_is_left_to_it(store: Store) -> None:
    store.add_worker()
    entry = store.running()
    store.command("XDEL", store.keys.queue("default", "normal"), entry.entry_id)

    orphans = store.run(audit(store.keys))
    mended = store.run(mend(store.keys, orphans))
    state = store.state(entry.job_id)
    store.finish(entry)

    assert {orphan.kind for orphan in orphans} >= {Kind.NO_ENTRY}
    assert (mended, state) == ([], JobState.RUNNING)
    assert store.state(entry.job_id) is JobState.COMPLETED


def test_what_came_right_since_it_was_seen_is_not_mended(store: Store) -> None:
    store.add_worker()
    job_id = store.submit()
    stream = store.keys.queue("default", "normal")
    store.command("XDEL", stream, store.record(job_id)["entry"])
    orphans = store.run(audit(store.keys))
    store.run(mend(store.keys, orphans))

    mended = store.run(mend(store.keys, orphans))

    assert mended == []
    assert len(store.entries()) == 1
