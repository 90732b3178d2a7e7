"""The text of units: what systemd makes of it, and how it rates it."""

import os
import re
import shutil
import subprocess
import sys
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from jobrunner.systemd import EVERYWHERE, SYSTEM_ONLY, UnitSettings, unit_name, unit_text

ANALYZE = shutil.which("systemd-analyze")
needs_systemd = pytest.mark.skipif(ANALYZE is None, reason="systemd is not on this machine")

SETTINGS = UnitSettings(
    name="shop",
    manifest=Path("/srv/shop/jobs.yaml"),
    command=[Path(sys.executable), "-m", "jobrunner"],
    longest_stop=timedelta(seconds=45),
)
ODD = replace(SETTINGS, name="Shop_2.eu", manifest=Path('/srv/100%/$HOME/a "b"\\c;\n/jobs.yaml'))


def analyze(tmp_path: Path, settings: UnitSettings, *words: str) -> str:
    """Output of systemd-analyze on the unit; fails with it if the unit is refused."""
    unit = tmp_path / unit_name(settings.name)
    unit.write_text(unit_text(settings))
    scope = "--user" if settings.is_user else "--system"
    # Else `--user` fails where nobody is logged in.
    environ = {**os.environ, "XDG_RUNTIME_DIR": str(tmp_path)}
    analyzed = subprocess.run(
        [str(ANALYZE), scope, *words, str(unit)],
        env=environ,
        check=False,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    assert analyzed.returncode == 0, analyzed.stdout
    return analyzed.stdout


@needs_systemd
@pytest.mark.parametrize("is_user", [False, True])
@pytest.mark.parametrize("settings", [SETTINGS, ODD], ids=["plain", "odd"])
def test_systemd_accepts_the_unit(tmp_path: Path, settings: UnitSettings, is_user: bool) -> None:
    assert analyze(tmp_path, replace(settings, is_user=is_user), "verify") == ""


@needs_systemd
def test_systemd_rates_the_system_unit_as_safe(tmp_path: Path) -> None:
    output = analyze(tmp_path, SETTINGS, "security", "--offline=true", "--no-pager")

    rating = re.search(r"Overall exposure level for \S+: ([\d.]+)", output)
    assert rating is not None
    assert float(rating[1]) <= 4.0


@pytest.mark.parametrize("is_user", [False, True])
def test_every_line_says_why_it_is_there(is_user: bool) -> None:
    sections = unit_text(replace(SETTINGS, is_user=is_user)).split("\n[")[1:]

    assert [section.partition("]")[0] for section in sections] == ["Unit", "Service", "Install"]
    for section in sections:
        lines = section.splitlines()[1:]
        assert all(line.startswith("# ") for line in lines[::2] if line)
        assert all("=" in line for line in lines[1::2])


def test_the_page_on_systemd_tells_all_that_the_unit_forbids() -> None:
    page = (Path(__file__).parents[2] / "docs" / "systemd.md").read_text()

    assert [item.key for item in [*EVERYWHERE, *SYSTEM_ONLY] if f"`{item.key}" not in page] == []


def test_what_a_job_writes_is_private_and_no_core_is_left() -> None:
    for is_user in (False, True):
        lines = unit_text(replace(SETTINGS, is_user=is_user)).splitlines()

        assert {"UMask=0027", "LimitCORE=0", "TasksMax=50%"} <= set(lines)


def test_the_daemon_is_started_by_absolute_paths() -> None:
    command = f"ExecStart={sys.executable} -m jobrunner run --file /srv/shop/jobs.yaml\n"

    assert command in unit_text(SETTINGS)


def test_odd_characters_reach_the_daemon_as_they_are() -> None:
    assert r'run --file "/srv/100%%/$$HOME/a \"b\"\\c;\x0a/jobs.yaml"' + "\n" in unit_text(ODD)


def test_a_dollar_in_the_programs_own_path_stays_since_systemd_expands_none_there() -> None:
    settings = replace(SETTINGS, command=[Path("/opt/$x/bin/jobrunner")])

    assert "ExecStart=/opt/$x/bin/jobrunner run " in unit_text(settings)


def test_systemd_waits_for_the_longest_stop_before_it_kills() -> None:
    assert "\nTimeoutStopSec=75s\n" in unit_text(SETTINGS)
    half = replace(SETTINGS, longest_stop=timedelta(milliseconds=500))
    assert "\nTimeoutStopSec=31s\n" in unit_text(half)


def test_a_users_unit_has_nothing_that_only_the_systems_manager_may_do() -> None:
    text = unit_text(replace(SETTINGS, is_user=True))

    for key in ("CapabilityBoundingSet", "ProtectKernelModules", "StateDirectory"):
        assert key not in text
    assert "WantedBy=default.target" in text
