"""A loop of redis-py, synchronous, that does the minimum."""

import time
from typing import Any

from redis import Redis

from benchmarks.peers.bare import BATCH, FIELDS, GROUP, STREAM, counter, finish, result_key
from benchmarks.peers.protocol import each_timed, socket_path, timed


def connect() -> Any:  # redis-py's types are of both protocols at once
    client: Any = Redis(unix_socket_path=socket_path(), socket_timeout=None)
    if not client.exists(STREAM) or not client.xinfo_groups(STREAM):
        client.xgroup_create(STREAM, GROUP, "0", mkstream=True)
    return client


def submit_each(count: int) -> float:
    client = connect()
    return timed(lambda: client.xadd(STREAM, FIELDS), count)


def submit_bulk(count: int) -> float:
    client = connect()

    def submit() -> None:
        pipeline = client.pipeline(transaction=False)
        for _ in range(BATCH):
            pipeline.xadd(STREAM, FIELDS)
        pipeline.execute()

    return timed(submit, count // BATCH)


def latency(count: int) -> list[float]:
    client = connect()

    def once() -> None:
        key = result_key(client.xadd(STREAM, FIELDS))
        while not client.exists(key):
            time.sleep(0.0001)

    return each_timed(once, count)


def work() -> None:
    client = connect()
    while True:
        reply = client.xreadgroup(GROUP, "worker", {STREAM: ">"}, count=BATCH, block=1000)
        pipeline = client.pipeline(transaction=False)
        for entry, _ in reply[0][1] if reply else ():
            counter.count()
            finish(pipeline, entry)
        pipeline.execute()
