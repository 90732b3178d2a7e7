"""The whole CLI in process: one call gives stdout, stderr and exit code."""

import asyncio
import io
from collections.abc import Callable
from contextlib import chdir
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pytest

from jobrunner.cli.app import run
from jobrunner.cli.context import CliContext

NOW = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


class StandingClock:
    """A clock that shows one instant until a test moves it."""

    def __init__(self, now: datetime = NOW) -> None:
        self.instant = now

    def now(self) -> datetime:
        return self.instant

    def monotonic(self) -> float:
        return self.instant.timestamp()

    async def sleep_until(self, instant: datetime, wake: asyncio.Event) -> None:
        wake.clear()
        self.instant = instant


@dataclass(frozen=True)
class Outcome:
    stdout: str
    stderr: str
    code: int


Invoke = Callable[..., Outcome]


@pytest.fixture
def invoke(tmp_path: Path) -> Invoke:
    """Run a command line in an empty folder: `invoke("validate", "--json", terminal=True)`."""
    return make_invoke(tmp_path)


def make_invoke(folder: Path) -> Invoke:
    """Runs command lines in that folder."""

    def call(
        *args: str, terminal: bool = False, stdin: str = "", environ: dict[str, str] | None = None
    ) -> Outcome:
        kind = Terminal if terminal else io.StringIO
        cli = CliContext(
            stdin=kind(stdin),
            stdout=kind(),
            stderr=kind(),
            environ={"TERM": "xterm", "COLUMNS": "80"} if environ is None else environ,
            clock=StandingClock(),
            zone=UTC,
        )
        with chdir(folder):
            code = run(args, cli)
        return Outcome(_written(cli.stdout), _written(cli.stderr), code)

    return call


def _written(stream: object) -> str:
    assert isinstance(stream, io.StringIO)
    return stream.getvalue()
