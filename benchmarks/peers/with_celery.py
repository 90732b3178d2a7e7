"""Celery: the solo pool, which runs jobs in its one process; results in Redis."""

from typing import NoReturn

from celery import Celery

from benchmarks.peers.protocol import WAIT_S, Counter, become, each_timed, timed, url

app = Celery("bench", broker=url("redis+socket"), backend=url("redis+socket"))
app.conf.worker_prefetch_multiplier = 100  # short jobs, so the optimising guide
counter = Counter()


@app.task(name="noop")
def noop() -> None:
    counter.count()


def submit_each(count: int) -> float:
    return timed(noop.delay, count)


submit_bulk = submit_each  # a group sends one message after the other, too


def latency(count: int) -> list[float]:
    return each_timed(lambda: noop.delay().get(timeout=WAIT_S), count)


def work() -> NoReturn:
    quiet = ("--without-gossip", "--without-mingle", "--without-heartbeat", "--loglevel", "ERROR")
    become("celery", "-A", "benchmarks.peers.with_celery", "worker", "--pool", "solo", *quiet)
