"""huey: one worker thread of one process, its blocking loop; results kept."""

from typing import NoReturn

from huey import RedisHuey
from redis import ConnectionPool, UnixDomainSocketConnection

from benchmarks.peers.protocol import (
    WAIT_S,
    Counter,
    become,
    each_timed,
    is_for_latency,
    socket_path,
    timed,
)

pool = ConnectionPool(UnixDomainSocketConnection, path=socket_path())
huey = RedisHuey(
    "bench",
    connection_pool=pool,
    blocking=True,
    store_none=True,
    notify_result=is_for_latency(),  # a waiting client is told; costs a command per job
)
counter = Counter()


@huey.task()
def noop() -> None:
    counter.count()


def submit_each(count: int) -> float:
    return timed(noop, count)


submit_bulk = submit_each


def latency(count: int) -> list[float]:
    def once() -> None:
        noop().get(blocking=True, timeout=WAIT_S)

    return each_timed(once, count)


def work() -> NoReturn:
    how = ("--worker-type", "thread", "--workers", "1", "--quiet")  # no line per job
    become("huey.bin.huey_consumer", "benchmarks.peers.with_huey.huey", *how)
