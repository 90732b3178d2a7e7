"""arq: a hundred jobs at a time; it polls, here each millisecond, for at most 500 jobs."""

import asyncio
from typing import Any

from arq import create_pool
from arq.connections import RedisSettings
from arq.worker import run_worker

from benchmarks.peers.protocol import (
    WAIT_S,
    Counter,
    each_timed_async,
    socket_path,
    timed_async,
)

counter = Counter()
settings = RedisSettings(unix_socket_path=socket_path())


async def noop(_: dict[str, Any]) -> None:
    counter.count()


class WorkerSettings:
    functions = (noop,)
    redis_settings = settings
    max_jobs = 100
    log_results = False
    poll_delay = 0.001


def submit_each(count: int) -> float:
    async def submit() -> float:
        pool = await create_pool(settings)
        return await timed_async(lambda: pool.enqueue_job("noop"), count)

    return asyncio.run(submit())


submit_bulk = submit_each  # it has no bulk submit


def latency(count: int) -> list[float]:
    async def measure() -> list[float]:
        pool = await create_pool(settings)

        async def once() -> None:
            job = await pool.enqueue_job("noop")
            await job.result(timeout=WAIT_S, poll_delay=0.0005)

        return await each_timed_async(once, count)

    return asyncio.run(measure())


def work() -> None:
    run_worker(WorkerSettings)
