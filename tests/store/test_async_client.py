"""The client for event loops: what differs from the blocking one."""

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import msgspec
import pytest

from jobrunner.client import AsyncClient
from jobrunner.errors import JobFailed, JobNotFound, JobTimeout, StoreUnavailable
from jobrunner.model import JobState
from jobrunner.store.address import StoreAddress
from tests.store.clients import DEMO, CutLine, calls_of, is_watched, publish_tasks
from tests.store.factories import Store

pytestmark = pytest.mark.anyio


@pytest.fixture
async def client(address: StoreAddress, store: Store) -> AsyncIterator[AsyncClient]:
    publish_tasks(store, DEMO)
    store.add_worker()
    async with AsyncClient(address.name, socket=address.socket) as opened:
        yield opened


async def until(check: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while not check():
            await asyncio.sleep(0.002)


def finish_all(store: Store) -> None:
    for entry in store.claim():
        store.finish(entry, result=msgspec.json.encode(f"result of {entry.job_id}"))


async def test_a_job_goes_its_way(client: AsyncClient, store: Store) -> None:
    job = await client.submit("demo", {"n": 3})
    assert await job.state() is JobState.QUEUED
    assert (await job.job()).arguments == {"n": 3}

    finish_all(store)
    assert await job.wait(timeout=5) == await job.result() == f"result of {job.id}"
    assert await job.logs() == []

    await client.retry(job.id)
    assert await job.cancel()
    with pytest.raises(JobFailed, match="was cancelled"):
        await job.wait()

    await client.delete(job.id)
    with pytest.raises(JobNotFound):
        await job.wait()


async def test_a_claimed_job_is_cancelled_by_its_worker(client: AsyncClient, store: Store) -> None:
    job = await client.submit("demo")
    [entry] = store.claim()

    assert not await job.cancel()
    cancelling = asyncio.create_task(job.cancel(wait=True, timeout=5))
    await until(lambda: is_watched(store, job.id))
    store.finish(entry, JobState.CANCELLED)

    assert await cancelling


async def test_many_waits_share_one_subscription(client: AsyncClient, store: Store) -> None:
    jobs = await client.submit_many("demo", [{"n": n} for n in range(50)])
    before = calls_of(store).get("subscribe", 0)
    waits = asyncio.gather(*(job.wait(timeout=5) for job in jobs))
    await until(lambda: all(is_watched(store, job.id) for job in jobs))

    finish_all(store)

    assert await waits == [f"result of {job.id}" for job in jobs]
    assert calls_of(store)["subscribe"] == before + 1


async def test_two_may_wait_for_one_job(client: AsyncClient, store: Store) -> None:
    job = await client.submit("demo")
    waits = asyncio.gather(job.wait(timeout=5), job.wait(timeout=5))
    await until(lambda: is_watched(store, job.id))

    finish_all(store)

    assert list(await waits) == [f"result of {job.id}"] * 2


async def test_a_wait_ends_with_its_timeout_and_others_go_on(
    client: AsyncClient, store: Store
) -> None:
    job = await client.submit("demo")
    patient = asyncio.create_task(job.wait(timeout=5))

    with pytest.raises(JobTimeout, match=f"job {job.id} had not ended"):
        await job.wait(timeout=0.05)
    finish_all(store)

    assert await patient == f"result of {job.id}"


async def test_a_wait_survives_the_loss_of_its_subscription(
    client: AsyncClient, store: Store
) -> None:
    job = await client.submit("demo")
    waiting = asyncio.create_task(job.wait(timeout=5))
    await until(lambda: is_watched(store, job.id))

    store.command("CLIENT", "KILL", "TYPE", "pubsub")
    finish_all(store)

    assert await waiting == f"result of {job.id}"


async def test_a_wait_survives_the_loss_of_every_connection(
    client: AsyncClient, store: Store
) -> None:
    first, second = await client.submit("demo"), await client.submit("demo")
    waiting = asyncio.create_task(first.wait(timeout=5))
    await until(lambda: is_watched(store, first.id))

    store.command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
    store.command("CLIENT", "KILL", "TYPE", "pubsub")
    another = asyncio.create_task(second.wait(timeout=5))
    finish_all(store)

    assert await waiting == f"result of {first.id}"
    assert await another == f"result of {second.id}"


async def test_a_wait_without_a_server_fails_at_once(tmp_path: Path) -> None:
    async with AsyncClient("shop", socket=str(tmp_path / "nothing")) as client:
        with pytest.raises(StoreUnavailable):
            await client.ref("somejob").wait()


async def test_a_closed_client_lets_nobody_wait_for_ever(client: AsyncClient, store: Store) -> None:
    job = await client.submit("demo")
    waiting = asyncio.create_task(job.wait())
    await until(lambda: is_watched(store, job.id))

    await client.close()

    with pytest.raises(StoreUnavailable, match="was closed"):
        await waiting


async def test_a_submit_whose_reply_was_lost_makes_one_job(
    address: StoreAddress, store: Store, store_socket: str, tmp_path: Path
) -> None:
    publish_tasks(store, DEMO)
    line = CutLine(tmp_path / "line", store_socket)
    async with AsyncClient(address.name, socket=line.path) as client:
        await client.submit("demo")
        line.replies_to_lose = 1

        job = await client.submit("demo")
    line.close()

    assert job.id in store.records()
    assert len(store.records()) == 2
