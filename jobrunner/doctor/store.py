"""Reads what the server and the namespace tell."""

import socket
from collections import Counter
from collections.abc import Sequence
from statistics import median

from jobrunner.clock import Clock, from_ms
from jobrunner.doctor.facts import HostFacts, ServerReport, StoreReport
from jobrunner.embedded.binary import AUTO
from jobrunner.embedded.server import EmbeddedServer, Standing
from jobrunner.errors import NotPermitted, StoreUnavailable
from jobrunner.manifest.parts import Store
from jobrunner.runner.proctable import pid_space, started_at
from jobrunner.store.audit import audit
from jobrunner.store.audit_counts import MOST_COUNTED
from jobrunner.store.checks import read_facts
from jobrunner.store.connection import StoreConnection
from jobrunner.store.damage import count_of
from jobrunner.store.decoding import text_of
from jobrunner.store.failures import ReplyError
from jobrunner.store.keys import Keys
from jobrunner.store.leases import WorkerEntry, read_daemons, read_workers
from jobrunner.store.overview import read_queues
from jobrunner.store.published import Published, read_published
from jobrunner.store.requests import Command, Operation
from jobrunner.store.rewinding import read_far_off

ROUND_TRIPS = 21  # of which the median counts: one slow one is no slow store


def read_server(
    connection: StoreConnection, clock: Clock, host: HostFacts, store: Store | None
) -> ServerReport:
    """`store` is the manifest's; None while that is invalid. Raises StoreUnavailable."""
    standing, no_program = _standing(host, store)
    durability = store.durability if store else None
    return ServerReport(
        facts=read_facts(connection, clock),
        fsync=_fsync(connection),
        durability=durability,
        latency_ms=_latency_ms(connection, clock),
        is_embedded=host.is_embedded,
        disk_free=host.folder.disk_free if host.is_embedded else None,
        standing=standing,
        no_program=no_program,
    )


def _standing(
    host: HostFacts, store: Store | None
) -> tuple[Standing | None, StoreUnavailable | None]:
    """What the embedded server runs, and what a start would take; or why nothing could start."""
    if not host.is_embedded or store is None:
        return None, None
    server = EmbeddedServer(host.folder.path, store.durability, store.server or AUTO)
    try:
        return server.standing(), None
    except StoreUnavailable as error:
        return None, error


def _fsync(connection: StoreConnection) -> str | None:
    try:
        reply = connection.execute(Command(("CONFIG", "GET", "appendfsync")))
    except (StoreUnavailable, ReplyError):
        return None  # CONFIG is forbidden, renamed or unknown there
    return text_of(reply[1]) if len(reply) > 1 else None


def _latency_ms(connection: StoreConnection, clock: Clock) -> float:
    times = []
    for _ in range(ROUND_TRIPS):
        began_at = clock.monotonic()
        connection.execute(Command(("PING",)))
        times.append(clock.monotonic() - began_at)
    return median(times) * 1000


def read_store(keys: Keys, on_disk: Published | None) -> Operation[StoreReport]:
    """Everything that the store's checks judge; the audit takes about 30 microseconds a job."""
    seconds, micros = yield Command(("TIME",))
    workers = yield from read_workers(keys)
    live = yield from _live_by_task(keys)
    try:
        orphans, hidden = (yield from audit(keys)), ""
    except NotPermitted as error:
        orphans, hidden = [], error.why or error.what
    return StoreReport(
        now=from_ms(int(seconds) * 1000 + int(micros) // 1000),
        daemons=(yield from read_daemons(keys)),
        workers=workers,
        dead_workers=_dead(workers),
        queues=(yield from read_queues(keys)),
        live_by_task=live,
        running=(yield from read_published(keys)),
        on_disk=on_disk,
        far_off=(yield from read_far_off(keys)),
        orphans=orphans,
        hidden=hidden,
        is_counted=sum(live.values()) <= MOST_COUNTED,
    )


def _live_by_task(keys: Keys) -> Operation[Counter[str]]:
    flat = yield Command(("HGETALL", keys.counts()))
    live: Counter[str] = Counter()
    for field, number in zip(flat[::2], flat[1::2], strict=True):
        live[text_of(field).partition(":")[2]] += count_of(number)
    return live


def _dead(workers: Sequence[WorkerEntry]) -> list[str]:
    """Those of this host whose process is gone."""
    host, space = socket.gethostname(), pid_space()
    here = [worker for worker in workers if (worker.host, worker.pid_space) == (host, space)]
    return [worker.id for worker in here if started_at(worker.pid) is None]
