"""`jobrunner systemd`: printed, installed, never overwritten unasked."""

import json
import sys
from pathlib import Path

import pytest

from jobrunner.errors import ExitCode
from tests.unit.cli.conftest import Invoke

MANIFEST = """\
name: shop
workers: {drain: 45s}
tasks:
  hello: {command: echo hello}
"""


@pytest.fixture
def manifest(tmp_path: Path) -> Path:
    path = tmp_path / "jobs.yaml"
    path.write_text(MANIFEST)
    return path


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    return {"XDG_CONFIG_HOME": str(tmp_path / "config")}


def test_the_unit_of_the_manifest_is_printed(invoke: Invoke, manifest: Path) -> None:
    outcome = invoke("systemd")

    script = Path(sys.executable).parent / "jobrunner"
    assert (outcome.code, outcome.stderr) == (ExitCode.DONE, "")
    assert f"\nExecStart={script} run --file {manifest}\n" in outcome.stdout
    assert "\nTimeoutStopSec=85s\n" in outcome.stdout


def test_it_is_installed_and_the_next_commands_are_told(
    invoke: Invoke, manifest: Path, environ: dict[str, str], tmp_path: Path
) -> None:
    outcome = invoke("systemd", "--user", "--install", environ=environ)

    file = tmp_path / "config/systemd/user/jobrunner-shop.service"
    assert outcome.code == ExitCode.DONE
    assert outcome.stdout.splitlines() == [
        f"wrote {file}; next:",
        "  systemctl --user daemon-reload",
        "  systemctl --user enable --now jobrunner-shop.service",
        "  loginctl enable-linger",
    ]
    assert file.read_text() == invoke("systemd", "--user").stdout


def test_a_changed_unit_is_replaced_only_by_force(
    invoke: Invoke, manifest: Path, environ: dict[str, str], tmp_path: Path
) -> None:
    install = ("systemd", "--user", "--install")
    invoke(*install, environ=environ)
    file = tmp_path / "config/systemd/user/jobrunner-shop.service"
    written = file.read_text()

    same = invoke(*install, environ=environ)
    file.write_text("# by hand\n")
    refused = invoke(*install, environ=environ)
    kept = file.read_text()
    forced = invoke(*install, "--force", environ=environ)

    assert (same.code, refused.code, forced.code) == (ExitCode.DONE, ExitCode.REFUSED, 0)
    assert f"cannot write {file}: it exists and differs" in refused.stderr
    assert kept == "# by hand\n"
    assert file.read_text() == written


def test_a_unit_is_never_written_through_a_link(
    invoke: Invoke, manifest: Path, environ: dict[str, str], tmp_path: Path
) -> None:
    install = ("systemd", "--user", "--install")
    file = tmp_path / "config/systemd/user/jobrunner-shop.service"
    file.parent.mkdir(parents=True)
    target = tmp_path / "precious"
    target.write_text("kept")
    file.symlink_to(target)

    refused = invoke(*install, environ=environ)
    forced = invoke(*install, "--force", environ=environ)

    assert (refused.code, forced.code) == (ExitCode.REFUSED, ExitCode.DONE)
    assert f"cannot write {file}: it is a link to {target}" in refused.stderr
    assert target.read_text() == "kept"
    assert (file.is_symlink(), file.stat().st_mode & 0o777) == (False, 0o644)
    assert [path.name for path in file.parent.iterdir()] == [file.name]


def test_as_json_it_is_one_object(invoke: Invoke, manifest: Path) -> None:
    unit = json.loads(invoke("systemd", "--json").stdout)

    assert list(unit) == ["unit", "text", "file", "next"]
    assert (unit["unit"], unit["file"]) == ("jobrunner-shop.service", None)
    assert unit["next"] == [
        "systemctl daemon-reload",
        "systemctl enable --now jobrunner-shop.service",
    ]


def test_a_folder_that_cannot_be_written_is_told(
    invoke: Invoke, manifest: Path, environ: dict[str, str], tmp_path: Path
) -> None:
    (tmp_path / "config").write_text("a file, no folder")

    outcome = invoke("systemd", "--user", "--install", environ=environ)

    assert outcome.code == ExitCode.USAGE
    assert "jobrunner-shop.service: Not a directory" in outcome.stderr
