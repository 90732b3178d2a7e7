"""streaQ: on uvloop, a hundred jobs at a time; synchronous ones in threads."""

import asyncio
from datetime import timedelta

from streaq import Worker

from benchmarks.peers.protocol import (
    WAIT_S,
    Counter,
    each_timed_async,
    is_async,
    timed_async,
    url,
)

CONCURRENCY = 100
PORTION = 100
worker = Worker(redis_url=url(), concurrency=CONCURRENCY, anyio_kwargs={"use_uvloop": True})
counter = Counter()


@worker.task
async def noop() -> None:
    counter.count()


@worker.task
def sync_noop() -> None:
    counter.count()


task = noop if is_async() else sync_noop


def submit_each(count: int) -> float:
    async def submit() -> float:
        async with worker:
            return await timed_async(task.enqueue, count)

    return asyncio.run(submit())


def submit_bulk(count: int) -> float:
    async def portion() -> None:
        await worker.enqueue_many([task.enqueue() for _ in range(PORTION)])

    async def submit() -> float:
        async with worker:
            return await timed_async(portion, count // PORTION)

    return asyncio.run(submit())


def latency(count: int) -> list[float]:
    async def once() -> None:
        sent = await task.enqueue()
        await sent.result(timeout=timedelta(seconds=WAIT_S))

    async def measure() -> list[float]:
        async with worker:
            return await each_timed_async(once, count)

    return asyncio.run(measure())


def work() -> None:
    worker.run_sync()  # not by its command line, which logs two lines per job
