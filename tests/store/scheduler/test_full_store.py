"""Crons while the store has no room for more jobs."""

from datetime import timedelta

import pytest

from jobrunner.model import JobState
from jobrunner.store.room import note_room
from tests.store.factories import Store
from tests.store.scheduler.scheduling import Daemon, a_cron, at, fired

pytestmark = pytest.mark.anyio


async def test_missed_fires_are_caught_up_by_policy_when_there_is_room(
    store: Store, daemon: Daemon
) -> None:
    due = store.submit(delay=timedelta(0), id="due")
    await daemon.take_up(a_cron("all", misfire="all"), a_cron("once", misfire="once"))
    store.run(note_room(store.keys, is_full=True))

    wakes = [await daemon.tick_at(at(0, minute)) for minute in (5, 10, 15)]

    assert fired(store, "all") == fired(store, "once") == []
    assert [wake - at(0, minute) for wake, minute in zip(wakes, (5, 10, 15), strict=True)] == [
        timedelta(seconds=1)
    ] * 3
    assert store.state(due) is JobState.QUEUED
    store.run(note_room(store.keys, is_full=False))
    await daemon.serve_until(at(0, 16))
    assert fired(store, "all") == [at(0, 5), at(0, 10), at(0, 15)]
    assert fired(store, "once") == [at(0, 15)]


async def test_a_reboot_cron_fires_when_there_is_room(store: Store, daemon: Daemon) -> None:
    crons = [a_cron("up", cron="@reboot")]
    store.run(note_room(store.keys, is_full=True))

    await daemon.scheduler.fire_at_boot(crons, "boot-one-1")
    await daemon.take_up(*crons)
    await daemon.tick()
    assert store.entries() == {}
    store.run(note_room(store.keys, is_full=False))
    await daemon.tick()

    assert store.state("up@boot-boot-one") is JobState.QUEUED
