"""A client in a process of its own that submits jobs at a steady rate."""

import json
import subprocess
import sys
import threading
import time
from typing import Self

from jobrunner.client.sync import Client
from jobrunner.store.address import StoreAddress

PORTION_S = 0.005  # jobs of so long are submitted at once
READY = "ready"


class Load:
    """Goes on while it is entered; `job_ids` are known afterwards."""

    def __init__(self, address: StoreAddress, task: str, per_s: float) -> None:
        arguments = [address.name, address.url or f"unix://{address.socket}", task, str(per_s)]
        self._program = [sys.executable, "-m", "jobrunner.bench.load", *arguments]
        self._process: subprocess.Popen[str] | None = None
        self.job_ids: list[str] = []

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(
            self._program, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        if self._process.stdout is not None:
            self._process.stdout.readline()  # it submits from now on
        return self

    def __exit__(self, *_: object) -> None:
        if self._process is not None:
            said = self._process.communicate("")[0]
            self.job_ids = json.loads(said or "[]")


def main(name: str, url: str, task: str, per_s: str) -> None:
    """Submit until stdin is closed, then print the ids."""
    ids: list[str] = []
    closed = threading.Event()
    threading.Thread(target=_wait_for_end, args=[closed], daemon=True).start()
    with Client(name, url) as client:
        sys.stdout.write(f"{READY}\n")
        sys.stdout.flush()
        begun = time.monotonic()
        while not closed.wait(PORTION_S):
            due = round((time.monotonic() - begun) * float(per_s)) - len(ids)
            ids += [job.id for job in client.submit_many(task, [{}] * due)]
    sys.stdout.write(json.dumps(ids))


def _wait_for_end(closed: threading.Event) -> None:
    sys.stdin.read()
    closed.set()


if __name__ == "__main__":
    main(*sys.argv[1:])
