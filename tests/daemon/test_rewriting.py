"""The embedded server's append-only file: rewritten in quiet moments, by a real server."""

import asyncio
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import psutil
import pytest

from jobrunner.clock import SystemClock
from jobrunner.daemon import serverwatch
from jobrunner.daemon.serverwatch import ServerWatch
from jobrunner.embedded import rewriting
from jobrunner.embedded.rewriting import FIRST_PAUSE_S, SMALLEST_GROWTH, Rewriter
from jobrunner.embedded.server import LARGE_FILE, SMALL_FILE, EmbeddedServer
from jobrunner.store.checks import processor_s
from jobrunner.store.connection import StoreConnection
from jobrunner.store.requests import Command
from tests.clock import FakeClock
from tests.store.waiting import in_background, until

GROWTH = 10_000  # bytes
LOOK_S = 5.0
SPIN = "local n = 0; for i = 1, 2e7 do n = n + i end; return n"  # more than a tenth of a second


class Watched(NamedTuple):
    """A server whose file is rewritten when it has grown by 10 kB."""

    server: EmbeddedServer
    connection: StoreConnection
    clock: FakeClock
    rewriter: Rewriter

    def write(self, size: int, key: str = "key") -> None:
        self.connection.execute(Command(("SET", key, "x" * size)))

    def look_later(self, seconds: float = LOOK_S) -> bool:
        self.clock.advance(seconds=seconds)
        return self.rewriter.look()

    def wait_for_rewrite(self) -> None:
        while self.persistence()["aof_rewrite_in_progress"] != "0":
            pass

    def used_s(self) -> float:
        """The server's processor time so far."""
        return processor_s(self.persistence())

    def fail_rewrite(self) -> None:
        """End the process that writes the copy, as a machine without memory would."""
        [child] = psutil.Process(self.server.pid()).children()
        child.kill()
        while self.persistence()["aof_last_bgrewrite_status"] == "ok":
            pass

    def persistence(self) -> dict[str, str]:
        info = self.server.info()
        assert info is not None
        return info


@pytest.fixture
def watched() -> Iterator[Watched]:
    folder = Path(tempfile.mkdtemp(prefix="jr-test-"))  # pytest's own are too long for a socket
    server = EmbeddedServer(folder, "everysec")
    server.ensure()
    clock = FakeClock()
    with StoreConnection(server.address("test")) as connection:
        yield Watched(server, connection, clock, Rewriter(server, clock, GROWTH))
    server.stop()
    shutil.rmtree(folder)


def test_a_file_that_has_grown_is_rewritten_when_the_server_has_little_to_do(
    watched: Watched,
) -> None:
    watched.write(2 * GROWTH)
    assert not watched.rewriter.look(), "a first look cannot tell"

    assert watched.look_later()

    watched.wait_for_rewrite()
    assert int(watched.persistence()["aof_base_size"]) > 2 * GROWTH
    assert not watched.look_later(), "it has not grown since"


def test_a_busy_server_is_left_alone_until_it_is_quiet(watched: Watched) -> None:
    watched.write(2 * GROWTH)
    watched.rewriter.look()
    watched.connection.execute(Command(("EVAL", SPIN, 0)))

    assert not watched.look_later(seconds=0.1)
    assert watched.look_later()


@pytest.mark.parametrize(("growth", "is_begun"), [(2 * GROWTH, False), (4 * GROWTH, True)])
def test_for_a_large_file_the_server_may_be_busier(
    watched: Watched, monkeypatch: pytest.MonkeyPatch, growth: int, is_begun: bool
) -> None:
    monkeypatch.setattr(rewriting, "LARGE_GROWTH", 3 * GROWTH)
    watched.write(growth)
    watched.rewriter.look()
    before_s = watched.used_s()
    watched.connection.execute(Command(("EVAL", SPIN, 0)))
    used_s = watched.used_s() - before_s

    assert watched.look_later(seconds=used_s / 0.3) is is_begun


def test_a_file_is_rewritten_when_it_has_doubled_not_before(watched: Watched) -> None:
    watched.write(4 * GROWTH)
    watched.rewriter.look()
    assert watched.look_later()
    watched.wait_for_rewrite()

    watched.write(2 * GROWTH)
    assert not watched.look_later()

    watched.write(3 * GROWTH)
    assert watched.look_later()


def test_a_small_file_is_not_worth_a_rewrite(watched: Watched) -> None:
    watched.write(GROWTH // 2)
    watched.rewriter.look()

    assert not watched.look_later()


def test_a_rewrite_under_way_is_not_begun_again(watched: Watched) -> None:
    watched.write(2 * GROWTH)
    watched.connection.execute(Command(("CONFIG", "SET", "rdb-key-save-delay", 1_000_000)))
    watched.rewriter.look()
    assert watched.look_later()

    assert not watched.look_later()
    assert not watched.server.rewrite()


def test_a_rewrite_that_failed_is_tried_again_later_and_later(watched: Watched) -> None:
    watched.write(2 * GROWTH)
    watched.connection.execute(Command(("CONFIG", "SET", "rdb-key-save-delay", 10_000_000)))
    watched.rewriter.look()

    for pause_s in (FIRST_PAUSE_S, 2 * FIRST_PAUSE_S):
        assert watched.look_later()
        watched.fail_rewrite()
        assert not watched.look_later(), "it has just failed"
        assert not watched.look_later(pause_s - LOOK_S)


def test_a_server_without_an_append_only_file_is_left_alone(watched: Watched) -> None:
    watched.write(2 * GROWTH)
    watched.rewriter.look()
    watched.connection.execute(Command(("CONFIG", "SET", "appendonly", "no")))

    assert not watched.look_later()


def test_a_server_that_is_gone_is_not_looked_at(watched: Watched) -> None:
    watched.server.stop()

    assert not watched.rewriter.look()


def test_the_watch_of_a_server_keeps_its_file_small(
    watched: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(serverwatch, "REWRITE_LOOK_S", 0.05)
    for number in range(SMALLEST_GROWTH // 1_000_000 + 1):
        watched.write(1_000_000, key=f"key {number}")

    async def watch_until_it_is_small() -> None:
        async with in_background(ServerWatch(watched.server, SystemClock()).run()):
            await until(lambda: int(watched.persistence()["aof_base_size"]) >= SMALLEST_GROWTH)

    asyncio.run(watch_until_it_is_small())


@pytest.mark.parametrize(
    ("free", "most"),
    [(1 << 40, LARGE_FILE), (5 << 30, (5 << 30) // 10), (100 << 20, SMALL_FILE)],
)
def test_the_file_of_a_busy_server_takes_at_most_a_tenth_of_the_free_disk(
    watched: Watched, monkeypatch: pytest.MonkeyPatch, free: int, most: int
) -> None:
    watched.server.stop()
    usage = shutil.disk_usage("/")._replace(free=free)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)

    watched.server.ensure()

    asked = Command(("CONFIG", "GET", "auto-aof-rewrite-min-size"))
    assert watched.connection.execute(asked) == [b"auto-aof-rewrite-min-size", b"%d" % most]
