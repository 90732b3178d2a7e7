"""dramatiq: one process with its usual eight threads; results in Redis."""

from typing import NoReturn

import dramatiq
from dramatiq.brokers.redis import RedisBroker
from dramatiq.results import Results
from dramatiq.results.backends import RedisBackend
from redis import Redis

from benchmarks.peers.protocol import WAIT_S, Counter, become, each_timed, socket_path, timed

client = Redis(unix_socket_path=socket_path())
broker = RedisBroker(client=client)
broker.add_middleware(Results(backend=RedisBackend(client=client), store_results=True))
dramatiq.set_broker(broker)
counter = Counter()


@dramatiq.actor
def noop() -> None:
    counter.count()


def submit_each(count: int) -> float:
    return timed(noop.send, count)


submit_bulk = submit_each  # it has no bulk submit


def latency(count: int) -> list[float]:
    return each_timed(lambda: noop.send().get_result(block=True, timeout=int(WAIT_S * 1000)), count)


def work() -> NoReturn:
    become("dramatiq", "benchmarks.peers.with_dramatiq", "--processes", "1", "--threads", "8")
