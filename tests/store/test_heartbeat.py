"""The lease of a worker and the locks of its jobs: renewed in time, or given up in time."""

import json
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta

import msgspec
import pytest

from jobrunner.clock import Clock, SystemClock
from jobrunner.heartbeat import LEASE_LOST_EXIT, Heartbeat, HeartbeatEvents
from jobrunner.runner.processes import ProcessRegistry
from jobrunner.store.address import StoreAddress
from jobrunner.store.attempts import HeldLock
from jobrunner.store.cancelling import cancel
from jobrunner.store.connection import StoreConnection
from jobrunner.store.leases import LEASE_TTL, LockLease, enlist, read_worker, renew
from tests.clock import FakeClock
from tests.store.clients import eventually
from tests.store.factories import A_LOCK, Store, a_worker
from tests.store.switch import Switch

LONG = timedelta(seconds=15)
SHORT_S = 1.0  # of leases whose end a test awaits; a tenth of it is the time to react
SHORT_LOCK = HeldLock("short", slots=1, ttl_ms=300, conflict="skip")


@dataclass
class Told:
    """What the worker was told."""

    lease_lost: threading.Event = field(default_factory=threading.Event)
    lost_locks: list[str] = field(default_factory=list)
    to_cancel: set[str] = field(default_factory=set)


class Beating:
    """A heartbeat in this process; locks that it loses are let go at once, as a worker would."""

    def __init__(
        self, address: StoreAddress, store: Store, ttl: timedelta = LONG, clock: Clock | None = None
    ) -> None:
        self.told = Told()
        self.processes = ProcessRegistry("w1")
        self.clock = clock or SystemClock()
        events = HeartbeatEvents(
            self.told.lease_lost.set, self._lose_lock, self.told.to_cancel.update
        )
        connection = StoreConnection(address)
        self.heartbeat = Heartbeat(
            store.keys, connection, self.clock, "w1", self.processes, events, ttl
        )

    def _lose_lock(self, job_id: str) -> None:
        self.told.lost_locks.append(job_id)
        self.heartbeat.let_go(job_id)

    def hold(self, lease: LockLease) -> None:
        self.heartbeat.hold(lease, self.clock.monotonic())


@contextmanager
def beating(
    address: StoreAddress, store: Store, *locks: LockLease, ttl: timedelta = LONG
) -> Iterator[Beating]:
    worker = Beating(address, store, ttl)
    for lease in locks:
        worker.hold(lease)
    worker.heartbeat.start()
    try:
        yield worker
    finally:
        worker.heartbeat.stop()


def take(store: Store, lock: HeldLock = A_LOCK) -> LockLease:
    """A lock of a new running job."""
    store.submit()
    (entry,) = store.claim()
    _, token = store.start(entry, lock=lock)
    return LockLease(lock.name, entry.job_id, token, lock.ttl_ms)


def has_beaten(store: Store) -> bool:
    return bool(store.command("HEXISTS", store.keys.worker("w1"), "busy"))


def lease_end(store: Store) -> int:
    return int(store.command("ZSCORE", store.keys.workers(), "w1") or 0)


def lock_end(store: Store, lease: LockLease) -> int:
    return int(store.command("ZSCORE", store.keys.lock(lease.name), lease.job_id) or 0)


def grows(number: Callable[[], int]) -> bool:
    """Whether the number is seen to grow."""
    before = number()
    return eventually(lambda: number() > before)


@contextmanager
def a_command(worker: Beating, job_id: str) -> Iterator[subprocess.Popen[bytes]]:
    """A process that the worker runs for a job."""
    process = subprocess.Popen(["sleep", "60"], start_new_session=True)
    worker.processes.add(process.pid, job_id)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def is_dead(process: subprocess.Popen[bytes]) -> bool:
    return process.poll() is not None


# Renewing.


def test_a_beat_renews_the_lease_and_its_locks(store: Store, address: StoreAddress) -> None:
    store.add_worker()
    lease = take(store, SHORT_LOCK)
    before = lease_end(store)

    with beating(address, store, lease) as worker:
        assert grows(lambda: lock_end(store, lease))
        assert grows(lambda: lock_end(store, lease))
        assert lease_end(store) > before
        assert not worker.told.lost_locks


def test_a_beat_tells_the_store_what_the_worker_runs(store: Store, address: StoreAddress) -> None:
    store.add_worker()
    worker = Beating(address, store)
    worker.heartbeat.note_busy(3)

    with a_command(worker, "job1") as process:
        worker.heartbeat.start()
        eventually(lambda: has_beaten(store))
        worker.heartbeat.stop()

    entry = store.run(read_worker(store.keys, "w1"))
    assert entry is not None
    assert entry.busy == 3
    assert [group["pid"] for group in msgspec.json.decode(entry.groups)] == [process.pid]


def test_a_lock_that_is_taken_later_is_renewed_in_time(store: Store, address: StoreAddress) -> None:
    store.add_worker()
    with beating(address, store) as worker:
        assert eventually(lambda: has_beaten(store))  # it sleeps a third of 15 s now
        lease = take(store, SHORT_LOCK)

        worker.hold(lease)

        assert grows(lambda: lock_end(store, lease))


def test_locks_of_short_jobs_cost_no_renewal_each(
    store: Store, address: StoreAddress, socket_path: str
) -> None:
    store.add_worker()
    with Switch(socket_path, address) as switch, beating(switch.address, store) as worker:
        eventually(lambda: switch.round_trips)
        eventually(lambda: has_beaten(store))
        before = switch.round_trips
        for number in range(5):
            worker.hold(LockLease("report", f"job{number}", "1", 60_000))
            assert not worker.told.lease_lost.wait(0.03)
            worker.heartbeat.let_go(f"job{number}")
        assert not worker.told.lost_locks

    assert switch.round_trips == before


def test_a_stopped_heartbeat_renews_no_more(store: Store, address: StoreAddress) -> None:
    store.add_worker()
    lease = take(store, SHORT_LOCK)
    with beating(address, store, lease):
        assert grows(lambda: lock_end(store, lease))

    before = (lease_end(store), lock_end(store, lease))
    assert threading.Event().wait(0.3) is False
    assert (lease_end(store), lock_end(store, lease)) == before


# What the store tells.


def test_cancel_requests_are_passed_on_at_each_beat(store: Store, address: StoreAddress) -> None:
    store.add_worker()
    entry = store.running()
    store.run(cancel(store.keys, entry.job_id))

    with beating(address, store) as worker:
        eventually(lambda: worker.told.to_cancel == {entry.job_id})


def test_a_lease_that_others_ended_is_lost_with_all_its_processes(
    store: Store, address: StoreAddress
) -> None:
    store.add_worker()
    worker = Beating(address, store)
    with a_command(worker, "job1") as one, a_command(worker, "job2") as two:
        store.command("ZREM", store.keys.workers(), "w1")

        worker.heartbeat.start()
        assert worker.told.lease_lost.wait(5)
        worker.heartbeat.stop()

        eventually(lambda: is_dead(one) and is_dead(two))
    assert worker.heartbeat.is_lost
    assert not worker.heartbeat.is_trusted()
    assert lease_end(store) == 0


def test_a_lock_that_others_took_ends_its_own_job_alone(
    store: Store, address: StoreAddress
) -> None:
    store.add_worker()
    lost, kept = take(store), take(store, SHORT_LOCK)
    with beating(address, store, lost, kept) as worker:
        with a_command(worker, lost.job_id) as its_own, a_command(worker, kept.job_id) as other:
            store.command("ZREM", store.keys.lock(lost.name), lost.job_id)

            eventually(lambda: is_dead(its_own))

            assert worker.told.lost_locks == [lost.job_id]
            assert grows(lambda: lock_end(store, kept))
            assert not is_dead(other)
        assert worker.heartbeat.is_trusted()


def test_a_lock_lost_by_an_earlier_attempt_does_not_end_the_next_one(
    store: Store, address: StoreAddress, socket_path: str
) -> None:
    store.add_worker()
    lease = take(store, SHORT_LOCK)
    again = LockLease(lease.name, lease.job_id, "999", lease.ttl_ms)
    store.command("HSET", store.keys.job(lease.job_id), "lock_token", "999")
    with Switch(socket_path, address) as switch:
        switch.hang()
        with beating(switch.address, store, lease) as worker:
            eventually(lambda: switch.round_trips)
            worker.hold(again)  # the next attempt, while the renewal for the first is under way

            switch.up()

            assert grows(lambda: lock_end(store, again))
            assert not worker.told.lost_locks


# Trust.


def test_a_lease_is_trusted_up_to_a_margin_before_its_end(
    store: Store, address: StoreAddress
) -> None:
    clock = FakeClock()
    heartbeat = Beating(address, store, LEASE_TTL, clock).heartbeat
    assert heartbeat.is_trusted()

    clock.advance(seconds=13.4)
    assert heartbeat.is_trusted()

    clock.advance(seconds=0.2)
    assert not heartbeat.is_trusted()


def test_the_wall_clock_has_no_say_in_trust(store: Store, address: StoreAddress) -> None:
    clock = FakeClock()
    heartbeat = Beating(address, store, LEASE_TTL, clock).heartbeat

    clock.set_to(clock.now() + timedelta(hours=1))

    assert heartbeat.is_trusted()


class Child:
    """A heartbeat in a process of its own."""

    def __init__(
        self, address: StoreAddress, ttl_s: float, locks: list[LockLease], hold_on_s: float
    ) -> None:
        settings = {
            "name": address.name,
            "socket": address.socket,
            "ttl_s": ttl_s,
            "hold_on_s": hold_on_s,
            "locks": [msgspec.to_builtins(lock) for lock in locks],
        }
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.store.heartbeat_child", json.dumps(settings)],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        assert self.next_event() == "beating"

    def next_event(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def ended(self) -> int:
        return self.process.wait(5)


def a_short_lease(store: Store) -> None:
    store.add_worker()
    store.run(enlist(store.keys, a_worker(), timedelta(seconds=SHORT_S)))


@contextmanager
def a_child(
    address: StoreAddress, *locks: LockLease, ttl_s: float = SHORT_S, hold_on_s: float = 60
) -> Iterator[Child]:
    child = Child(address, ttl_s, list(locks), hold_on_s)
    try:
        yield child
    finally:
        child.process.kill()
        child.process.communicate()


@pytest.mark.parametrize("outage", [Switch.down, Switch.hang])
def test_trust_ends_before_the_lease_while_the_store_is_away(
    store: Store, address: StoreAddress, socket_path: str, outage: Callable[[Switch], None]
) -> None:
    a_short_lease(store)
    with Switch(socket_path, address) as switch, a_child(switch.address) as child:
        assert grows(lambda: lease_end(store))

        outage(switch)

        assert child.next_event() == "lease_lost"
        assert store.now_ms() < lease_end(store)
        assert child.ended() == LEASE_LOST_EXIT


def test_a_server_that_is_away_itself_costs_neither_lease_nor_locks(
    store: Store, address: StoreAddress, socket_path: str
) -> None:
    a_short_lease(store)
    lease = take(store, HeldLock("report", slots=1, ttl_ms=1000, conflict="skip"))
    with Switch(socket_path, address) as switch, a_child(switch.address, lease) as child:
        assert grows(lambda: lock_end(store, lease))
        away_at = store.now_ms()

        switch.vanish()
        eventually(lambda: store.now_ms() > away_at + 2500 * SHORT_S)
        switch.up()

        assert grows(lambda: lease_end(store))
        assert lock_end(store, lease) > store.now_ms()
        assert child.process.poll() is None


def test_a_server_that_stays_away_is_given_up(
    store: Store, address: StoreAddress, socket_path: str
) -> None:
    a_short_lease(store)
    with Switch(socket_path, address) as switch, a_child(switch.address, hold_on_s=1) as child:
        assert grows(lambda: lease_end(store))

        switch.vanish()

        assert child.next_event() == "lease_lost"
        assert child.ended() == LEASE_LOST_EXIT


def test_a_partition_after_the_server_was_away_costs_the_lease(
    store: Store, address: StoreAddress, socket_path: str
) -> None:
    a_short_lease(store)
    with Switch(socket_path, address) as switch, a_child(switch.address) as child:
        assert grows(lambda: lease_end(store))
        away_at = store.now_ms()
        switch.vanish()
        eventually(lambda: store.now_ms() > away_at + 1500 * SHORT_S)

        switch.up()
        switch.down()
        back_at = store.now_ms()

        assert child.next_event() == "lease_lost"
        assert store.now_ms() < back_at + 1000 * SHORT_S


def test_trust_in_a_lock_ends_before_the_lock_and_the_lease_goes_on(
    store: Store, address: StoreAddress, socket_path: str
) -> None:
    store.add_worker()
    lease = take(store, HeldLock("report", slots=1, ttl_ms=1000, conflict="skip"))
    with Switch(socket_path, address) as switch, a_child(switch.address, lease, ttl_s=60) as child:
        assert grows(lambda: lock_end(store, lease))

        switch.hang()

        assert child.next_event() == f"lock_lost {lease.job_id}"
        assert store.now_ms() < lock_end(store, lease)


def test_an_outage_shorter_than_the_lease_costs_nothing(
    store: Store, address: StoreAddress, socket_path: str
) -> None:
    a_short_lease(store)
    with Switch(socket_path, address) as switch, a_child(switch.address) as child:
        assert grows(lambda: lease_end(store))
        before = lease_end(store)

        switch.down()
        eventually(lambda: store.now_ms() > before - 500)
        switch.up()

        eventually(lambda: store.now_ms() > before + 300)
        assert lease_end(store) > store.now_ms()
        assert child.process.poll() is None


def test_a_renewal_that_failed_is_tried_again_long_before_the_next_one_is_due(
    store: Store, address: StoreAddress, socket_path: str, caplog: pytest.LogCaptureFixture
) -> None:
    store.add_worker()
    with Switch(socket_path, address) as switch:
        switch.down()
        with beating(switch.address, store, ttl=timedelta(seconds=30)):
            assert eventually(lambda: "could not renew the lease" in caplog.text)

            switch.up()

            assert eventually(lambda: has_beaten(store))  # after 2 s, and not after 10


def test_a_process_that_does_not_react_to_its_lost_lease_is_ended(
    store: Store, address: StoreAddress
) -> None:
    store.add_worker()
    with a_child(address) as child:
        store.command("ZREM", store.keys.workers(), "w1")

        assert child.ended() == LEASE_LOST_EXIT


def test_a_process_that_does_not_end_a_job_without_its_lock_is_ended(
    store: Store, address: StoreAddress
) -> None:
    store.add_worker()
    lease = take(store, SHORT_LOCK)
    with a_child(address, lease, ttl_s=60) as child:
        store.command("ZREM", store.keys.lock(lease.name), lease.job_id)

        assert child.next_event() == f"lock_lost {lease.job_id}"
        assert child.ended() == LEASE_LOST_EXIT


# A heartbeat that was held up.


def hold_up(store: Store, child: Child, seconds: float) -> None:
    """Nothing of the process runs for so long."""
    child.process.send_signal(signal.SIGSTOP)
    until = store.now_ms() + seconds * 1000
    eventually(lambda: store.now_ms() > until)


def test_a_late_beat_asks_before_it_ends_a_trust_that_others_kept(
    store: Store, address: StoreAddress
) -> None:
    a_short_lease(store)
    lease = take(store, SHORT_LOCK)
    with a_child(address, lease, ttl_s=SHORT_S) as child:
        assert grows(lambda: lock_end(store, lease))
        child.process.send_signal(signal.SIGSTOP)
        long = LockLease(lease.name, lease.job_id, lease.token, 5_000)
        store.run(renew(store.keys, "w1", [long], ttl=timedelta(seconds=5)))

        hold_up(store, child, 1.5 * SHORT_S)
        ends = (lease_end(store), lock_end(store, lease))
        child.process.send_signal(signal.SIGCONT)

        eventually(lambda: lease_end(store) != ends[0] and lock_end(store, lease) != ends[1])
        assert grows(lambda: lease_end(store))
        assert child.process.poll() is None


def test_a_late_beat_waits_for_the_answer_that_was_under_way(
    store: Store, address: StoreAddress, socket_path: str
) -> None:
    a_short_lease(store)
    with Switch(socket_path, address) as switch, a_child(switch.address) as child:
        assert grows(lambda: lease_end(store))
        switch.hang()
        eventually(lambda: switch.replies_held)

        child.process.send_signal(signal.SIGSTOP)
        store.run(renew(store.keys, "w1", [], ttl=timedelta(seconds=5)))
        hold_up(store, child, 1.5 * SHORT_S)
        child.process.send_signal(signal.SIGCONT)
        switch.up()

        assert grows(lambda: lease_end(store))
        assert grows(lambda: lease_end(store))
        assert child.process.poll() is None


def test_a_late_beat_whose_lease_was_taken_back_ends_everything(
    store: Store, address: StoreAddress
) -> None:
    a_short_lease(store)
    with a_child(address) as child:
        assert grows(lambda: lease_end(store))

        hold_up(store, child, 1.5 * SHORT_S)
        store.command("ZREM", store.keys.workers(), "w1")
        child.process.send_signal(signal.SIGCONT)

        assert child.next_event() == "lease_lost"
        assert child.ended() == LEASE_LOST_EXIT


def test_a_late_beat_ends_its_trust_when_the_store_does_not_answer(
    store: Store, address: StoreAddress, socket_path: str
) -> None:
    a_short_lease(store)
    with Switch(socket_path, address) as switch, a_child(switch.address) as child:
        assert grows(lambda: lease_end(store))

        switch.hang()
        hold_up(store, child, 1.5 * SHORT_S)
        child.process.send_signal(signal.SIGCONT)

        assert child.next_event() == "lease_lost"
        assert child.ended() == LEASE_LOST_EXIT
