"""jobrunner: its own daemon with one worker process, as a user starts it."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import NoReturn

from benchmarks.peers.protocol import (
    FOLDER,
    WAIT_S,
    Counter,
    become,
    each_timed,
    is_async,
    timed,
    url,
)
from jobrunner import Client

NAME = "bench"
TASK = "noop"
counter = Counter()


async def noop() -> None:
    counter.count()


def sync_noop() -> None:
    counter.count()


def manifest() -> Path:
    """The manifest of the case, written."""
    function = "noop" if is_async() else "sync_noop"
    path = Path(os.environ[FOLDER], "jobs.yaml")
    text = {
        "name": NAME,
        "store": {"url": url()},
        "workers": {"processes": 1},
        "tasks": {TASK: {"python": f"{__name__}:{function}"}},
    }
    path.write_text(json.dumps(text))
    return path


def published_client() -> Client:
    """A client, once a daemon has told the store which tasks there are."""
    client = Client(NAME, url())
    if not list(Path(os.environ[FOLDER]).glob("jobs.yaml")):
        program = [sys.executable, "-m", "jobrunner", "run", "--once", "--file", str(manifest())]
        subprocess.run(program, check=True, capture_output=True)
    return client


def submit_each(count: int) -> float:
    client = published_client()
    return timed(lambda: client.submit(TASK), count)


def submit_bulk(count: int) -> float:
    client = published_client()
    return timed(lambda: client.submit_many(TASK, [{}] * count), 1)


def latency(count: int) -> list[float]:
    client = published_client()
    return each_timed(lambda: client.submit(TASK).wait(WAIT_S), count)


def work() -> NoReturn:
    become("jobrunner", "run", "--file", str(manifest()))
