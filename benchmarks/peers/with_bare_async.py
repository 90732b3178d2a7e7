"""A loop of redis-py, asyncio on uvloop, that does the minimum."""

import asyncio
from typing import Any

import uvloop
from redis.asyncio import Redis

from benchmarks.peers import with_bare_sync
from benchmarks.peers.bare import BATCH, FIELDS, GROUP, STREAM, counter, finish, result_key
from benchmarks.peers.protocol import each_timed_async, socket_path, timed_async

submit_bulk = with_bare_sync.submit_bulk


async def connect() -> Any:  # redis-py's types are of both protocols at once
    client: Any = Redis(unix_socket_path=socket_path(), socket_timeout=None)
    if not await client.exists(STREAM) or not await client.xinfo_groups(STREAM):
        await client.xgroup_create(STREAM, GROUP, "0", mkstream=True)
    return client


def submit_each(count: int) -> float:
    async def submit() -> float:
        client = await connect()
        return await timed_async(lambda: client.xadd(STREAM, FIELDS), count)

    return uvloop.run(submit())


def latency(count: int) -> list[float]:
    async def measure() -> list[float]:
        client = await connect()

        async def once() -> None:
            key = result_key(await client.xadd(STREAM, FIELDS))
            while not await client.exists(key):
                await asyncio.sleep(0.0001)

        return await each_timed_async(once, count)

    return uvloop.run(measure())


async def noop() -> None:
    counter.count()


async def loop() -> None:
    client = await connect()
    while True:
        reply = await client.xreadgroup(GROUP, "worker", {STREAM: ">"}, count=BATCH, block=1000)
        pipeline = client.pipeline(transaction=False)
        for entry, _ in reply[0][1] if reply else ():
            await noop()
            finish(pipeline, entry)
        await pipeline.execute()


def work() -> None:
    uvloop.run(loop())
