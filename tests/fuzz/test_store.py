"""Garbage in the store: recorded or passed over, never a crash, and no harm to its neighbours."""

import asyncio
import json
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import event, given
from hypothesis import strategies as st

from jobrunner.clock import from_ms
from jobrunner.errors import ExitCode
from jobrunner.rescuer import Rescuer
from jobrunner.runner.leftovers import Ours
from jobrunner.store.address import StoreAddress
from jobrunner.store.connection import AsyncStoreConnection
from jobrunner.store.crons import LARGEST_SKEW, Enrolment, enrol
from jobrunner.store.leases import renew
from jobrunner.worker.control import obey
from tests.clock import FakeClock
from tests.fuzz import damage as damaging
from tests.fuzz.extent import tries
from tests.fuzz.namespaces import declared_store
from tests.store.factories import Store
from tests.store.waiting import in_background, until
from tests.unit.cli.conftest import Invoke, make_invoke

READING = (
    *("list", "list --task backup", "list --state failed --state running", "status", "crons"),
    *(
        "workers",
        "queues",
        "locks",
        "history backup",
        "history ?",
        "logs job1",
        "logs job1 --tail 1",
    ),
    *("show job1", "show job2", "show job3", "show good", "show @last", "show @last:backup"),
    *("why job1", "why job2", "why job3", "why nightly", "why backup", "wait good", "logs job1 -t"),
    *("stats", "stats backup", "stats --window all"),
)


@pytest.fixture
def invoke(tmp_path: Path) -> Invoke:
    return make_invoke(tmp_path)


@tries(80, 3_000)
@given(
    damages=damaging.damages,
    lines=st.lists(st.sampled_from(READING), min_size=2, max_size=4),
    form=st.sampled_from(([], ["--json"])),
)
def test_what_reads_a_damaged_store_shows_the_rest(
    tmp_path: Path,
    invoke: Invoke,
    store_socket: str,
    damages: Sequence[damaging.Damage],
    lines: Sequence[str],
    form: Sequence[str],
) -> None:
    with declared_store(StoreAddress("fuzz", socket=store_socket), is_ended=False) as store:
        (tmp_path / "jobs.yaml").write_text(
            f"name: '{store.keys.name}'\nstore: {{url: 'unix://{store_socket}'}}\n"
        )
        for damage in damages:
            damaging.inflict(store, damage)

        for line in lines:
            outcome = invoke(*line.split(), *form)
            assert "Traceback" not in outcome.stderr, outcome.stderr
            assert outcome.code in set(ExitCode)
        listed = json.loads(invoke("list", "--json").stdout)

    assert "good" in [job["id"] for job in listed]


@tries(40, 1_500)
@given(damages=damaging.damages)
def test_the_daemons_loops_go_on_in_a_damaged_store(
    store_socket: str, damages: Sequence[damaging.Damage]
) -> None:
    with declared_store(StoreAddress("fuzz", socket=store_socket), is_ended=False) as store:
        for damage in damages:
            damaging.inflict(store, damage)
        store.run(renew(store.keys, "w1", [], groups=b"[]", busy=0))
        store.end_lease("w1")

        asyncio.run(tick_all(store))

        assert damaging.pending(store) == 0


async def tick_all(store: Store) -> None:
    """One pass of the loops that every daemon has."""
    clock = FakeClock()
    async with AsyncStoreConnection(store.connection.address) as connection:
        rescuer = Rescuer(store.keys, connection, clock, ours=Ours(""))
        await rescuer.tick(clock.now())


@tries(40, 500)
@given(handled=damaging.values)
def test_a_cron_with_a_damaged_record_is_taken_up_from_now_on(
    store_socket: str, handled: bytes
) -> None:
    with declared_store(StoreAddress("fuzz", socket=store_socket), is_ended=True) as store:
        store.command("HSET", store.keys.cron("nightly"), "schedule", "@daily", "handled", handled)
        before = from_ms(store.now_ms())

        (enrolled,) = store.run(enrol(store.keys, [Enrolment("nightly", "@daily")]))

    event("kept" if enrolled.since < before else "anew")
    assert enrolled.since >= before or handled.strip()
    assert enrolled.since <= before + LARGEST_SKEW + timedelta(minutes=1)


@tries(15, 300)
@given(damages=damaging.damages)
def test_garbage_in_a_control_list_hides_no_request(
    store_socket: str, damages: Sequence[damaging.Damage]
) -> None:
    with declared_store(StoreAddress("fuzz", socket=store_socket), is_ended=True) as store:
        for _, _, value in damages:
            store.command("RPUSH", store.keys.control("w1"), value)
        store.command("RPUSH", store.keys.control("w1"), "job3")

        obeyed = asyncio.run(obeyed_until(store, "job3"))

    assert len(obeyed) == len(damages) + 1


async def obeyed_until(store: Store, last: str) -> list[str]:
    """What a worker is told to cancel, up to that job."""
    found: list[str] = []
    async with (
        AsyncStoreConnection(store.connection.address) as connection,
        in_background(obey(store.keys, connection, "w1", found.append)),
    ):
        await until(lambda: last in found)
    return found
