"""The example manifest is valid, and its functions and scripts do their work."""

import csv
import json
import os
import subprocess
from pathlib import Path

import pytest

from jobrunner.daemon.plan import make_plan
from jobrunner.examples import fetch_rates, report_file_types
from jobrunner.examples.folder import example_folder
from jobrunner.manifest.load import load_manifest

EXAMPLE = Path(__file__).parents[2] / "jobs.yaml"


@pytest.fixture(autouse=True)
def own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The examples' folder, below the test's own."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)  # what was found before is forgotten
    return tmp_path / f"jobrunner-example-{os.getuid()}"


def run_script(task: str, **variables: str) -> str:
    """The output of a shell task, run as the worker would."""
    script = load_manifest(EXAMPLE, os.environ).manifest.tasks[task].shell
    assert script is not None
    environ = {**os.environ, **variables}
    return subprocess.check_output(["/bin/sh", "-eu", "-c", script], env=environ, text=True)


def test_the_examples_write_to_no_folder_that_others_can_enter(own_folder: Path) -> None:
    own_folder.mkdir()
    own_folder.chmod(0o777)

    with pytest.raises(PermissionError, match="remove it"):
        example_folder()


def test_the_example_manifest_has_no_problem() -> None:
    plan = make_plan(EXAMPLE, {})

    assert {"disk-space", "cleanup", "countdown", "file-report", "fetch_rates"} == set(
        plan.manifest.tasks
    )
    assert plan.manifest.tasks["file-report"].lock is not None
    assert {cron.name for cron in plan.crons} == set(plan.manifest.crons)


def test_the_report_counts_files_by_kind_and_keeps_the_largest(
    tmp_path: Path, own_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "files"
    folder.mkdir()
    for name, size in [("a.txt", 10), ("b.txt", 20), ("c.log", 500), ("README", 1)]:
        (folder / name).write_bytes(b"x" * size)
    (folder / "link.txt").symlink_to(folder / "c.log")

    result = report_file_types(str(folder), top=2)

    report = own_folder / "file-types.csv"
    assert result == {"report": str(report), "files": 4, "bytes": 531}
    with report.open(newline="") as file:
        assert list(csv.reader(file)) == [
            ["type", "files", "bytes"],
            [".log", "1", "500"],
            [".txt", "2", "30"],
        ]
    assert ".log" in capsys.readouterr().out


def test_the_report_of_a_folder_that_is_not_there_fails(tmp_path: Path) -> None:
    with pytest.raises(NotADirectoryError, match="nowhere is not a folder"):
        report_file_types(str(tmp_path / "nowhere"))


@pytest.mark.anyio
async def test_rates_are_kept_when_the_service_answers(own_folder: Path) -> None:
    rates = await fetch_rates("USD", failures=0)

    assert rates["USD"] == 1.0
    assert json.loads((own_folder / "rates-USD.json").read_text()) == rates


@pytest.mark.anyio
async def test_an_unanswered_question_is_an_error_that_is_retried() -> None:
    with pytest.raises(ConnectionError):
        await fetch_rates(failures=1)

    assert fetch_rates.options["retry"]["exceptions"] == ["ConnectionError"]


def test_cleanup_removes_old_files_only() -> None:
    old, new = example_folder() / "old.csv", example_folder() / "new.csv"
    old.write_text("")
    new.write_text("")
    os.utime(old, (0, 0))

    output = run_script("cleanup", DAYS="7")

    assert output == f"{old}\n"
    assert (old.exists(), new.exists()) == (False, True)


def test_countdown_tells_each_second() -> None:
    assert run_script("countdown", SECONDS_LEFT="1") == "1 seconds left\n"
