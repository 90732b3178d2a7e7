"""One run of one peer: what it submits and performs, measured from outside."""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from benchmarks.catalog import Peer
from benchmarks.failure import PeerFailed
from benchmarks.postgres import PostgresServer
from benchmarks.program import Program, settings_of
from benchmarks.server import Server
from jobrunner.bench.figures import Sample, percentile

SINGLE_SHARE = 4  # for so many jobs in bulk, a peer submits one by itself
WARM_UP = 20  # jobs before latencies count
SETTLE_S = 0.5  # in which a job that is performed twice would be seen

RATE = "no-op"
SINGLE = "submit single"
BULK = "submit bulk"
WORKER = "worker"
SERVER = "server"
RESIDENT = "resident"
P50 = "latency p50"
P99 = "latency p99"


@dataclass(frozen=True, slots=True)
class Amount:
    """How much one run does, at most. `bulk` is a multiple of 1,000."""

    single: int = 2_000
    bulk: int = 20_000
    latencies: int = 500


def try_peer(peer: Peer, case: str, python: Path, amount: Amount) -> Iterator[Sample]:
    """Submit, perform a full queue, then wait for single jobs. Raises PeerFailed."""
    bulk = min(peer.jobs, amount.bulk)
    single = min(peer.jobs // SINGLE_SHARE, amount.single)
    yield from _throughput(peer, case, python, single, bulk)
    yield from _latency(peer, case, python, amount.latencies)


def _throughput(peer: Peer, case: str, python: Path, single: int, bulk: int) -> Iterator[Sample]:
    with (
        _server(peer) as server,
        Program(
            python, peer.name, settings_of(case, "throughput"), server.folder, server.socket
        ) as program,
    ):
        yield Sample(peer.name, SINGLE, single / program.call("each", single), "/s")
        yield Sample(peer.name, BULK, bulk / program.call("bulk", bulk), "/s")
        program.work()
        yield from _work_off(peer, program, server, single + bulk)


def _server(peer: Peer) -> Server | PostgresServer:
    return PostgresServer() if peer.is_on_postgres else Server()


def _work_off(
    peer: Peer, program: Program, server: Server | PostgresServer, jobs: int
) -> Iterator[Sample]:
    first = program.wait_for(1)
    begun, worker_s, server_s = time.perf_counter(), program.usage_s(), server.usage_s()
    counted = program.wait_for(jobs) - first
    seconds = time.perf_counter() - begun
    per_job = 1_000_000 / max(counted, 1)
    worker_us = (program.usage_s() - worker_s) * per_job
    server_us = (server.usage_s() - server_s) * per_job
    resident_mb = program.resident_mb()
    _check_performed(program, jobs)
    yield Sample(peer.name, RATE, counted / seconds, "/s")
    yield Sample(peer.name, WORKER, worker_us, "µs")
    yield Sample(peer.name, SERVER, server_us, "µs")
    yield Sample(peer.name, RESIDENT, resident_mb, "MB")


def _latency(peer: Peer, case: str, python: Path, count: int) -> Iterator[Sample]:
    with (
        _server(peer) as server,
        Program(
            python, peer.name, settings_of(case, "latency"), server.folder, server.socket
        ) as program,
    ):
        program.call("each", 1)
        program.work()
        program.wait_for(1)  # now it waits for the next one
        taken = program.call("latency", WARM_UP + count)
        _check_performed(program, 1 + len(taken))
        seconds = taken[WARM_UP:]
        yield Sample(peer.name, P50, percentile(seconds, 0.50) * 1000, "ms")
        yield Sample(peer.name, P99, percentile(seconds, 0.99) * 1000, "ms")


def _check_performed(program: Program, jobs: int) -> None:
    """Raises PeerFailed unless there were as many calls as jobs, also a moment later."""
    time.sleep(SETTLE_S)
    if program.performed() != jobs:
        raise PeerFailed(f"performed {program.performed()} times what were {jobs} jobs")
