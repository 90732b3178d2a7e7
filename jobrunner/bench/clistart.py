"""How soon the CLI answers, with a long history and a long queue."""

import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from jobrunner.bench.extent import Extent
from jobrunner.bench.figures import Sample
from jobrunner.bench.stage import NOOP, Stage

FINISHED = 100_000
QUEUED = 10_000
CALLS = 9  # of each command, in rotation; their median counts
REFERENCE = "imports alone"
# What any CLI with these libraries needs before it can do anything.
IMPORTS = (sys.executable, "-c", "import redis, typer, rich.table")


def measure_cli(extent: Extent) -> Iterator[Sample]:
    """Commands against the mere import of the libraries that a CLI is made of."""
    with long_history(extent) as stage:
        yield from _commands(stage)


@contextmanager
def long_history(extent: Extent) -> Iterator[Stage]:
    """A store with many jobs, finished and queued; no worker performs any meanwhile."""
    finished, queued = extent.scaled(FINISHED), extent.scaled(QUEUED)
    with Stage(extent.url) as stage:
        stage.submit(NOOP, finished)
        stage.wait_for_ends()
        stage.halt()
        stage.submit(NOOP, queued)
        yield stage
        stage.resume()
        stage.wait_for_ends()
        stage.check()


def _commands(stage: Stage) -> Iterator[Sample]:
    commands: dict[str, Sequence[str]] = {
        REFERENCE: IMPORTS,
        "status": stage.cli("status"),
        "list": stage.cli("list"),
        "submit": stage.cli("submit", NOOP),
    }
    times: dict[str, list[float]] = {name: [] for name in commands}
    for _ in range(CALLS):
        for name, command in commands.items():
            seconds, printed = timed(command)
            times[name].append(seconds)
            if name == "submit":
                stage.note([printed.strip()])
    reference = statistics.median(times[REFERENCE])
    for name, taken in times.items():
        median = statistics.median(taken)
        yield Sample(name, "time", median * 1000, "ms")
        if name != REFERENCE:
            yield Sample(name, "against imports alone", median / reference, "×")


def timed(command: Sequence[str]) -> tuple[float, str]:
    """Seconds that a command takes, and what it prints. Raises CalledProcessError."""
    begun = time.perf_counter()
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    return time.perf_counter() - begun, done.stdout
