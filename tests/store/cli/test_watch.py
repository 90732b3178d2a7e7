"""`status --watch` on a real terminal: it draws, refreshes, and leaves the terminal as it was."""

import os
import pty
import signal
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from jobrunner.store.address import StoreAddress
from tests.store.factories import Store

WITHIN_S = 20
ENTER, LEAVE = "\x1b[?1049h", "\x1b[?1049l"  # the alternate screen


@dataclass
class Watching:
    """A running watch and what it has drawn."""

    process: subprocess.Popen[bytes]
    terminal: int
    drawn: list[str] = field(default_factory=list)

    def text(self) -> str:
        return "".join(self.drawn)

    def read_until(self, is_there: Callable[[str], bool]) -> None:
        """Read what it draws; fails after WITHIN_S."""
        give_up_at = time.monotonic() + WITHIN_S
        while not is_there(self.text()):
            assert time.monotonic() < give_up_at, self.text()
            try:
                self.drawn.append(os.read(self.terminal, 65536).decode(errors="replace"))
            except OSError:  # the other side was closed: it has ended
                break
        assert is_there(self.text()), self.text()

    def end(self) -> int:
        """The exit code, once it has ended."""
        self.read_until(lambda text: LEAVE in text)
        return self.process.wait(WITHIN_S)


@pytest.fixture
def watching(store: Store, address: StoreAddress, tmp_path: Path) -> Iterator[Watching]:
    store.add_worker()
    manifest = tmp_path / "jobs.yaml"
    manifest.write_text(f"name: {address.name}\nstore: {{url: 'unix://{address.socket}'}}\n")
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "jobrunner", "status", "--watch", "--file", str(manifest)],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        env={**os.environ, "TERM": "xterm", "COLUMNS": "80", "LINES": "24"},
    )
    yield Watching(process, ours)
    process.kill()
    process.wait()
    os.close(ours)
    os.close(theirs)


def test_watch_draws_what_changes_and_ends_with_q(watching: Watching, store: Store) -> None:
    before = termios.tcgetattr(watching.terminal)
    watching.read_until(lambda text: ENTER in text and "daemon not running" in text)

    store.submit(task="appeared")
    watching.read_until(lambda text: "appeared" in text)
    os.write(watching.terminal, b"q")

    assert watching.end() == 0
    assert termios.tcgetattr(watching.terminal) == before


def test_watch_ends_with_an_interrupt(watching: Watching) -> None:
    watching.read_until(lambda text: "daemon not running" in text)

    watching.process.send_signal(signal.SIGINT)

    assert watching.end() == 130
