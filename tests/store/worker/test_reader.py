"""The reader's loop: what it claims, how much, and that nothing it was given is forgotten."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta

import pytest

from jobrunner.model import JobState, Priority
from jobrunner.store.address import StoreAddress
from jobrunner.store.attempts import Entry
from jobrunner.store.backoff import Backoff
from jobrunner.store.cancelling import cancel
from jobrunner.store.connection import AsyncStoreConnection
from jobrunner.store.leases import resign
from jobrunner.store.submission import submit
from jobrunner.worker.reader import Reader
from tests.store.factories import QUEUES, Store
from tests.store.switch import Switch
from tests.store.waiting import in_background, until

pytestmark = pytest.mark.anyio
BLOCK = timedelta(milliseconds=200)


class Reading:
    """A reader, and what it began."""

    def __init__(self, store: Store, connection: AsyncStoreConnection, slots: int) -> None:
        self.begun: list[Entry] = []
        self.ended = 0
        self.has_room = asyncio.Event()
        self.has_room.set()
        self.reader = Reader(
            store.keys,
            connection,
            "w1",
            QUEUES,
            slots,
            self.begun.append,
            block=BLOCK,
            wait_for_room=self._wait_for_room,
        )

    async def _wait_for_room(self) -> None:
        await self.has_room.wait()

    @property
    def ids(self) -> list[str]:
        return [entry.job_id for entry in self.begun]

    def end(self, store: Store, entry: Entry) -> None:
        """As a worker does: write the end, then give the slot back."""
        store.finish(entry)
        self.ended += 1
        self.reader.give_slot()

    async def end_each(self, store: Store, number: int) -> None:
        """So many jobs, one after the other."""
        while self.ended < number:
            await until(lambda: len(self.begun) > self.ended)
            self.end(store, self.begun[self.ended])


@asynccontextmanager
async def reading(store: Store, address: StoreAddress, slots: int = 100) -> AsyncIterator[Reading]:
    async with AsyncStoreConnection(address) as connection:
        opened = Reading(store, connection, slots)
        async with in_background(opened.reader.run()):
            yield opened


def claimed(store: Store) -> int:
    """Entries that the worker holds."""
    streams = [store.keys.queue(queue, level) for queue in QUEUES for level in Priority]
    return sum(store.command("XPENDING", stream, "workers")[0] for stream in streams)


def submit_many(store: Store, number: int) -> list[str]:
    submissions = [store.submission() for _ in range(number)]
    store.run(submit(store.keys, submissions))
    return [submission.id for submission in submissions]


async def test_jobs_are_claimed_in_the_order_of_their_coming(
    store: Store, address: StoreAddress
) -> None:
    store.add_worker()
    before = submit_many(store, 3)
    async with reading(store, address) as worker:
        await until(lambda: len(worker.begun) == 3)
        later = [store.submit()]
        await until(lambda: len(worker.begun) == 4)

    assert worker.ids == before + later


async def test_a_job_that_comes_to_an_idle_worker_is_begun_at_once(
    store: Store, address: StoreAddress
) -> None:
    store.add_worker()
    async with reading(store, address) as worker:
        await asyncio.sleep(0.02)  # it waits at the server
        loop = asyncio.get_running_loop()
        submitted_at = loop.time()
        store.submit(queue="web", priority=Priority.LOW)
        await until(lambda: bool(worker.begun))

        assert loop.time() - submitted_at < BLOCK.total_seconds() / 2


async def test_never_more_jobs_are_claimed_than_there_are_free_slots(
    store: Store, address: StoreAddress
) -> None:
    store.add_worker()
    submit_many(store, 10)
    async with reading(store, address, slots=3) as worker:
        await until(lambda: len(worker.begun) == 3)
        await asyncio.sleep(0.02)
        assert claimed(store) == 3

        for entry in worker.begun[:2]:
            worker.end(store, entry)

        await until(lambda: len(worker.begun) == 5)
        assert claimed(store) == 3


async def test_what_a_waiting_read_brought_beyond_the_slots_is_given_back_uncounted(
    store: Store, address: StoreAddress
) -> None:
    store.add_worker()
    async with reading(store, address, slots=1) as worker:
        await asyncio.sleep(0.02)  # it waits at the server, which may hand out one job per queue
        places = [(queue, level) for queue in QUEUES for level in Priority]
        submissions = [store.submission(queue=queue, priority=level) for queue, level in places]
        store.run(submit(store.keys, submissions))
        await until(lambda: bool(worker.begun) and claimed(store) == 1)

    surplus = {s.id for s in submissions} - set(worker.ids)
    assert {store.state(job_id) for job_id in surplus} == {JobState.QUEUED}
    assert {store.entry_of(job_id)["n"] for job_id in surplus} == {"0"}


async def test_higher_priorities_go_first_and_one_in_ten_to_a_lower_level(
    store: Store, address: StoreAddress
) -> None:
    store.add_worker()
    levels: dict[str, Priority] = {}
    for level in Priority:
        levels |= dict.fromkeys((store.submit(priority=level) for _ in range(40)), level)
    async with reading(store, address, slots=1) as worker:
        await worker.end_each(store, 40)

    taken = [levels[job_id] for job_id in worker.ids[:40]]
    assert [taken.count(level) for level in (Priority.HIGH, Priority.NORMAL, Priority.LOW)] == [
        36,
        2,
        2,
    ]


async def test_queues_of_one_level_take_turns(store: Store, address: StoreAddress) -> None:
    store.add_worker()
    for queue in QUEUES:
        for _ in range(10):
            store.submit(queue=queue)
    async with reading(store, address, slots=1) as worker:
        await worker.end_each(store, 8)

    assert {entry.queue for entry in worker.begun[:2]} == set(QUEUES)


async def test_an_entry_that_is_no_job_is_recorded_and_holds_nobody_up(
    store: Store, address: StoreAddress
) -> None:
    store.add_worker()
    store.command("XADD", store.keys.queue("default", "normal"), "*", "garbage", "x")
    job_id = store.submit()

    async with reading(store, address) as worker:
        await until(lambda: worker.ids == [job_id])
        await until(lambda: claimed(store) == 1)

    assert store.command("ZCARD", store.keys.done(JobState.FAILED)) == 1


async def test_a_buried_worker_is_given_nothing_more(store: Store, address: StoreAddress) -> None:
    store.add_worker()
    store.run(resign(store.keys, "w1"))
    store.submit()
    async with AsyncStoreConnection(address) as connection:
        worker = Reading(store, connection, 10)

        async with asyncio.timeout(5):
            await worker.reader.run()

    assert (worker.begun, claimed(store)) == ([], 0)


async def test_a_server_that_lost_its_queues_gets_new_ones(
    store: Store, address: StoreAddress
) -> None:
    store.add_worker()
    async with reading(store, address) as worker:
        await asyncio.sleep(0.02)
        for queue in QUEUES:
            for level in Priority:
                store.command("DEL", store.keys.queue(queue, level))

        job_id = store.submit()

        await until(lambda: worker.ids == [job_id])


async def test_the_loop_survives_an_outage(
    store: Store, address: StoreAddress, socket_path: str
) -> None:
    store.add_worker()
    with Switch(socket_path, address) as switch:
        async with reading(store, switch.address) as worker:
            await asyncio.sleep(0.02)
            switch.down()
            job_id = store.submit()
            await asyncio.sleep(0.05)
            assert worker.begun == []

            switch.up()

            await until(lambda: worker.ids == [job_id])


class CountedBackoff(Backoff):
    """Notes the delays that were asked for, a millisecond at first and without chance."""

    def __init__(self) -> None:
        super().__init__(first=0.001, random=lambda: 1.0)
        self.delays: list[float] = []

    def next_delay(self) -> float:
        self.delays.append(super().next_delay())
        return self.delays[-1]


async def test_a_server_that_serves_only_reads_is_asked_ever_less_often(
    store: Store, address: StoreAddress
) -> None:
    store.add_worker()
    backoff = CountedBackoff()
    store.command("CONFIG", "SET", "min-replicas-to-write", 1)

    try:
        async with AsyncStoreConnection(address) as connection:
            reader = Reader(store.keys, connection, "w1", QUEUES, 1, print, BLOCK, backoff)
            async with in_background(reader.run()):
                await until(lambda: len(backoff.delays) >= 4)
    finally:
        store.command("CONFIG", "SET", "min-replicas-to-write", 0)

    assert backoff.delays[:4] == [0.001, 0.002, 0.004, 0.008]


async def test_jobs_in_a_lost_reply_are_begun_all_the_same(
    store: Store, address: StoreAddress, socket_path: str
) -> None:
    store.add_worker()
    lost = submit_many(store, 3)
    with Switch(socket_path, address) as switch:
        switch.lose_reply()
        async with reading(store, switch.address) as worker:
            await until(lambda: len(worker.begun) == 3)
            later = store.submit()
            await until(lambda: len(worker.begun) == 4)

    assert worker.ids == [*lost, later]


async def test_a_job_in_the_lost_reply_to_a_waiting_read_is_begun_all_the_same(
    store: Store, address: StoreAddress, socket_path: str
) -> None:
    store.add_worker()
    with Switch(socket_path, address) as switch:
        async with reading(store, switch.address) as worker:
            first = store.submit()
            await until(lambda: worker.ids == [first])
            await asyncio.sleep(0.02)  # it waits at the server
            switch.lose_reply()

            lost = store.submit()

            await until(lambda: worker.ids == [first, lost])


async def test_jobs_that_run_are_not_begun_again_after_an_outage(
    store: Store, address: StoreAddress, socket_path: str
) -> None:
    store.add_worker()
    with Switch(socket_path, address) as switch:
        async with reading(store, switch.address) as worker:
            submit_many(store, 3)
            await until(lambda: len(worker.begun) == 3)
            switch.down()
            await asyncio.sleep(0.03)
            switch.up()
            last = store.submit()
            await until(lambda: worker.ids[-1] == last)

    assert len(worker.ids) == 4


async def test_a_surplus_job_that_was_cancelled_is_begun_so_that_it_can_end(
    store: Store, address: StoreAddress, socket_path: str
) -> None:
    store.add_worker()
    with Switch(socket_path, address) as switch:
        async with reading(store, switch.address, slots=1) as worker:
            await asyncio.sleep(0.02)
            switch.hang()  # jobs are handed out, and cancelled before the worker knows of them
            levels = (Priority.HIGH, Priority.LOW)
            submissions = [store.submission(priority=level) for level in levels]
            store.run(submit(store.keys, submissions))
            await until(lambda: claimed(store) == 2)
            store.run(cancel(store.keys, submissions[1].id))

            switch.up()

            await until(lambda: worker.ids == [item.id for item in submissions])


# Jobs that only others know.


async def test_a_worker_that_met_a_job_for_others_takes_what_nobody_takes(
    store: Store, address: StoreAddress
) -> None:
    store.add_worker()
    async with reading(store, address) as worker:
        worker.reader.hold_back()

        submitted = submit_many(store, 3)

        await until(lambda: sorted(worker.ids) == sorted(submitted))


async def test_who_waits_at_the_server_is_served_before_a_cautious_worker(
    store: Store, address: StoreAddress
) -> None:
    store.add_worker()
    store.add_worker("w2")
    taken: list[Entry] = []
    async with reading(store, address) as worker, AsyncStoreConnection(address) as connection:
        worker.reader.hold_back()
        (met,) = submit_many(store, 1)
        await until(lambda: worker.ids == [met])
        await asyncio.sleep(0.02)  # it has found nothing more
        other = Reader(store.keys, connection, "w2", QUEUES, 9, taken.append, block=BLOCK)
        async with in_background(other.run()):
            jobs = [submit_many(store, 1)[0] for _ in range(5)]
            await until(lambda: [entry.job_id for entry in taken] == jobs)

    assert worker.ids == [met]


async def test_nothing_is_claimed_while_there_is_no_room(
    store: Store, address: StoreAddress
) -> None:
    store.add_worker()
    async with reading(store, address, slots=2) as worker:
        first = store.submit()
        await until(lambda: worker.ids == [first])
        worker.has_room.clear()
        [second, *later] = submit_many(store, 3)
        # The read that waited at the server was under way before.
        await until(lambda: worker.ids == [first, second])
        worker.end(store, worker.begun[0])
        await asyncio.sleep(BLOCK.total_seconds())
        assert worker.ids == [first, second]

        worker.has_room.set()
        await until(lambda: worker.ids == [first, second, later[0]])


async def test_a_reader_holds_off_longer_each_time_until_a_job_ends(
    store: Store, address: StoreAddress
) -> None:
    async with AsyncStoreConnection(address) as connection:
        loop = asyncio.get_running_loop()
        reader = Reader(store.keys, connection, "w1", QUEUES, 1, print, BLOCK)

        pauses = []
        for _ in range(40):
            pauses.append(reader.hold_off())
            assert reader.hold_off() == 0  # all jobs of a claim are one failure
            reader._hold_back_until = loop.time()

        assert min(pauses) >= 0.1
        assert max(pauses[:2]) <= 0.4
        assert 1 < max(pauses[6:]) <= 5
        reader.give_slot(has_ended=False)
        assert 0.1 <= reader.hold_off() <= 5
        reader._hold_back_until = loop.time()
        reader.give_slot()
        assert reader.hold_off() <= 0.2


async def test_a_reader_that_holds_off_claims_again_afterwards(
    store: Store, address: StoreAddress
) -> None:
    store.add_worker()
    async with reading(store, address, slots=1) as worker:
        first = store.submit()
        await until(lambda: worker.ids == [first])
        worker.reader.hold_off()
        second = store.submit()

        worker.end(store, worker.begun[0])

        assert worker.ids == [first]
        await until(lambda: worker.ids == [first, second])
