"""How soon the command of a peer answers that tells how things are, in turn with ours.

Both are mostly imports, and a machine takes twice as long for these in one minute as in the next.
"""

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.catalog import SYNC
from benchmarks.program import Program, settings_of
from benchmarks.server import Server
from jobrunner.bench.clistart import long_history, timed
from jobrunner.bench.extent import Extent

CALLS = 9  # of both in turn; their medians count


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


@dataclass(frozen=True, slots=True)
class Answers:
    """Seconds from the start to the end."""

    theirs: float
    ours: float


def answer_in_turn(overview: Overview, python: Path, queued: int, own: Extent) -> Answers:
    """`queued` jobs of the peer at most. Raises PeerFailed."""
    settings = settings_of(SYNC, "throughput")
    with (
        long_history(own) as stage,
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
        pairs = [(program.time_command(words), timed(stage.cli("status"))[0]) for _ in range(CALLS)]
    theirs, ours = map(statistics.median, zip(*pairs, strict=True))
    return Answers(theirs, ours)
