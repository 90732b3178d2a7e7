"""Programs that cannot be started: the true cause, and how to mend it; with real files."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from jobrunner.runner.failures import CannotStart
from jobrunner.runner.refusals import cause_of_exit, refusal


def started(folder: Path, *argv: str, **env: str) -> CannotStart:
    """What is said of a start that fails, by the way that needs no help from a shell."""
    environment = {"PATH": os.environ["PATH"], **env}
    try:
        subprocess.Popen(argv, cwd=folder, env=environment)
    except OSError as error:
        return refusal(error, argv, environment, folder)
    raise AssertionError("it was started")


def written(path: Path, content: str | bytes, mode: int = 0o755) -> Path:
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    path.chmod(mode)
    return path


@pytest.mark.parametrize(
    ("content", "mode", "code", "said"),
    [
        ("#!/bin/sh\r\necho hi\r\n", 0o755, 127, "CR LF, as on Windows, so its interpreter is "),
        ("#!/opt/none/python\n", 0o755, 127, "its interpreter '/opt/none/python' is not there"),
        ("#!/opt/none/python", 0o755, 127, "its interpreter '/opt/none/python' is not there"),
        ("#!/etc/passwd\n", 0o755, 126, "its interpreter '/etc/passwd' cannot be executed"),
        ("#!/tmp\n", 0o755, 126, "its interpreter '/tmp' cannot be executed"),
        ("echo hi\n", 0o755, 126, "nor a script with an interpreter line"),
        ("", 0o755, 126, "the file is empty"),
        (b"\xef\xbb\xbf#!/bin/sh\n", 0o755, 126, "a byte order mark stands before"),
        (b"\x7fELF" + bytes(60), 0o755, 126, "built for another kind of machine"),
        ("#!/bin/sh\n", 0o644, 126, "its mode has no x; chmod +x "),
    ],
)
def test_a_script_that_cannot_be_started_says_what_is_wrong_with_it(
    tmp_path: Path, content: str | bytes, mode: int, code: int, said: str
) -> None:
    written(tmp_path / "job", content, mode)

    found = started(tmp_path, "./job")

    assert said in found.error.message
    assert found.exit_code == code


def test_crlf_is_told_with_the_command_that_mends_it(tmp_path: Path) -> None:
    script = written(tmp_path / "job", "#!/bin/sh\r\necho mended\r\n")

    message = started(tmp_path, "./job").error.message
    subprocess.run(["sh", "-c", message.rpartition("e.g. by: ")[2]], check=True)

    assert subprocess.check_output([script], text=True) == "mended\n"


@pytest.mark.parametrize("folder", ["/tmp", "."])
def test_a_folder_is_no_command(tmp_path: Path, folder: str) -> None:
    message = started(tmp_path, f"{folder}/" if folder == "." else folder).error.message

    assert message.endswith("it is a folder; name a program in it")


def test_a_link_to_nothing_is_told_apart_from_a_missing_command(tmp_path: Path) -> None:
    (tmp_path / "job").symlink_to(tmp_path / "gone")

    assert "a link to a file that is not there" in started(tmp_path, "./job").error.message
    assert started(tmp_path, "./none").error.message.startswith("command not found: './none'")


def test_a_program_along_path_that_is_not_executable_is_named(tmp_path: Path) -> None:
    written(tmp_path / "tool-of-mine", "#!/bin/sh\n", 0o644)

    message = started(tmp_path, "tool-of-mine", PATH=str(tmp_path)).error.message

    assert message.endswith(f"its mode has no x; chmod +x {tmp_path}/tool-of-mine")


def test_a_program_without_its_loader_is_told_as_built_for_another_system(tmp_path: Path) -> None:
    program = Path(shutil.which("true") or "/bin/true").resolve().read_bytes()
    loader = re.search(rb"/[\w./-]*/ld-[\w.-]*\.so", program)
    assert loader, "`true` is not linked dynamically here"
    missing = loader[0].replace(b"/ld-", b"/ld_")
    written(tmp_path / "job", program.replace(loader[0], missing, 1))

    message = started(tmp_path, "./job").error.message

    assert f"its loader '{missing.decode()}" in message
    assert "is not there: it was built for another system" in message


def test_a_file_that_is_being_written_is_told(tmp_path: Path) -> None:
    true = Path(shutil.which("true") or "/bin/true").resolve()
    job = written(tmp_path / "job", true.read_bytes())

    with job.open("ab"):
        message = started(tmp_path, "./job").error.message

    assert message.startswith("command cannot be started: './job' is being written")


def test_an_argument_or_variable_that_is_too_long_is_named_but_not_shown(tmp_path: Path) -> None:
    by_argument = started(tmp_path, "true", "x" * 140_000).error.message
    by_variable = started(tmp_path, "true", BLOB="x" * 140_000).error.message
    by_all = started(tmp_path, "true", *["x" * 100_000] * 80).error.message

    assert "argument 1 has 140000 bytes, and the system passes on fewer than" in by_argument
    assert "variable BLOB has 140005 bytes" in by_variable
    assert "bytes together" in by_all
    assert "xxx" not in by_argument + by_variable + by_all


@pytest.mark.parametrize(
    ("program", "fix"),
    [
        ("cd", "write `shell:` instead of `command:` or use `cwd`"),
        ("export", "write `shell:` instead of `command:`"),
        ("echo hello", "write each word as an item of its own, e.g. [echo, hello]"),
        ("no-such-program", "correct the name, or install the program"),
    ],
)
def test_a_word_that_is_no_program_is_told_with_what_was_meant(
    tmp_path: Path, program: str, fix: str
) -> None:
    assert started(tmp_path, program).error.message.endswith(fix)


def test_a_cr_behind_env_explains_the_exit(tmp_path: Path) -> None:
    written(tmp_path / "crlf", "#!/usr/bin/env python3\r\nprint()\r\n")
    written(tmp_path / "lf", "#!/usr/bin/env python3\nprint()\n")

    assert "interpreter is '/usr/bin/env python3\\r'" in cause_of_exit(127, "./crlf", {}, tmp_path)
    assert cause_of_exit(127, "./lf", {}, tmp_path) == ""
    assert cause_of_exit(2, "./none", {}, tmp_path) == ""


@pytest.mark.parametrize("program", ["sh", "true"])
def test_the_exit_of_a_program_that_can_be_started_is_its_own(tmp_path: Path, program: str) -> None:
    env = {"PATH": os.environ["PATH"]}

    assert all(cause_of_exit(code, program, env, tmp_path) == "" for code in (2, 126, 127))
