"""Logs in the store: writing, reading, following."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import TypeVar

import pytest

from jobrunner.clock import SystemClock
from jobrunner.errors import StoreUnavailable
from jobrunner.runner.logwriter import LogWriter
from jobrunner.runner.output import Output
from jobrunner.store.connection import AsyncStoreConnection, StoreConnection
from jobrunner.store.keys import Keys
from jobrunner.store.logs import (
    Append,
    Chunk,
    Cursor,
    LogPage,
    Stream,
    append_chunks,
    follow_log,
    read_log,
)
from jobrunner.store.requests import Command, Operation

pytestmark = pytest.mark.anyio
T = TypeVar("T")
DAY = timedelta(days=1)


def chunk(
    *texts: str, first: int = 0, fence: str = "1", attempt: int = 1, end: bool = False
) -> Chunk:
    lines = [(1_000 + number, "o", text) for number, text in enumerate(texts)]
    return Chunk(attempt, fence, first, first * 10, len(texts) * 10, lines, end)


def texts(page: LogPage) -> list[str]:
    return [line.text for line in page.lines]


def add(connection: StoreConnection, keys: Keys, *chunks: Chunk) -> list[str]:
    return connection.run(append_chunks(keys, [Append("j", each) for each in chunks], DAY))


class UnsteadyConnection:
    """A connection that can be switched off."""

    def __init__(self, connection: AsyncStoreConnection) -> None:
        self.is_down = False
        self.calls = 0
        self._connection = connection

    async def run(self, operation: Operation[T]) -> T:
        if self.is_down:
            raise StoreUnavailable("switched off")
        self.calls += 1
        return await self._connection.run(operation)


@pytest.fixture
def unsteady(async_connection: AsyncStoreConnection) -> UnsteadyConnection:
    return UnsteadyConnection(async_connection)


@pytest.fixture
async def writer(unsteady: UnsteadyConnection, keys: Keys) -> AsyncIterator[LogWriter]:
    writer = LogWriter(unsteady, keys, DAY, SystemClock())
    running = asyncio.create_task(writer.run())
    yield writer
    writer.close()
    await running


def output_to(writer: LogWriter, job_id: str = "j", max_bytes: int = 1 << 20) -> Output:
    return Output(job_id, 1, "1", writer, SystemClock(), max_bytes)


def test_a_log_that_does_not_exist_is_empty(connection: StoreConnection, keys: Keys) -> None:
    assert connection.run(read_log(keys, "j")) == LogPage([], Cursor())
    assert connection.run(read_log(keys, "j", tail=3)).lines == []


def test_a_long_log_is_read_whole(connection: StoreConnection, keys: Keys) -> None:
    add(connection, keys, *(chunk(str(number), first=number) for number in range(200)))

    page = connection.run(read_log(keys, "j"))

    assert texts(page) == [str(number) for number in range(200)]


@pytest.mark.parametrize("tail", [0, 1, 7, 200, 999])
def test_the_tail_is_the_end_of_the_whole(
    connection: StoreConnection, keys: Keys, tail: int
) -> None:
    add(connection, keys, *(chunk("a", "b", first=2 * number) for number in range(100)))
    whole = connection.run(read_log(keys, "j"))

    page = connection.run(read_log(keys, "j", tail=tail))

    assert page.lines == (whole.lines[-tail:] if tail else [])
    assert page.cursor == whole.cursor


def test_a_chunk_written_twice_is_read_once(connection: StoreConnection, keys: Keys) -> None:
    add(connection, keys, chunk("one"), chunk("one"), chunk("two", first=1))

    assert texts(connection.run(read_log(keys, "j"))) == ["one", "two"]


def test_an_attempt_repeated_under_the_same_number_is_read(
    connection: StoreConnection, keys: Keys
) -> None:
    add(connection, keys, chunk("one", "two", fence="1"), chunk("one", fence="2", end=True))

    page = connection.run(read_log(keys, "j"))

    assert texts(page) == ["one", "two", "one"]
    assert page.ended == 1


def test_dropped_chunks_show_as_a_cut(connection: StoreConnection, keys: Keys) -> None:
    _, middle, _ = add(connection, keys, chunk("a"), chunk("b", first=1), chunk("c", first=2))

    drop = Append("j", chunk("d", first=3), [middle])
    connection.run(append_chunks(keys, [drop], DAY))

    page = connection.run(read_log(keys, "j"))
    assert texts(page) == ["a", "… 1 line (10 bytes) cut by output.max_bytes …", "c", "d"]
    assert page.lines[1].stream is Stream.CUT


def test_a_log_lives_as_long_as_its_retention(connection: StoreConnection, keys: Keys) -> None:
    add(connection, keys, chunk("a"))

    left_ms = connection.execute(Command(("PTTL", keys.log("j"))))

    assert 0 < left_ms <= DAY // timedelta(milliseconds=1)


def test_following_goes_on_where_reading_stopped(connection: StoreConnection, keys: Keys) -> None:
    add(connection, keys, chunk("a"))
    page = connection.run(read_log(keys, "j"))

    nothing = connection.run(follow_log(keys, "j", page.cursor, block_ms=1))
    add(connection, keys, chunk("b", first=1, end=True))
    more = connection.run(follow_log(keys, "j", nothing.cursor, block_ms=1000))

    assert nothing.lines == []
    assert texts(more) == ["b"]
    assert more.ended == 1


async def test_a_follower_sees_the_first_line_at_once(
    writer: LogWriter, connection: StoreConnection, keys: Keys
) -> None:
    follower = asyncio.to_thread(connection.run, follow_log(keys, "j", Cursor(), block_ms=5000))
    waiting = asyncio.create_task(follower)

    output_to(writer).feed(Stream.STDOUT, b"hello\n")

    assert texts(await waiting) == ["hello"]


async def test_a_closed_output_is_in_the_store(
    writer: LogWriter, connection: StoreConnection, keys: Keys
) -> None:
    output = output_to(writer)

    output.feed(Stream.STDOUT, b"one\ntwo")
    await output.close()

    page = connection.run(read_log(keys, "j"))
    assert texts(page) == ["one", "two"]
    assert page.ended == 1


async def test_lines_in_quick_succession_share_a_write(
    writer: LogWriter, unsteady: UnsteadyConnection, connection: StoreConnection, keys: Keys
) -> None:
    output = output_to(writer)

    for number in range(100):
        output.feed(Stream.STDOUT, b"%d\n" % number)
        await asyncio.sleep(0)
    await output.close()

    assert len(connection.run(read_log(keys, "j")).lines) == 100
    assert unsteady.calls <= 4


async def test_the_store_keeps_no_more_than_the_cap(
    writer: LogWriter, connection: StoreConnection, keys: Keys
) -> None:
    output = output_to(writer, max_bytes=100_000)

    for _ in range(100):
        room = asyncio.Event()
        output.feed(Stream.STDOUT, b"x" * 99_999 + b"\n")
        if output.is_full:
            output.on_room(room.set)
            await room.wait()
    await output.close()

    lines = connection.run(read_log(keys, "j")).lines
    kept = sum(len(line.text) for line in lines if line.stream is Stream.STDOUT)
    assert 50_000 <= kept <= 100_000
    assert connection.execute(Command(("MEMORY", "USAGE", keys.log("j")))) < 200_000


async def test_output_written_during_an_outage_arrives_after_it(
    writer: LogWriter, unsteady: UnsteadyConnection, connection: StoreConnection, keys: Keys
) -> None:
    unsteady.is_down = True
    output = output_to(writer)
    output.feed(Stream.STDOUT, b"during\n")
    while not writer.is_away:
        await asyncio.sleep(0.01)
    await output.close()  # an attempt that ends does not wait for the store

    unsteady.is_down = False

    follower = follow_log(keys, "j", Cursor(), block_ms=5000)
    assert texts(await asyncio.to_thread(connection.run, follower)) == ["during"]


async def test_a_writer_that_ends_during_an_outage_does_not_wait(
    unsteady: UnsteadyConnection, keys: Keys
) -> None:
    unsteady.is_down = True
    writer = LogWriter(unsteady, keys, DAY, SystemClock())
    running = asyncio.create_task(writer.run())
    output_to(writer).feed(Stream.STDOUT, b"lost\n")
    while not writer.is_away:
        await asyncio.sleep(0.01)

    writer.close()

    await asyncio.wait_for(running, 0.3)


async def test_a_key_of_a_wrong_type_does_not_silence_other_jobs(
    writer: LogWriter, connection: StoreConnection, keys: Keys
) -> None:
    connection.execute(Command(("SET", keys.log("broken"), "x")))
    broken, output = output_to(writer, "broken"), output_to(writer)

    broken.feed(Stream.STDOUT, b"lost\n")
    await broken.close()
    output.feed(Stream.STDOUT, b"kept\n")
    await output.close()

    assert texts(connection.run(read_log(keys, "j"))) == ["kept"]
