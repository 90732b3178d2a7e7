"""What the quick commands import: the time they take is the time of their imports."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from jobrunner.locate import Located, note_endpoint
from jobrunner.store.address import StoreAddress
from tests.store.factories import Store

HEAVY = frozenset(
    [
        "taskiq",
        "pydantic",
        "croniter",
        "redis",
        "psutil",
        "yaml",
        "asyncio",
        "uvloop",
        "statistics",
        "multiprocessing",
    ]
)
RUN = (
    "import sys; from jobrunner.cli.app import run; from jobrunner.cli.context import CliContext\n"
    "try: run(sys.argv[1:], CliContext())\n"
    "finally: print(*sys.modules, file=sys.stderr)"
)


@pytest.fixture
def environ(tmp_path: Path, address: StoreAddress, socket_path: str) -> dict[str, str]:
    """Of a site whose daemon on an embedded server has left its note."""
    manifest, state = tmp_path / "jobs.yaml", Path(socket_path).parent
    manifest.write_text(f"name: '{address.name}'\n")
    (state / "server.sock").symlink_to(address.socket or "")
    environ = {**os.environ, "JOBRUNNER_STATE": str(state), "JOBRUNNER_FILE": str(manifest)}
    embedded = StoreAddress(address.name, socket=str(state / "server.sock"))
    note_endpoint(Located(manifest, address.name, state, embedded), environ)
    return environ


def run(environ: dict[str, str], *args: str) -> tuple[str, set[str]]:
    """What the command prints, and the top-level packages and modules that it imports."""
    done = subprocess.run(
        [sys.executable, "-c", RUN, *args],
        check=False,
        env=environ,
        capture_output=True,
        text=True,
    )
    return done.stdout, {name.partition(".")[0] for name in done.stderr.split()}


def completed(environ: dict[str, str], line: str) -> tuple[str, set[str]]:
    """What bash is offered after the line, and the imports."""
    return run({**environ, "_JOBRUNNER_COMPLETE": "complete_bash", "_JOBRUNNER_LINE": line})


@pytest.mark.parametrize(
    "command",
    ["list", "show", "logs", "why", "cancel", "submit", "status", "stats", "history"],
)
def test_a_quick_command_imports_nothing_heavy(
    declared: Store, environ: dict[str, str], command: str
) -> None:
    job_id = declared.submit(task="backup")
    arguments = {
        "list": [],
        "status": [],
        "stats": [],
        "history": ["backup"],
        "submit": ["backup"],
    }.get(command, [job_id])

    printed, imported = run(environ, command, *arguments)

    assert (printed != "") == (command != "logs")
    assert "jobrunner" in imported
    assert not imported & HEAVY


@pytest.mark.parametrize("command", ["wait", "logs", "cancel"])
def test_a_line_of_text_needs_no_tables(
    declared: Store, environ: dict[str, str], command: str
) -> None:
    job_id = declared.finished(task="backup")

    printed, imported = run(environ, command, job_id)

    assert printed.startswith(f"{job_id} completed after ") == (command == "wait")
    assert "jobrunner" in imported
    assert not imported & (HEAVY | {"rich"})


def test_a_completion_asks_the_store_and_imports_nothing_heavy(
    declared: Store, environ: dict[str, str]
) -> None:
    job_id = declared.submit(task="backup")

    offered, imported = completed(environ, "jobrunner show ")
    tasks, _ = completed(environ, "jobrunner submit ")

    assert job_id in offered
    assert "backup" in tasks
    assert not imported & (HEAVY | {"rich"})


def test_a_completion_without_a_store_offers_no_names_and_says_nothing(
    environ: dict[str, str],
) -> None:
    (Path(environ["JOBRUNNER_STATE"]) / "server.sock").unlink()

    offered, imported = completed(environ, "jobrunner submit ")

    assert offered.strip() == ""
    assert not imported & (HEAVY | {"Traceback", "error:"})
