"""The CLI with streams that are closed, full, or do not wait."""

import errno
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from jobrunner.cli.streams import KEPT, OutputFile

MANIFEST = "name: streams\ntasks: {t: {command: ['true']}}\n"
# Opens the streams as the shell says, prints, and says what it was given.
PROGRAM = [sys.executable, "-m", "jobrunner"]
needs_full = pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no device is always full")


def run(
    folder: Path, redirections: str, *args: str, stdin: str = ""
) -> subprocess.CompletedProcess[str]:
    """The CLI with the redirections of a shell behind it."""
    (folder / "jobs.yaml").write_text(MANIFEST)
    return subprocess.run(
        ["/bin/sh", "-c", f'exec "$@" {redirections}', "sh", *PROGRAM, *args],
        input=stdin,
        env={**os.environ, "JOBRUNNER_STATE": str(folder / "state"), "NO_COLOR": "1"},
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize(
    ("redirections", "reason"),
    [
        (">&-", "stdout is closed"),
        pytest.param(">/dev/full", os.strerror(errno.ENOSPC), marks=needs_full),
    ],
)
def test_a_command_whose_output_is_lost_fails_and_says_why(
    tmp_path: Path, redirections: str, reason: str
) -> None:
    done = run(tmp_path, redirections, "validate")

    assert done.returncode == 1
    assert done.stderr.startswith(f"error: cannot write to stdout: {reason}\n")


@pytest.mark.parametrize("redirections", [">&-", pytest.param(">/dev/full", marks=needs_full)])
def test_a_command_that_has_done_something_says_so_and_its_lost_output(
    tmp_path: Path, redirections: str
) -> None:
    (tmp_path / "new").mkdir()

    done = run(tmp_path, redirections, "init", "--file", "new/jobs.yaml")

    assert done.returncode == 0
    assert (tmp_path / "new" / "jobs.yaml").exists()
    assert done.stderr.startswith("warning: cannot write to stdout: ")
    assert "It is done; the output was:\n" in done.stderr
    assert "new/jobs.yaml" in done.stderr


@pytest.mark.parametrize("redirections", ["2>&-", pytest.param("2>/dev/full", marks=needs_full)])
def test_an_error_that_cannot_be_printed_keeps_its_exit_code(
    tmp_path: Path, redirections: str
) -> None:
    assert run(tmp_path, redirections, "no-such-command").returncode == 2
    assert run(tmp_path, redirections, "status").returncode == 4


def test_nothing_opened_later_gets_the_number_of_a_closed_stream(tmp_path: Path) -> None:
    done = run(tmp_path, "<&- >&- 2>&-", "validate")

    assert done.returncode == 1
    assert (done.stdout, done.stderr) == ("", "")


@pytest.mark.parametrize(
    ("redirections", "reason"),
    [("<&-", "stdin is closed"), ("0>/dev/null", os.strerror(errno.EBADF))],
)
def test_a_batch_from_a_stdin_that_cannot_be_read_is_refused(
    tmp_path: Path, redirections: str, reason: str
) -> None:
    done = run(tmp_path, redirections, "submit", "--batch", "-")

    assert done.returncode == 2
    assert done.stderr.startswith(f"error: cannot read the batch from stdin: {reason}\n")


def test_a_file_that_does_not_wait_is_waited_for() -> None:
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    size = _fill(writing)
    reader = threading.Thread(target=lambda: os.read(reading, size))
    reader.start()

    assert OutputFile(writing).write(b"y") == 1

    reader.join()
    os.close(reading)
    os.close(writing)


def _fill(pipe: int) -> int:
    """Write until it takes no more; how much that was."""
    size = 0
    while True:
        try:
            size += os.write(pipe, b"x" * 4096)
        except BlockingIOError:
            return size


def test_of_what_could_not_be_written_the_first_part_is_kept() -> None:
    file = OutputFile(1, OSError(errno.ENOSPC, "full"))

    assert file.write(b"a" * KEPT) == KEPT
    assert file.write(b"b") == 1
    assert file.unwritten == b"a" * KEPT
