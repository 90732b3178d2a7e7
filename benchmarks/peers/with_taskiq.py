"""Stock taskiq with taskiq-redis, as its documents show it."""

import asyncio
from typing import NoReturn

from taskiq_redis import RedisAsyncResultBackend, RedisStreamBroker

from benchmarks.peers.protocol import (
    WAIT_S,
    Counter,
    become,
    each_timed_async,
    is_async,
    timed_async,
    url,
)

broker = RedisStreamBroker(url()).with_result_backend(RedisAsyncResultBackend(url()))
counter = Counter()


@broker.task
async def noop() -> None:
    counter.count()


@broker.task
def sync_noop() -> None:
    counter.count()


task = noop if is_async() else sync_noop


def submit_each(count: int) -> float:
    async def submit() -> float:
        await broker.startup()
        taken = await timed_async(task.kiq, count)
        await broker.shutdown()
        return taken

    return asyncio.run(submit())


submit_bulk = submit_each  # it has no bulk submit


def latency(count: int) -> list[float]:
    async def once() -> None:
        sent = await task.kiq()
        await sent.wait_result(check_interval=0.0005, timeout=WAIT_S)

    async def measure() -> list[float]:
        await broker.startup()
        taken = await each_timed_async(once, count)
        await broker.shutdown()
        return taken

    return asyncio.run(measure())


def work() -> NoReturn:
    quiet = ("--log-level", "WARNING")  # no line per job
    become("taskiq", "worker", "benchmarks.peers.with_taskiq:broker", "--workers", "1", *quiet)
