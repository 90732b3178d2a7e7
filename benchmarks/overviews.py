"""How soon the command of a peer answers that tells how things are, as `jobrunner status` does."""

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.catalog import SYNC
from benchmarks.program import Program, settings_of
from benchmarks.server import Server

CALLS = 9  # their median counts, as for `jobrunner status`


@dataclass(frozen=True, slots=True)
class Overview:
    """A command line of the peer, in which `{socket}` is that of its server."""

    peer: str
    words: Sequence[str]
    queued: int = 0  # jobs that wait meanwhile, without a worker
    has_worker: bool = False  # it is the worker that answers


OVERVIEWS: Mapping[str, Overview] = {
    "rq info": Overview("rq", ("rq", "info", "--url", "unix://{socket}"), queued=10_000),
    "celery status": Overview(
        "celery", ("celery", "-A", "benchmarks.peers.with_celery", "status"), has_worker=True
    ),
}


def answer_s(overview: Overview, python: Path, queued: int) -> float:
    """Seconds from its start to its end. `queued` jobs at most. Raises PeerFailed."""
    settings = settings_of(SYNC, "throughput")
    with (
        Server() as server,
        Program(python, overview.peer, settings, server.folder, server.socket) as program,
    ):
        if overview.queued:
            program.call("bulk", min(overview.queued, queued))
        if overview.has_worker:
            program.call("each", 1)
            program.work()
            program.wait_for(1)
        words = [word.format(socket=server.socket) for word in overview.words]
        return statistics.median(program.time_command(words) for _ in range(CALLS))
