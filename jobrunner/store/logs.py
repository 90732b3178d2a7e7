"""Output of jobs: the stream `log:<id>`, one entry per chunk of lines.

A chunk says which line and byte of its attempt it begins with. So a reader sees by itself where the
middle of a long output was cut, and skips a chunk that was written twice after a lost reply; no
marker has to be kept right by the writer, whatever is killed.
"""

from collections.abc import Iterable, Sequence
from datetime import timedelta
from enum import StrEnum
from typing import Any

import msgspec
from msgspec.structs import replace

from jobrunner.store.damage import UNREADABLE
from jobrunner.store.decoding import text_of
from jobrunner.store.keys import Keys
from jobrunner.store.requests import Command, Operation, Pipeline, Script

FIELD = "c"
LATEST_MS = 253_402_214_400_000  # the last day of the year 9999: later ones are no instants
PAGE = 64  # chunks per read; a chunk has at most 64 KiB or so


class Stream(StrEnum):
    STDOUT = "stdout"
    STDERR = "stderr"
    CUT = "cut"  # not output: says how much is missing here


LETTERS = {Stream.STDOUT: "o", Stream.STDERR: "e"}
STREAMS = {letter: stream for stream, letter in LETTERS.items()}


class Chunk(msgspec.Struct, frozen=True, array_like=True):
    """Consecutive lines of one attempt. `end` says that no more follow in this attempt."""

    attempt: int
    fence: str  # tells two attempts of one number: a job given back at a drain counts none
    first_line: int  # lines of this attempt before the chunk
    first_byte: int  # bytes of this attempt before the chunk
    size: int  # bytes the lines had, with their line ends
    lines: Sequence[tuple[int, str, str]]  # time (ms since the epoch), letter of the stream, text
    end: bool = False


class LogLine(msgspec.Struct, frozen=True):
    """One line of output; `at_ms` is milliseconds since the epoch."""

    at_ms: int
    stream: Stream
    text: str
    attempt: int


class Cursor(msgspec.Struct, frozen=True):
    """Up to where a reader has read; the default is the beginning."""

    entry_id: str = "0-0"
    fence: str | None = ""  # of the attempt; None: began in the middle, so no gap is known
    next_line: int = 0
    next_byte: int = 0


class LogPage(msgspec.Struct, frozen=True):
    """Lines read, where to go on, and the number of the attempt whose output has just ended."""

    lines: list[LogLine]
    cursor: Cursor
    ended: int | None = None


class Append(msgspec.Struct, frozen=True):
    """One chunk to be added, and entries to be removed since they fell out of the cap."""

    job_id: str
    chunk: Chunk
    drop: Sequence[str] = ()


_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(Chunk)


def append_chunks(keys: Keys, appends: Iterable[Append], life: timedelta) -> Operation[list[str]]:
    """Add chunks in one round trip; returns their entry ids.

    A log lives for `life` (retention.logs) after its last chunk, so no log outlives a crash.
    """
    requests: list[Command | Script] = []
    added: list[int] = []
    life_ms = life // timedelta(milliseconds=1)
    for append in appends:
        key = keys.log(append.job_id)
        added.append(len(requests))
        chunk = _encoder.encode(append.chunk)
        requests.append(Command(("XADD", key, "*", FIELD, chunk), is_optional=True))
        requests.append(Command(("PEXPIRE", key, life_ms)))
        if append.drop:
            requests.append(Command(("XDEL", key, *append.drop)))
    replies = yield Pipeline(requests)
    return [text_of(replies[index]) for index in added]


def read_log(keys: Keys, job_id: str, *, tail: int | None = None) -> Operation[LogPage]:
    """The whole output so far, or its last `tail` lines; all attempts."""
    if tail is not None:
        return (yield from _read_tail(keys, job_id, tail))
    page = LogPage([], Cursor())
    while True:
        start = f"({page.cursor.entry_id}"
        entries = yield Command(("XRANGE", keys.log(job_id), start, "+", "COUNT", PAGE))
        more = decode_entries(entries, page.cursor)
        page = LogPage(page.lines + more.lines, more.cursor, more.ended or page.ended)
        if len(entries) < PAGE:
            return page


def _read_tail(keys: Keys, job_id: str, tail: int) -> Operation[LogPage]:
    entries: list[Any] = []
    lines, end = 0, "+"
    while lines < max(tail, 1):  # one entry at least: it tells where to go on
        page = yield Command(("XREVRANGE", keys.log(job_id), end, "-", "COUNT", PAGE))
        entries += page
        chunks = [_chunk_of(fields) for _, fields in page]
        lines += sum(len(chunk.lines) if chunk else 1 for chunk in chunks)
        if len(page) < PAGE:
            break
        end = f"({text_of(page[-1][0])}"
    whole = len(entries) == 0 or lines < tail
    found = decode_entries(entries[::-1], Cursor() if whole else Cursor(fence=None))
    return replace(found, lines=found.lines[-tail:] if tail else [])


def follow_log(keys: Keys, job_id: str, cursor: Cursor, block_ms: int = 1000) -> Operation[LogPage]:
    """Wait up to `block_ms` for output after `cursor`; an empty page when none came.

    `ended` tells that the attempt's output is complete; a retry may follow. An attempt that was
    short and silent writes nothing at all: look at the job's state, too.
    """
    args = ("XREAD", "COUNT", PAGE, "BLOCK", block_ms, "STREAMS", keys.log(job_id), cursor.entry_id)
    reply = yield Command(args, block_ms=block_ms)
    return decode_entries(reply[0][1] if reply else [], cursor)


def decode_entries(entries: Iterable[Any], cursor: Cursor) -> LogPage:
    """Stream entries as lines, with a `cut` line wherever some are missing. Pure."""
    lines: list[LogLine] = []
    ended = None
    for entry_id, fields in entries:
        chunk = _chunk_of(fields)
        if chunk is None:
            cursor = replace(cursor, entry_id=text_of(entry_id))
            lines.append(LogLine(0, Stream.CUT, _DAMAGED, 0))
            continue
        cursor = replace(_at_attempt(cursor, chunk), entry_id=text_of(entry_id))
        if chunk.first_line < cursor.next_line:
            continue  # written twice, since the first reply was lost
        if chunk.first_line > cursor.next_line:
            lines.append(_cut(cursor, chunk))
        for at_ms, letter, text in chunk.lines:
            lines.append(LogLine(at_ms, STREAMS[letter], text, chunk.attempt))
        cursor = replace(
            cursor,
            next_line=chunk.first_line + len(chunk.lines),
            next_byte=chunk.first_byte + chunk.size,
        )
        ended = chunk.attempt if chunk.end else ended
    return LogPage(lines, cursor, ended)


_DAMAGED = "… a part of the output is damaged …"


def _chunk_of(fields: list[bytes]) -> Chunk | None:
    """None for an entry that is no chunk."""
    try:
        chunk = _decoder.decode(fields[1])
        for at_ms, letter, _ in chunk.lines:
            if letter not in STREAMS or not 0 <= at_ms <= LATEST_MS:
                return None
    except UNREADABLE:
        return None
    return chunk


def _at_attempt(cursor: Cursor, chunk: Chunk) -> Cursor:
    if cursor.fence is None:
        line, byte = chunk.first_line, chunk.first_byte
        return replace(cursor, fence=chunk.fence, next_line=line, next_byte=byte)
    if cursor.fence != chunk.fence:
        return replace(cursor, fence=chunk.fence, next_line=0, next_byte=0)
    return cursor


def _cut(cursor: Cursor, chunk: Chunk) -> LogLine:
    count = chunk.first_line - cursor.next_line
    size = chunk.first_byte - cursor.next_byte
    text = f"… {count:,} line{'s' if count != 1 else ''} ({size:,} bytes) cut by output.max_bytes …"
    at_ms = chunk.lines[0][0] if chunk.lines else 0
    return LogLine(at_ms, Stream.CUT, text, chunk.attempt)
