"""Attempts and a sink that keeps in memory what would go to the store."""

import asyncio
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from jobrunner.clock import SystemClock
from jobrunner.manifest.spec import Task
from jobrunner.runner.attempt import Attempt, Outcome
from jobrunner.runner.output import Output
from jobrunner.runner.proctable import started_at
from jobrunner.store.logs import Append, Cursor, LogLine, Stream, decode_entries

MakeAttempt = Callable[..., Attempt]


class MemorySink:
    """Takes chunks at once, or only on `write_all` when it is `slow`."""

    def __init__(self) -> None:
        self.is_away = False
        self.is_slow = False
        self.entries: dict[str, Append] = {}
        self.woken: list[Output] = []

    def wake(self, output: Output) -> None:
        self.woken.append(output)
        if not self.is_slow:
            self.write_all()

    def write_all(self) -> None:
        for output in self.woken:
            while output.has_more:
                for held in output.take():
                    self._write(output.append_of(held))
                    output.sent(held, f"{len(self.entries)}-0")
        self.woken.clear()

    def _write(self, append: Append) -> None:
        for entry_id in append.drop:
            self.entries[entry_id] = Append("", append.chunk)  # a hole, so that ids stay unique
        self.entries[f"{len(self.entries) + 1}-0"] = append

    def lines(self, job_id: str = "job") -> list[LogLine]:
        kept = [
            (entry_id.encode(), [b"c", msgspec.json.encode(append.chunk)])
            for entry_id, append in self.entries.items()
            if append.job_id == job_id
        ]
        return decode_entries(kept, Cursor()).lines

    def texts(self, stream: Stream | None = None, job_id: str = "job") -> list[str]:
        return [line.text for line in self.lines(job_id) if stream in (None, line.stream)]


@pytest.fixture
def sink() -> MemorySink:
    return MemorySink()


@pytest.fixture
def output(sink: MemorySink) -> Output:
    return Output("job", 1, "1", sink, SystemClock())


@pytest.fixture
def make_attempt(tmp_path: Path) -> MakeAttempt:
    def make(*, number: int = 1, arguments: dict[str, Any] | None = None, **task: Any) -> Attempt:
        task.setdefault("kill_grace", "2s")
        return Attempt(
            job_id="job",
            task_name="demo",
            task=Task(**task),
            number=number,
            fence="7",
            queue="default",
            worker=f"worker-{os.getpid()}",
            namespace="test",
            folder=tmp_path,
            arguments=arguments or {},
        )

    return make


async def eventually(check: Callable[[], bool], within: float = 5.0) -> None:
    """Wait until the check is true."""
    give_up_at = time.monotonic() + within
    while not check():
        assert time.monotonic() < give_up_at, "it did not come true"
        await asyncio.sleep(0.005)


def is_alive(pid: int) -> bool:
    return started_at(pid) is not None


def message_of(outcome: Outcome) -> str:
    assert outcome.error is not None
    return outcome.error.message
