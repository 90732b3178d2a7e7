"""SAQ: a hundred jobs at a time."""

import asyncio
from typing import Any, NoReturn

from saq.queue.redis import RedisQueue

from benchmarks.peers.protocol import (
    WAIT_S,
    Counter,
    become,
    each_timed_async,
    timed_async,
    url,
)

queue = RedisQueue.from_url(url())
counter = Counter()


async def noop(_: dict[str, Any]) -> None:
    counter.count()


settings = {"queue": queue, "functions": [noop], "concurrency": 100}


def submit_each(count: int) -> float:
    async def submit() -> float:
        await queue.connect()
        return await timed_async(lambda: queue.enqueue("noop"), count)

    return asyncio.run(submit())


submit_bulk = submit_each  # its bulk submit waits for the results


def latency(count: int) -> list[float]:
    async def once() -> None:
        await queue.apply("noop", timeout=WAIT_S, poll_interval=0.0005)

    async def measure() -> list[float]:
        await queue.connect()
        return await each_timed_async(once, count)

    return asyncio.run(measure())


def work() -> NoReturn:
    become("saq", "--quiet", "benchmarks.peers.with_saq.settings")
