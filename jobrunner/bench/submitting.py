"""How many jobs a second a client submits: one awaited at a time, in bulk, from a file."""

import asyncio
import json
import subprocess
import time
from collections.abc import Iterator

from jobrunner.bench.extent import Extent
from jobrunner.bench.figures import Sample
from jobrunner.bench.stage import NOOP, Stage
from jobrunner.client.aio import AsyncClient

SINGLE = 4  # for so many jobs in bulk there is one that is submitted by itself
LINES = 100_000


def measure_submit(extent: Extent) -> Iterator[Sample]:
    """The workers are halted meanwhile; what was submitted is performed and checked afterwards."""
    single = max(extent.jobs // SINGLE, 1)
    with Stage(extent.url) as stage:
        stage.warm_up(NOOP, 1)
        stage.halt()
        yield Sample("one at a time", "rate", single / _one_by_one(stage, single), "jobs/s")
        yield Sample("one awaited", "rate", single / _awaited(stage, single), "jobs/s")
        yield Sample("bulk", "rate", extent.jobs / _bulk(stage, extent.jobs), "jobs/s")
        lines = extent.scaled(LINES)
        yield Sample("--batch lines", "rate", lines / _from_lines(stage, lines), "jobs/s")
        stage.resume()
        stage.wait_for_ends()
        stage.check()


def _one_by_one(stage: Stage, count: int) -> float:
    begun = time.perf_counter()
    ids = [stage.client.submit(NOOP).id for _ in range(count)]
    taken = time.perf_counter() - begun
    stage.note(ids)
    return taken


def _awaited(stage: Stage, count: int) -> float:
    ids, taken = asyncio.run(_await_each(stage, count))
    stage.note(ids)
    return taken


async def _await_each(stage: Stage, count: int) -> tuple[list[str], float]:
    address = stage.client.address
    async with AsyncClient(address.name, address.url, socket=address.socket) as client:
        ids = [(await client.submit(NOOP)).id]  # connected, and the tasks read
        begun = time.perf_counter()
        ids += [(await client.submit(NOOP)).id for _ in range(count)]
        return ids, time.perf_counter() - begun


def _bulk(stage: Stage, count: int) -> float:
    begun = time.perf_counter()
    stage.submit(NOOP, count)
    return time.perf_counter() - begun


def _from_lines(stage: Stage, count: int) -> float:
    """By the CLI, its start included."""
    path = stage.folder / "batch.jsonl"
    path.write_text((json.dumps({"task": NOOP}) + "\n") * count)
    begun = time.perf_counter()
    done = subprocess.run(
        stage.cli("submit", "--batch", str(path)), stdout=subprocess.PIPE, text=True, check=True
    )
    taken = time.perf_counter() - begun
    stage.note(done.stdout.split())
    return taken
