"""Output of one attempt: lines in chunks, of which the first and the last are kept.

Lines come from pipes or from `print`. The sink (a `LogWriter`) takes chunks when it is ready, so
output is written in fewer, larger pieces the busier the store is. When a job writes more than
`max_bytes`, the head stays and the oldest chunks of the tail are dropped, here or in the store.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Protocol

from jobrunner.clock import Clock, to_ms
from jobrunner.model import JobError
from jobrunner.runner.lines import LineSplitter
from jobrunner.runner.masking import NO_SECRETS, Masker
from jobrunner.runner.verdict import OutputWatch
from jobrunner.store.logs import LETTERS, Append, Chunk, Stream

CHUNK_BYTES = 64 << 10
LINE_BYTES = 64 << 10
FULL_BYTES = 4 * CHUNK_BYTES  # unwritten output at which the job's pipes are no longer read
TAKE_BYTES = 2 * CHUNK_BYTES  # at once, so that one noisy job does not hold up the others
FLUSH_EVERY_S = 0.05  # after the first chunk, which goes at once: no delay is seen in `logs -f`
WORTH_AN_END_S = 1.0  # a silent attempt shorter than this leaves no log at all
CHUNK_COST = 1000  # bytes of a chunk without its lines, about
CLOSE_PATIENCE_S = 5.0  # then the attempt ends though its output is not written yet


class Sink(Protocol):
    """Where chunks go."""

    is_away: bool  # the store cannot be reached: keep what fits, hold nobody up

    def wake(self, output: "Output") -> None:
        """There is something to take, at `output.due_at()`."""


class Held:
    """A chunk until it has left the cap: where it is, and whether it may be dropped."""

    __slots__ = ("chunk", "drops", "entry_id", "is_tail", "is_taken")

    def __init__(self, chunk: Chunk, is_tail: bool) -> None:
        self.chunk = chunk
        self.is_tail = is_tail
        self.is_taken = False
        self.entry_id: str | None = None  # once it is in the store
        self.drops: list[str] = []  # entries to be removed together with its writing


class Output:
    """Collects the output of one attempt. Belongs to the worker's loop."""

    def __init__(
        self,
        job_id: str,
        attempt: int,
        fence: str,
        sink: Sink,
        clock: Clock,
        max_bytes: int = 1 << 20,
    ) -> None:
        self.job_id = job_id
        self._attempt = attempt
        self._fence = fence
        self._sink = sink
        self._clock = clock
        self.masker = NO_SECRETS
        self._splitters: dict[Stream, LineSplitter] = {}
        self._born = clock.monotonic()
        self._lines: list[tuple[int, str, str]] = []
        self._lines_size = 0
        self._line_count = 0  # before the open chunk
        self._byte_count = 0
        self._chunk_bytes = max(min(CHUNK_BYTES, max_bytes // 8), 256)
        self._head_left = max_bytes // 2
        self._tail_limit = max_bytes - max_bytes // 2
        self._tail: deque[Held] = deque()
        self._tail_size = 0
        self._unsent: deque[Held] = deque()  # in order; taken ones first
        self._unsent_size = 0
        self._drops: list[str] = []
        self._flushed_at: float | None = None
        self._on_room: list[Callable[[], None]] = []
        self._written: asyncio.Future[None] | None = None  # set while closing
        self._is_closed = False
        self.last_stderr = ""  # the last line there, often the reason of a failure
        self.watch: OutputWatch | None = None

    def mask(self, secrets: Iterable[str]) -> None:
        """Hide these values in all that follows. Call it before the first output."""
        hidden = list(secrets)
        if hidden:
            self.masker = Masker(hidden)

    def watch_for(self, pattern: str) -> None:
        """Look at each line for a pattern; call it after `mask`, before the first output."""
        self.watch = OutputWatch(pattern, self.masker)

    def masked(self, text: str) -> str:
        """The text as it may be shown, e.g. in an error."""
        return self.masker.mask(text)

    def masked_json(self, value: bytes) -> bytes:
        """A result or progress as it may be kept."""
        return self.masker.mask_json(value)

    def feed(self, stream: Stream, data: bytes) -> None:
        """Take output as it comes; after `close` it is ignored."""
        if self._is_closed:
            return
        splitter = self._splitters.get(stream)
        if splitter is None:
            longest = min(LINE_BYTES, self._chunk_bytes)
            splitter = self._splitters[stream] = LineSplitter(longest, self.masker)
        self._add(stream, splitter.feed(data))
        if self.watch is not None:
            self.watch.feed(stream, data)

    def end_lines(self) -> None:
        """Nothing more will come: what stands without a line end is a line, too."""
        for stream, splitter in self._splitters.items():
            self._add(stream, splitter.flush())
        if self.watch is not None:
            self.watch.end()

    @property
    def has_stderr(self) -> bool:
        """Something was written there."""
        return Stream.STDERR in self._splitters

    @property
    def is_silent(self) -> bool:
        """Nothing was written, not even part of a line."""
        return not self._splitters

    @property
    def is_full(self) -> bool:
        """The store does not keep up: leave further output in the pipe."""
        return self._unsent_size > FULL_BYTES and not self._sink.is_away

    def on_room(self, callback: Callable[[], None]) -> None:
        """Call back once when the output is no longer full."""
        self._on_room.append(callback)

    def close_silently(self) -> bool:
        """Close it if there is nothing to write, not even the mark of an end; else do nothing."""
        if self.is_silent and self._clock.monotonic() - self._born < WORTH_AN_END_S:
            self._is_closed = True
        return self._is_closed

    async def close(self) -> None:
        """Write the rest and the mark of the end; returns when the store has it.

        Does not wait for a store that is away: the writer goes on by itself.
        """
        if self._is_closed or self.close_silently():
            return
        self.end_lines()
        self._is_closed = True
        self._seal(end=True)
        self._written = asyncio.get_running_loop().create_future()
        self._sink.wake(self)
        if not self._sink.is_away:
            await asyncio.wait([self._written], timeout=CLOSE_PATIENCE_S)

    # What the sink calls.

    def due_at(self) -> float:
        """Monotonic time (seconds) from which the output wants to be written."""
        if self._flushed_at is None or self._unsent or self._is_closed:
            return 0.0
        return self._flushed_at + FLUSH_EVERY_S

    @property
    def has_more(self) -> bool:
        """There are chunks to take."""
        return bool(self._lines) or any(not held.is_taken for held in self._unsent)

    def take(self) -> list[Held]:
        """Chunks to be written now, in order; give each back by `sent` or `unsent`."""
        self._seal()
        self._flushed_at = self._clock.monotonic()
        taken: list[Held] = []
        size = 0
        for held in self._unsent:
            if held.is_taken:
                continue
            if taken and size + held.chunk.size > TAKE_BYTES:
                break
            held.is_taken = True
            taken.append(held)
            size += held.chunk.size
        if taken:
            taken[0].drops, self._drops = self._drops, []
        return taken

    def append_of(self, held: Held) -> Append:
        """What is to be done in the store for a taken chunk."""
        return Append(self.job_id, held.chunk, held.drops)

    def sent(self, held: Held, entry_id: str) -> None:
        """The chunk is in the store, or refused for good when the id is empty."""
        self._unsent.remove(held)
        self._unsent_size -= held.chunk.size
        held.entry_id = entry_id
        self._trim()
        self._tell_room()
        if self._written is not None and not self._unsent and not self._written.done():
            self._written.set_result(None)

    def unsent(self, held: Held) -> None:
        """The store is away: keep the chunk for later, or drop it when it falls out of the cap."""
        held.is_taken = False
        self._drops, held.drops = held.drops + self._drops, []
        self._trim()
        self._tell_room()
        if self._written is not None and not self._written.done():
            self._written.set_result(None)  # the end of the attempt does not wait for the store

    @property
    def kept_size(self) -> int:
        """Bytes that it keeps until the store takes them."""
        return self._unsent_size + CHUNK_COST * len(self._unsent)

    def give_up(self) -> int:
        """Drop what was not written of an attempt that has ended; returns the bytes that it frees.

        The mark of its end, by which a reader sees how much is missing, goes the second time only.
        """
        before = self.kept_size
        if not self._is_closed:
            return 0
        last = self._unsent[-1].chunk if self._unsent else None
        for held in self._unsent:
            held.entry_id = held.entry_id or ""
        self._unsent.clear()
        self._unsent_size = 0
        if last is not None and last.end and (last.lines or before > CHUNK_COST):
            mark = Chunk(
                last.attempt, last.fence, self._line_count, self._byte_count, 0, [], end=True
            )
            self._unsent.append(Held(mark, is_tail=False))
        return before - self.kept_size

    def _add(self, stream: Stream, lines: list[tuple[str, int]]) -> None:
        if not lines:
            return
        now = to_ms(self._clock.now())
        letter = LETTERS[stream]
        if stream is Stream.STDERR:
            self.last_stderr = next(
                (text for text, _ in reversed(lines) if text.strip()), self.last_stderr
            )
        for text, size in lines:
            self._lines.append((now, letter, text))
            self._lines_size += size
            if self._lines_size >= self._chunk_bytes:
                self._seal()
        self._sink.wake(self)

    def _seal(self, *, end: bool = False) -> None:
        """Make the open lines a chunk."""
        if not self._lines and not end:
            return
        size = self._lines_size
        chunk = Chunk(
            self._attempt,
            self._fence,
            self._line_count,
            self._byte_count,
            size,
            self._lines,
            end,
        )
        self._line_count += len(self._lines)
        self._byte_count += size
        self._lines, self._lines_size = [], 0
        held = Held(chunk, is_tail=self._head_left < size)
        self._unsent.append(held)
        self._unsent_size += size
        if held.is_tail:
            self._head_left = 0  # what follows is tail, too, even when it is small
            self._tail.append(held)
            self._tail_size += size
            self._trim()
        else:
            self._head_left -= size

    def _trim(self) -> None:
        """Drop the oldest chunks of the tail; one that is being written waits for its reply."""
        while self._tail_size > self._tail_limit and self._tail[0].chunk.end is False:
            oldest = self._tail[0]
            if oldest.entry_id == "":
                pass
            elif oldest.entry_id is not None:
                self._drops.append(oldest.entry_id)
            elif not oldest.is_taken:
                self._unsent.remove(oldest)
                self._unsent_size -= oldest.chunk.size
            else:
                return
            self._tail.popleft()
            self._tail_size -= oldest.chunk.size

    def _tell_room(self) -> None:
        if self._on_room and not self.is_full:
            callbacks, self._on_room = self._on_room, []
            for callback in callbacks:
                callback()


def masked_error(error: JobError, output: Output) -> JobError:
    """The error without the secrets that the output hides."""
    return replace(
        error,
        message=output.masked(error.message),
        traceback=None if error.traceback is None else output.masked(error.traceback),
    )
