"""The daemon's log: stderr, one event per line, a verb in the past tense and fields.

Who reads the log may stop reading it: a terminal after Ctrl-S, a log driver that hangs, a full
disk. That must not hold up a loop that fires crons or renews leases, so a thread does the writing.
What it cannot get rid of waits in a bounded buffer; what has no room there is dropped, counted, and
told of as soon as there is room again. (Not by a non-blocking descriptor: that would be so for all
who share it, the shell among them.)
"""

import atexit
import io
import logging
import os
import select
import signal
import sys
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import NamedTuple, TextIO

LOGGER = "jobrunner"
LARGEST_BUFFER = 1 << 20  # bytes per process: minutes of a busy log
ATOMIC_WRITE = 4096  # bytes, PIPE_BUF of Linux: no process's lines are torn by those of another
EXIT_PATIENCE_S = 1.0  # for the last lines, at the end of a process
TRY_AGAIN_S = 0.1  # a descriptor that somebody made non-blocking, where poll is of no use


class _LineFormatter(logging.Formatter):
    """`2026-11-21T01:00:00Z INFO started worker worker=… pid=…`, in UTC."""

    converter = time.gmtime  # type: ignore[assignment]  # its argument may be left out, too

    def format(self, record: logging.LogRecord) -> str:
        fields: dict[str, object] = getattr(record, "fields", {})
        pairs = [f"{name}={_quoted(value)}" for name, value in fields.items() if value is not None]
        head = super().format(record)
        first, newline, rest = head.partition("\n")  # a traceback follows the line
        return " ".join([first, *pairs]) + newline + _harmless(rest)


def _quoted(value: object) -> str:
    """One word: nothing in a value can look like another field or another line."""
    text = str(value)
    is_plain = bool(text) and text.isprintable() and not any(c in text for c in " \"'=")
    return text if is_plain else repr(text)


def _harmless(text: str) -> str:
    """A traceback: its message is anybody's, and a terminal may show the log."""
    is_plain = all(character.isprintable() or character in "\n\t " for character in text)
    return text if is_plain else "\n".join(map(_escaped_line, text.split("\n")))


def _escaped_line(line: str) -> str:
    return line if line.isprintable() else repr(line)[1:-1]


class _Piece(NamedTuple):
    """What is to be written, and how many lines are lost if it cannot be."""

    text: bytes
    lines: int


class Outlet:
    """Writes to a descriptor from a thread of its own; `put` never waits. Usable by all threads."""

    def __init__(self, file: int, notice_of: Callable[[int], bytes]) -> None:
        """`notice_of` makes the line that tells how many were dropped."""
        self._file = file
        self._notice_of = notice_of
        self._begin()

    def _begin(self) -> None:
        self._pid = os.getpid()
        # Reentrant: what the collector of cycles drops in here may have something to write.
        self._changed = threading.Condition(threading.RLock())
        self._waiting: deque[_Piece] = deque()
        self._size = 0  # bytes that wait, or are being written
        self._dropped = 0  # lines, since the last notice
        self._thread: threading.Thread | None = None

    def put(self, text: bytes) -> None:
        """Write this as soon as possible; drop it while too much waits already."""
        if self._pid != os.getpid():
            self._begin()  # after a fork: what waits is the parent's, and the thread is not here
        with self._changed:
            if self._has_room_for(text):
                self._add_notice()
                self._add(_Piece(text, text.count(b"\n")))
            else:
                self._dropped += text.count(b"\n")
            self._ensure_thread()
            self._changed.notify_all()

    def flush(self, within_s: float = EXIT_PATIENCE_S) -> None:
        """Return when all is written, or after so many seconds."""
        if self._pid != os.getpid():
            return
        with self._changed:
            self._changed.wait_for(lambda: not self._size, within_s)

    def keep_file(self) -> None:
        """Go on where it writes to now, when its descriptor is made to lead elsewhere."""
        self._file = os.dup(self._file)

    def another(self) -> "Outlet":
        """One to the same file, with a buffer of its own."""
        return Outlet(self._file, self._notice_of)

    def _has_room_for(self, text: bytes) -> bool:
        # Once lines were dropped, half of it must be free: else each line of a slow reader's log
        # would be followed by a notice. A single text may be larger than the buffer.
        limit = LARGEST_BUFFER // 2 if self._dropped else LARGEST_BUFFER
        return not self._size or self._size + len(text) <= limit

    def _add_notice(self) -> None:
        if self._dropped:
            notice = self._notice_of(self._dropped)
            self._add(_Piece(notice, self._dropped))
            self._dropped = 0

    def _add(self, piece: _Piece) -> None:
        size = len(piece.text)
        self._waiting.append(piece)
        self._size += size

    def _ensure_thread(self) -> None:
        if self._thread is None:
            self._thread = threading.Thread(target=self._write_on, name="log", daemon=True)
            try:
                self._thread.start()
            except RuntimeError:  # too many threads, or the interpreter ends
                self._thread = None

    def _write_on(self) -> None:
        # The main thread decides which signals arrive: one that it blocks must not come here.
        signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
        while True:
            text, lines = self._next()
            is_written = self._write(text)
            with self._changed:
                self._size -= len(text)
                if not is_written:
                    self._dropped += lines
                elif not self._size:
                    self._add_notice()
                self._changed.notify_all()

    def _next(self) -> _Piece:
        """As many whole pieces as can be written at once."""
        with self._changed:
            self._changed.wait_for(lambda: bool(self._waiting))
            text, lines = self._waiting.popleft()
            while self._waiting and len(text) + len(self._waiting[0].text) <= ATOMIC_WRITE:
                more = self._waiting.popleft()
                text, lines = text + more.text, lines + more.lines
            return _Piece(text, lines)

    def _write(self, text: bytes) -> bool:
        """Whether all of it was written: a closed pipe or a full disk takes nothing."""
        rest = memoryview(text)
        while rest:
            try:
                rest = rest[os.write(self._file, rest) :]
            except BlockingIOError:
                select.select([], [self._file], [], TRY_AGAIN_S)
            except OSError:
                return False
        return True


class _OutletStream(io.TextIOBase):
    """Stands in for sys.stdout or sys.stderr, for all that writes there beside the logger."""

    def __init__(self, original: TextIO, outlet: Outlet) -> None:
        self._original = original
        self.outlet = outlet

    def write(self, text: str) -> int:
        self.outlet.put(text.encode(errors="backslashreplace"))
        return len(text)

    def writable(self) -> bool:
        return True

    def isatty(self) -> bool:
        return self._original.isatty()

    def fileno(self) -> int:
        return self._original.fileno()

    @property
    def encoding(self) -> str:  # type: ignore[override]  # the base has a plain attribute
        return "utf-8"


class _OutletHandler(logging.Handler):
    """Gives an outlet what is logged."""

    def __init__(self, outlet: Outlet) -> None:
        super().__init__()
        self._outlet = outlet

    def emit(self, record: logging.LogRecord) -> None:
        self._outlet.put(f"{self.format(record)}\n".encode(errors="backslashreplace"))

    def flush_within(self, seconds: float) -> None:
        self._outlet.flush(seconds)


def configure(level: str) -> None:
    """Send the events of this process to stderr. The journal of systemd has the time itself.

    From now on nothing that is written to stderr or stdout holds up who writes it; to be called
    once in the life of a process.
    """
    prefix = "" if _is_journal() else "%(asctime)s "
    formatter = _LineFormatter(f"{prefix}%(levelname)s %(message)s", datefmt="%Y-%m-%dT%H:%M:%SZ")
    handler = _handler(formatter)
    handler.setFormatter(formatter)
    logger = logging.getLogger(LOGGER)
    logger.handlers[:] = [handler]
    logger.setLevel(level.upper())
    logger.propagate = False


def divert(stdout: int, stderr: int) -> None:
    """Have descriptors 1 and 2 lead to these from now on, and close these.

    What is logged, or written by `sys.stdout` and `sys.stderr`, goes where it went.
    """
    for outlet in _outlets():
        outlet.keep_file()
    for source, target in ((stdout, 1), (stderr, 2)):
        if source != target:
            os.dup2(source, target)
            os.close(source)


def outlets_of_others() -> tuple[Outlet, Outlet]:
    """Outlets to where stdout and stderr go, for what other processes write.

    Apart from our own: a flood of theirs must not drive out our lines.
    """
    found = []
    for number, stream in ((1, sys.stdout), (2, sys.stderr)):
        own = stream.outlet if isinstance(stream, _OutletStream) else None
        found.append(Outlet(number, lambda _: b"") if own is None else own.another())
    for outlet in found:
        atexit.register(outlet.flush)
    return found[0], found[1]


def _outlets() -> set[Outlet]:
    streams = (sys.stdout, sys.stderr)
    return {stream.outlet for stream in streams if isinstance(stream, _OutletStream)}


def flush(within_s: float) -> None:
    """Return when what was logged is written, or after so many seconds; before `os._exit`."""
    for handler in logging.getLogger(LOGGER).handlers:
        if isinstance(handler, _OutletHandler):
            handler.flush_within(within_s)


def _handler(formatter: logging.Formatter) -> logging.Handler:
    if sys.stderr is None:  # it was closed before we were started
        return logging.NullHandler()
    if _identity(sys.stderr) is None:
        return logging.StreamHandler(sys.stderr)  # no file, but an object of who calls us

    def notice_of(lines: int) -> bytes:
        what = f"dropped {lines} lines of the log; nobody read it, or it could not be written"
        record = logging.LogRecord(LOGGER, logging.WARNING, "", 0, what, None, None)
        return f"{formatter.format(record)}\n".encode()

    return _OutletHandler(_guard_streams(notice_of))


def _guard_streams(notice_of: Callable[[int], bytes]) -> Outlet:
    """Put outlets before stderr and stdout, one if both are the same file; returns stderr's."""
    outlet = out = Outlet(sys.stderr.fileno(), notice_of)
    if sys.stdout is not None and (identity := _identity(sys.stdout)) is not None:
        if identity != _identity(sys.stderr):
            out = Outlet(sys.stdout.fileno(), notice_of)
        sys.stdout = _OutletStream(sys.stdout, out)
    sys.stderr = _OutletStream(sys.stderr, outlet)
    for each in {outlet, out}:
        atexit.register(each.flush)
    return outlet


def _identity(stream: TextIO) -> tuple[int, int] | None:
    """Device and inode of the file behind a stream; None when there is none."""
    try:
        stat = os.fstat(stream.fileno())
    except (OSError, ValueError):
        return None
    return stat.st_dev, stat.st_ino


def _is_journal() -> bool:
    """Whether stderr is the journal: a terminal of the desktop inherits the variable, too."""
    identity = _identity(sys.stderr) if sys.stderr is not None else None
    return identity is not None and os.environ.get("JOURNAL_STREAM") == "{}:{}".format(*identity)


class EventLog:
    """Writes events: `log.info("started worker", worker=…)`."""

    def __init__(self, name: str = LOGGER) -> None:
        self._logger = logging.getLogger(name)

    def debug(self, event: str, **fields: object) -> None:
        self._logger.debug(event, extra={"fields": fields})

    def info(self, event: str, **fields: object) -> None:
        self._logger.info(event, extra={"fields": fields})

    def warning(self, event: str, **fields: object) -> None:
        self._logger.warning(event, extra={"fields": fields})

    def error(self, event: str, *, exc_info: bool = False, **fields: object) -> None:
        self._logger.error(event, exc_info=exc_info, extra={"fields": fields})
