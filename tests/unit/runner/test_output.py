"""What is kept of an attempt's output, and when it is handed over."""

import asyncio

import pytest

from jobrunner.clock import SystemClock
from jobrunner.runner.output import FULL_BYTES, Output
from jobrunner.store.logs import Stream
from tests.unit.runner.conftest import MemorySink

pytestmark = pytest.mark.anyio


def output_of(sink: MemorySink, max_bytes: int) -> Output:
    return Output("job", 1, "1", sink, SystemClock(), max_bytes)


async def test_lines_keep_their_stream_and_order(output: Output, sink: MemorySink) -> None:
    output.feed(Stream.STDOUT, b"one\n")
    output.feed(Stream.STDERR, b"two\n")
    output.feed(Stream.STDOUT, b"three")
    await output.close()

    assert [(line.stream, line.text) for line in sink.lines()] == [
        ("stdout", "one"),
        ("stderr", "two"),
        ("stdout", "three"),
    ]


async def test_a_short_silent_attempt_leaves_no_log(output: Output, sink: MemorySink) -> None:
    await output.close()

    assert sink.entries == {}


async def test_the_last_chunk_tells_the_end(output: Output, sink: MemorySink) -> None:
    output.feed(Stream.STDOUT, b"one\n")
    await output.close()

    assert [append.chunk.end for append in sink.entries.values()] == [False, True]


async def test_output_after_the_end_is_ignored(output: Output, sink: MemorySink) -> None:
    await output.close()

    output.feed(Stream.STDOUT, b"late\n")

    assert sink.entries == {}


async def test_the_middle_of_a_long_output_is_cut_and_counted(sink: MemorySink) -> None:
    output = output_of(sink, max_bytes=8000)

    for number in range(10_000):
        output.feed(Stream.STDOUT, b"%07d\n" % number)
    await output.close()

    texts = sink.texts()
    cut = next(text for text in texts if "cut" in text)
    assert texts[0] == "0000000"
    assert texts[-1] == "0009999"
    assert sum(len(text) + 1 for text in texts if text != cut) <= 8000
    missing = 10_001 - len(texts)
    assert cut == f"… {missing:,} lines ({8 * missing:,} bytes) cut by output.max_bytes …"


async def test_memory_stays_within_the_cap_while_the_store_is_away(sink: MemorySink) -> None:
    sink.is_slow = sink.is_away = True
    output = output_of(sink, max_bytes=8000)

    for _ in range(1000):
        output.feed(Stream.STDOUT, b"x" * 79 + b"\n")

    sink.write_all()
    assert sum(append.chunk.size for append in sink.entries.values()) <= 8000
    assert not output.is_full


async def test_a_slow_store_makes_the_output_full_until_it_has_written(sink: MemorySink) -> None:
    sink.is_slow = True
    output = output_of(sink, max_bytes=1 << 20)
    room = asyncio.Event()

    output.feed(Stream.STDOUT, b"line\n" * (FULL_BYTES // 5 + 20_000))
    assert output.is_full
    output.on_room(room.set)

    sink.write_all()
    assert room.is_set()
    assert not output.is_full


async def test_a_secret_is_masked_in_lines_and_errors(output: Output, sink: MemorySink) -> None:
    output.mask(["hunter2"])

    output.feed(Stream.STDERR, b"password hunter2\n")

    assert sink.texts() == ["password ***"]
    assert output.masked("exit: hunter2") == "exit: ***"


async def test_an_output_limit_of_nothing_keeps_only_the_count(sink: MemorySink) -> None:
    output = output_of(sink, max_bytes=0)

    output.feed(Stream.STDOUT, b"x" * 99 + b"\n" + b"y\n" * 500)
    await output.close()

    assert sink.texts() == ["… 501 lines (1,100 bytes) cut by output.max_bytes …"]


async def test_what_progress_bars_have_overwritten_pushes_nothing_out(sink: MemorySink) -> None:
    output = output_of(sink, max_bytes=4000)
    for part in range(1, 5):
        output.feed(Stream.STDOUT, b"part %d begins\n" % part)
        for number in range(5000):
            output.feed(Stream.STDOUT, b"\rcopied %d of 5000" % number)
        output.feed(Stream.STDOUT, b"\npart %d is done\n" % part)
    await output.close()

    texts = sink.texts()
    assert len(texts) == 12
    assert texts[:3] == ["part 1 begins", "copied 4999 of 5000", "part 1 is done"]
