"""PgQueuer on PostgreSQL: batches of a hundred, on uvloop; its log keeps what ended."""

import asyncio
from datetime import timedelta
from typing import Any

import asyncpg
import uvloop
from pgqueuer import PgQueuer
from pgqueuer.core.completion import CompletionWatcher
from pgqueuer.db import AsyncpgDriver
from pgqueuer.queries import Queries

from benchmarks.peers.protocol import (
    Counter,
    each_timed_async,
    socket_path,
    timed_async,
)

ENTRYPOINT = "noop"
BATCH = 100  # read at once by the worker
PORTION = 1000  # submitted at once in bulk
counter = Counter()


async def connect() -> AsyncpgDriver:
    return AsyncpgDriver(await asyncpg.connect(host=socket_path(), user="postgres"))


async def installed() -> tuple[AsyncpgDriver, Queries]:
    """Connected, with the tables there."""
    driver = await connect()
    queries = Queries(driver)
    if not await queries.schema_is_installed():
        await queries.install()
    return driver, queries


def submit_each(count: int) -> float:
    async def submit() -> float:
        _, queries = await installed()
        return await timed_async(lambda: queries.enqueue(ENTRYPOINT, None), count)

    return asyncio.run(submit())


def submit_bulk(count: int) -> float:
    async def submit() -> float:
        _, queries = await installed()
        names, empty, priorities = [ENTRYPOINT] * PORTION, [None] * PORTION, [0] * PORTION
        return await timed_async(
            lambda: queries.enqueue(names, empty, priorities), count // PORTION
        )

    return asyncio.run(submit())


def latency(count: int) -> list[float]:
    async def measure() -> list[float]:
        driver, queries = await installed()
        quick = timedelta(milliseconds=1)
        async with CompletionWatcher(driver, queries=queries, debounce=quick) as watcher:

            async def once() -> None:
                [job_id] = await queries.enqueue(ENTRYPOINT, None)
                await watcher.wait_for(job_id)

            return await each_timed_async(once, count)

    return asyncio.run(measure())


async def serve() -> None:
    queue = PgQueuer(await connect())

    @queue.entrypoint(ENTRYPOINT)
    async def noop(_: Any) -> None:
        counter.count()

    await queue.run(batch_size=BATCH)


def work() -> None:
    uvloop.run(serve())
