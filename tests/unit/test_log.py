"""The daemon's log: one event a line, for eyes and for `grep`."""

import logging
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

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


# Nobody reads the log, or it cannot be written.

FLOOD = """
import sys, time
from jobrunner import log
log.configure("info")
began = time.monotonic()
for number in range(30_000):
    log.EventLog().info("said something", number=number)
print("printed", file=sys.stderr, flush=True)
print("printed", flush=True)
took = time.monotonic() - began
"""
ENDS = 'open(sys.argv[1], "w").write(f"{took:.2f}")'


def started(
    script: str, stderr: int, *args: str, stdout: int | None = None
) -> "subprocess.Popen[bytes]":
    argv = [sys.executable, "-c", script, *args]
    environ = {**os.environ, "JOURNAL_STREAM": ""}
    stdout = stderr if stdout is None else stdout
    return subprocess.Popen(argv, stdout=stdout, stderr=stderr, env=environ)


def test_who_does_not_read_the_log_holds_nothing_up(tmp_path: Path) -> None:
    read_end, write_end = os.pipe()

    process = started(FLOOD + ENDS, write_end, str(tmp_path / "took"))

    assert process.wait(30) == 0
    assert float((tmp_path / "took").read_text()) < 15
    os.close(read_end)
    os.close(write_end)


def test_a_terminal_that_does_not_read_holds_nothing_up(tmp_path: Path) -> None:
    main, terminal = os.openpty()

    process = started(FLOOD + ENDS, terminal, str(tmp_path / "took"))

    assert process.wait(30) == 0
    os.close(main)
    os.close(terminal)


READ_LATER = (
    FLOOD
    + """
open(sys.argv[1], "w").close()
sys.stdin.readline()
log.EventLog().error("said the last")
"""
)


def test_dropped_lines_are_counted_and_told_once_there_is_room(tmp_path: Path) -> None:
    read_end, write_end = os.pipe()
    argv = [sys.executable, "-c", READ_LATER, str(tmp_path / "flooded")]
    with subprocess.Popen(
        argv, stdin=subprocess.PIPE, stdout=write_end, stderr=write_end, text=True
    ) as process:
        os.close(write_end)
        give_up_at = time.monotonic() + 30
        while not (tmp_path / "flooded").exists():
            assert time.monotonic() < give_up_at
            time.sleep(0.01)
        with os.fdopen(read_end) as reader:
            assert process.stdin is not None
            process.stdin.write("\n")
            process.stdin.close()
            lines = reader.read().splitlines()

    said = [line for line in lines if "said something" in line]
    [notice] = [number for number, line in enumerate(lines) if "dropped " in line]
    dropped = re.search(r"WARNING dropped (\d+) lines of the log", lines[notice])
    # Of 30,000 lines, two that were printed, and perhaps the last one.
    assert dropped
    assert len(said) + int(dropped[1]) in range(30_000, 30_004)
    assert f"number={len(said) - 1}" in lines[notice - 1]
    assert len(said) < 30_000


def test_lines_of_many_threads_come_whole_and_all() -> None:
    script = """
import threading
from jobrunner import log
log.configure("info")
def say(name):
    for number in range(200):
        log.EventLog().info("said", thread=name, number=number)
threads = [threading.Thread(target=say, args=(n,)) for n in range(8)]
for thread in threads: thread.start()
for thread in threads: thread.join()
"""
    lines = stderr_of(script, journal=None).splitlines()

    expected = [f"INFO said thread={t} number={n}" for t in range(8) for n in range(200)]
    assert sorted(lines) == sorted(expected)


@pytest.mark.parametrize("end", ["sys.exit('left')", "raise RuntimeError('left')"])
def test_the_last_words_of_a_process_that_fails_are_written(end: str) -> None:
    script = f"""
import sys
import time
from jobrunner import log
log.configure("info")
for number in range(100):
    log.EventLog().error("said", number=number)
{end}
"""
    process = subprocess.run([sys.executable, "-c", script], capture_output=True, check=False)

    assert process.returncode == 1
    assert process.stderr.count(b"ERROR said") == 100
    assert process.stderr.rstrip().endswith(b"left")


def test_what_was_logged_before_os_exit_is_written_by_a_flush() -> None:
    script = """
import os
from jobrunner import log
log.configure("info")
log.EventLog().error("ended itself")
log.flush(5)
os._exit(0)
"""
    assert stderr_of(script, journal=None) == "ERROR ended itself\n"


def test_a_full_disk_or_a_closed_pipe_hurts_nobody_and_is_told_afterwards(tmp_path: Path) -> None:
    script = """
import os, sys
from jobrunner import log
log.configure("info")
kept = os.dup(2)
os.dup2(os.open("/dev/full", os.O_WRONLY), 2)
log.EventLog().info("lost")
log.flush(5)
log.EventLog().info("lost")
log.flush(5)
os.dup2(kept, 2)
log.EventLog().info("written")
"""
    notice, written = stderr_of(script, journal=None).splitlines()

    assert notice.startswith("WARNING dropped 2 lines of the log")
    assert written == "INFO written"


def test_a_closed_pipe_hurts_nobody(tmp_path: Path) -> None:
    read_end, write_end = os.pipe()
    os.close(read_end)

    process = started(FLOOD + ENDS, write_end, str(tmp_path / "took"))

    assert process.wait(30) == 0
    assert (tmp_path / "took").exists()
    os.close(write_end)


def test_a_closed_stderr_hurts_nobody(tmp_path: Path) -> None:
    argv = [sys.executable, "-c", FLOOD + ENDS, str(tmp_path / "took")]
    command = ["/bin/sh", "-c", 'exec "$@" 2>&- >&-', "sh", *argv]

    subprocess.run(command, check=True, timeout=30)

    assert (tmp_path / "took").exists()


def test_a_pipe_that_others_made_non_blocking_loses_no_line() -> None:
    script = """
import os
from jobrunner import log
os.set_blocking(2, False)
log.configure("info")
for number in range(5_000):
    log.EventLog().info("said", number=number)
log.flush(20)
"""
    read_end, write_end = os.pipe()
    with started(script, write_end) as process:
        os.close(write_end)
        with os.fdopen(read_end) as reader:
            lines = reader.read().splitlines()

    assert process.returncode == 0
    assert [line.rpartition("=")[2] for line in lines] == [str(n) for n in range(5_000)]


def test_a_child_that_was_forked_while_others_log_can_log_and_does_not_repeat() -> None:
    script = """
import os, threading
from jobrunner import log
log.configure("info")
is_over = threading.Event()
def say_on():
    while not is_over.is_set():
        log.EventLog().info("said by the parent")
threading.Thread(target=say_on, daemon=True).start()
for number in range(30):
    if (child := os.fork()) == 0:
        log.EventLog().info("said by a child", number=number)
        log.flush(10)
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
is_over.set()
"""
    read_end, write_end = os.pipe()
    with started(f"import warnings; warnings.simplefilter('ignore')\n{script}", write_end) as one:
        os.close(write_end)
        with os.fdopen(read_end) as reader:
            lines = reader.read().splitlines()

    assert one.returncode == 0
    children = [line.rpartition("=")[2] for line in lines if "by a child" in line]
    assert children == [str(n) for n in range(30)]


def test_the_message_of_an_exception_sends_nothing_to_a_terminal(said: Said) -> None:
    def fail() -> None:
        try:
            raise ValueError("broken\x1b[2J\u202e\x9b1m\nnext")
        except ValueError:
            EventLog().error("failed", exc_info=True, text="a\x1b[2J")

    lines = said(fail)

    assert lines[0] == r"ERROR failed text='a\x1b[2J'"
    assert lines[-2:] == [r"ValueError: broken\x1b[2J\u202e\x9b1m", "next"]
