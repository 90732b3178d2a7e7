"""The daemon's log: one event a line, for eyes and for `grep`."""

import logging
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator

import pytest

from jobrunner import log
from jobrunner.log import EventLog

Said = Callable[..., list[str]]
TIME = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ"


@pytest.fixture(autouse=True)
def _logger_is_put_back() -> Iterator[None]:
    logger = logging.getLogger(log.LOGGER)
    kept = (list(logger.handlers), logger.level, logger.propagate)
    yield
    logger.handlers[:] = kept[0]
    logger.setLevel(kept[1])
    logger.propagate = kept[2]


@pytest.fixture
def said(capsys: pytest.CaptureFixture[str]) -> Said:
    """What a call logs at a level, line by line, without the time."""

    def said(call: Callable[[], None], level: str = "info") -> list[str]:
        log.configure(level)
        call()
        written = capsys.readouterr()
        assert written.out == ""
        return [re.sub(f"^{TIME} ", "", line) for line in written.err.splitlines()]

    return said


def test_an_event_is_one_line_with_its_time_level_and_fields(
    capsys: pytest.CaptureFixture[str],
) -> None:
    log.configure("info")

    EventLog().info("started worker", worker="w1", pid=42)

    line = capsys.readouterr().err
    assert re.fullmatch(rf"{TIME} INFO started worker worker=w1 pid=42\n", line)


def test_a_field_without_a_value_is_left_out(said: Said) -> None:
    lines = said(lambda: EventLog().info("refused the manifest", where=None, what=0))

    assert lines == ["INFO refused the manifest what=0"]


@pytest.mark.parametrize(
    ("value", "written"),
    [
        ("plain-1:2/3", "plain-1:2/3"),
        ("two words", "'two words'"),
        ("", "''"),
        ("a=b", "'a=b'"),
        ('say "no"', "'say \"no\"'"),
        ("it's", '"it\'s"'),
        ("one\ntwo", r"'one\ntwo'"),
        ("tab\there", r"'tab\there'"),
        ("\x1b[31mred", r"'\x1b[31mred'"),
        ("line\u2028separator", r"'line\u2028separator'"),
        ("Zürich", "Zürich"),
    ],
)
def test_no_value_looks_like_another_field_or_line(said: Said, value: str, written: str) -> None:
    lines = said(lambda: EventLog().info("failed job", error=value))

    assert lines == [f"INFO failed job error={written}"]


def test_a_percent_sign_is_no_format(said: Said) -> None:
    lines = said(lambda: EventLog().warning("100% full of %s", left="5%"))

    assert lines == ["WARNING 100% full of %s left=5%"]


def fail_loudly() -> None:
    try:
        raise KeyError("inner")
    except KeyError:
        EventLog().error("failed to perform a job", exc_info=True, job_id="j1")


def test_a_traceback_follows_the_line_of_its_event(said: Said) -> None:
    first, second, *_, last = said(fail_loudly)

    assert first == "ERROR failed to perform a job job_id=j1"
    assert second == "Traceback (most recent call last):"
    assert last == "KeyError: 'inner'"


def test_the_level_decides_what_is_written(said: Said) -> None:
    assert said(lambda: EventLog().debug("left a fire time alone")) == []
    assert said(lambda: EventLog().debug("left it alone"), "debug") == ["DEBUG left it alone"]


SCRIPT = """
from jobrunner import log
log.configure("info")
log.EventLog().info("started", pid=1)
"""


def stderr_of(script: str, journal: str | None) -> str:
    """What a process writes; `journal`: the value of JOURNAL_STREAM, None for its very stderr."""
    read_end, write_end = os.pipe()
    stat = os.fstat(write_end)
    value = f"{stat.st_dev}:{stat.st_ino}" if journal is None else journal
    environ = {**os.environ, "JOURNAL_STREAM": value}
    subprocess.run([sys.executable, "-c", script], stderr=write_end, env=environ, check=True)
    os.close(write_end)
    with os.fdopen(read_end) as file:
        return file.read()


def test_the_journal_gets_no_time_since_it_has_its_own() -> None:
    assert stderr_of(SCRIPT, journal=None) == "INFO started pid=1\n"


def test_a_terminal_that_was_started_by_systemd_is_no_journal() -> None:
    assert re.fullmatch(rf"{TIME} INFO started pid=1\n", stderr_of(SCRIPT, journal="8:4711"))
