"""RQ: its SimpleWorker, which runs jobs in its own process, as its documents advise for speed."""

from redis import Redis
from rq import Queue, SimpleWorker

from benchmarks.peers.protocol import WAIT_S, Counter, each_timed, socket_path, timed

queue = Queue(connection=Redis(unix_socket_path=socket_path()))
counter = Counter()
PORTION = 1000


def noop() -> None:
    counter.count()


def submit_each(count: int) -> float:
    return timed(lambda: queue.enqueue(noop), count)


def submit_bulk(count: int) -> float:
    def submit() -> None:
        queue.enqueue_many([Queue.prepare_data(noop) for _ in range(PORTION)])

    return timed(submit, count // PORTION)


def latency(count: int) -> list[float]:
    return each_timed(lambda: queue.enqueue(noop).latest_result(timeout=int(WAIT_S)), count)


def work() -> None:
    SimpleWorker([queue], connection=queue.connection).work(logging_level="WARNING")
