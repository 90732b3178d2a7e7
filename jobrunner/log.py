"""The daemon's log: stderr, one event per line, a verb in the past tense and fields."""

import logging
import os
import sys
import time

LOGGER = "jobrunner"


class _LineFormatter(logging.Formatter):
    """`2026-11-21T01:00:00Z INFO started worker worker=… pid=…`, in UTC."""

    converter = time.gmtime  # type: ignore[assignment]  # its argument may be left out, too

    def format(self, record: logging.LogRecord) -> str:
        fields: dict[str, object] = getattr(record, "fields", {})
        pairs = [f"{name}={_quoted(value)}" for name, value in fields.items() if value is not None]
        head = super().format(record)
        first, newline, rest = head.partition("\n")  # a traceback follows the line
        return " ".join([first, *pairs]) + newline + rest


def _quoted(value: object) -> str:
    """One word: nothing in a value can look like another field or another line."""
    text = str(value)
    is_plain = bool(text) and text.isprintable() and not any(c in text for c in " \"'=")
    return text if is_plain else repr(text)


def configure(level: str) -> None:
    """Send the events of this process to stderr. The journal of systemd has the time itself."""
    prefix = "" if _is_journal() else "%(asctime)s "
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        _LineFormatter(f"{prefix}%(levelname)s %(message)s", datefmt="%Y-%m-%dT%H:%M:%SZ")
    )
    logger = logging.getLogger(LOGGER)
    logger.handlers[:] = [handler]
    logger.setLevel(level.upper())
    logger.propagate = False


def _is_journal() -> bool:
    """Whether stderr is the journal: a terminal of the desktop inherits the variable, too."""
    try:
        stat = os.fstat(sys.stderr.fileno())
    except OSError:
        return False
    return os.environ.get("JOURNAL_STREAM") == f"{stat.st_dev}:{stat.st_ino}"


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
