"""How soon the CLI answers, with a long history and a long queue."""

import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence

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
    finished, queued = extent.scaled(FINISHED), extent.scaled(QUEUED)
    with Stage(extent.url) as stage:
        stage.submit(NOOP, finished)
        stage.wait_for_ends()
        stage.halt()
        stage.submit(NOOP, queued)
        yield from _commands(stage)
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
            begun = time.perf_counter()
            done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
            times[name].append(time.perf_counter() - begun)
            if name == "submit":
                stage.note([done.stdout.strip()])
    reference = statistics.median(times[REFERENCE])
    for name, seconds in times.items():
        median = statistics.median(seconds)
        yield Sample(name, "time", median * 1000, "ms")
        if name != REFERENCE:
            yield Sample(name, "against imports alone", median / reference, "×")
