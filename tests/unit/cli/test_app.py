"""The frame: the error boundary, the registry and what every command has."""

import io
import os
import subprocess
import sys
from pathlib import Path

import pytest
import typer

from jobrunner.cli.app import run
from jobrunner.cli.context import CliContext
from jobrunner.cli.group import build_command
from jobrunner.cli.registry import CommandEntry, all_commands, find_command
from tests.unit.cli.conftest import Invoke, Terminal

EVERY_COMMAND = pytest.mark.parametrize("entry", all_commands(), ids=lambda entry: entry.name)


@EVERY_COMMAND
def test_every_command_has_a_sentence_and_an_example_of_itself(
    entry: CommandEntry, invoke: Invoke
) -> None:
    outcome = invoke(entry.name, "--help")

    assert (outcome.stderr, outcome.code) == ("", 0)
    assert " ".join(outcome.stdout.split()).count(entry.help) == 1
    assert entry.help.endswith(".")
    assert all(f"jobrunner {entry.name}" in example for example in entry.examples)
    assert all(f"    {example}\n" in outcome.stdout for example in entry.examples)


@EVERY_COMMAND
def test_every_command_takes_file_json_and_debug(entry: CommandEntry) -> None:
    names = {name for param in build_command(entry).params for name in param.opts}

    assert {"--file", "-f", "--json", "--debug", "--help"} <= names


def test_the_names_of_commands_are_unique() -> None:
    names = [entry.name for entry in all_commands()]

    assert len(names) == len(set(names))


def test_help_lists_every_command_without_importing_one() -> None:
    code = (
        "import io, sys; from jobrunner.cli.app import run; "
        "from jobrunner.cli.context import CliContext; "
        "run(['--help'], CliContext()); "
        "print([m for m in sys.modules if m.startswith(('rich', 'redis', 'taskiq', 'pydantic', "
        "'croniter', 'yaml', 'asyncio', 'jobrunner.store', 'jobrunner.cli.status'))])"
    )

    output = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout

    assert all(f"\n  {entry.name} " in output for entry in all_commands())
    assert output.endswith("\n[]\n")


def test_a_command_imports_only_itself() -> None:
    code = (
        "import sys; from jobrunner.cli.app import run; "
        "from jobrunner.cli.context import CliContext; "
        "run(['completion', 'fish'], CliContext()); "
        "print([m for m in sys.modules if m.startswith(('rich', 'redis', 'taskiq', 'pydantic', "
        "'croniter', 'yaml', 'asyncio', 'jobrunner.store', 'jobrunner.cli.status'))])"
    )

    output = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout

    assert output.endswith("\n[]\n")


def test_an_unknown_command_suggests_the_nearest(invoke: Invoke) -> None:
    outcome = invoke("sumbit")

    assert outcome.stdout == ""
    assert outcome.stderr == (
        "error: no such command 'sumbit'\n"
        "  fix: use `jobrunner submit`; `jobrunner --help` lists all commands\n"
    )
    assert outcome.code == 2


def test_an_unknown_option_suggests_the_nearest(invoke: Invoke) -> None:
    outcome = invoke("completion", "bash", "--jsno")

    assert outcome.stdout == ""
    assert outcome.stderr == (
        "error: no such option '--jsno' of `jobrunner completion`\n"
        "  fix: use '--json'; `jobrunner completion --help` shows how it is used\n"
    )
    assert outcome.code == 2


def test_a_missing_argument_is_a_usage_error(invoke: Invoke) -> None:
    outcome = invoke("completion")

    assert outcome.stdout == ""
    assert outcome.stderr == (
        "error: missing argument 'shell'. Choose from: bash, zsh, fish\n"
        "  fix: `jobrunner completion --help` shows how it is used\n"
    )
    assert outcome.code == 2


def test_a_wrong_choice_suggests_the_nearest(invoke: Invoke) -> None:
    outcome = invoke("completion", "bsh")

    assert "'bsh' is none of bash, zsh, fish; did you mean 'bash'?" in outcome.stderr
    assert outcome.code == 2


def test_the_version_is_data_on_stdout(invoke: Invoke) -> None:
    outcome = invoke("--version")

    assert outcome.stdout.startswith("jobrunner 0.")
    assert (outcome.stderr, outcome.code) == ("", 0)


def test_common_options_may_stand_before_the_command(invoke: Invoke) -> None:
    outcome = invoke("--json", "completion", "fish")

    assert outcome.stdout.startswith('{"shell": "fish", "script": "function')
    assert (outcome.stderr, outcome.code) == ("", 0)


class FailingStream(io.StringIO):
    """Raises what it is told to at the first write."""

    def __init__(self, error: BaseException) -> None:
        super().__init__()
        self.error = error

    def write(self, _text: str) -> int:
        raise self.error


def run_with_stdout(stdout: io.StringIO, *args: str) -> tuple[str, int]:
    stderr = io.StringIO()
    code = run(args, CliContext(stdout=stdout, stderr=stderr, environ={}))
    return stderr.getvalue(), code


def test_an_interrupt_is_quiet_and_130() -> None:
    assert run_with_stdout(FailingStream(KeyboardInterrupt()), "--version") == ("", 130)
    assert run_with_stdout(FailingStream(typer.Abort()), "--version") == ("", 130)


def test_a_bug_keeps_its_traceback_and_asks_for_a_report() -> None:
    stderr, code = run_with_stdout(FailingStream(ZeroDivisionError("oh")), "--version")

    assert stderr.startswith("Traceback (most recent call last)")
    assert "ZeroDivisionError: oh" in stderr
    assert "error: this is a bug in jobrunner\n" in stderr
    assert "fix: please report it" in stderr
    assert code == 1


def test_an_expected_error_shows_its_traceback_only_with_debug(invoke: Invoke) -> None:
    quiet = invoke("init", "--file", "missing/jobs.yaml")
    loud = invoke("init", "--file", "missing/jobs.yaml", "--debug")

    assert quiet.stderr.startswith("error: cannot write missing/jobs.yaml: No such file")
    assert "Traceback" in loud.stderr
    assert quiet.stderr in loud.stderr
    assert quiet.code == loud.code == 2


def test_a_closed_pipe_is_quiet() -> None:
    shell = f"'{sys.executable}' -m jobrunner --help | true; exit ${{PIPESTATUS[0]}}"

    # With a buffer the text is still there when the interpreter ends, and is flushed again.
    environ = {name: text for name, text in os.environ.items() if name != "PYTHONUNBUFFERED"}

    outcome = subprocess.run(
        ["bash", "-c", shell], capture_output=True, text=True, check=False, env=environ
    )

    assert (outcome.stdout, outcome.stderr, outcome.returncode) == ("", "", 0)


@pytest.mark.parametrize(
    ("stream", "environ", "coloured"),
    [
        (Terminal(), {}, True),
        (Terminal(), {"NO_COLOR": "1"}, False),
        (Terminal(), {"NO_COLOR": ""}, True),
        (io.StringIO(), {}, False),
    ],
)
def test_colours_are_for_terminals_without_no_color(
    stream: io.StringIO, environ: dict[str, str], coloured: bool
) -> None:
    assert CliContext(environ=environ).has_colours(stream) is coloured


def test_the_words_after_exec_are_not_our_options() -> None:
    entry = find_command("exec")

    assert entry is not None
    assert entry.takes_rest


def test_init_writes_a_manifest_once_and_never_overwrites(invoke: Invoke, tmp_path: Path) -> None:
    first = invoke("init")
    (tmp_path / "jobs.yaml").write_text("mine")
    second = invoke("init")

    assert first.stdout.startswith("wrote jobs.yaml;")
    assert (first.stderr, first.code) == ("", 0)
    assert second.stderr.startswith("error: cannot write jobs.yaml: it exists\n  why: ")
    assert (second.stdout, second.code) == ("", 5)
    assert (tmp_path / "jobs.yaml").read_text() == "mine"
