"""Where commands run, whatever their parameters say."""

import os
from pathlib import Path

import pytest

from jobrunner.model import Reason
from jobrunner.runner.failures import CannotStart
from jobrunner.runner.folders import name_folder, working_folder


@pytest.fixture
def base(tmp_path: Path) -> Path:
    for folder in ("sites/eu/logs", "sites/us", "other", "sites-old"):
        (tmp_path / folder).mkdir(parents=True)
    return tmp_path


@pytest.mark.parametrize(
    ("cwd", "value", "found"),
    [
        (None, "", "."),
        ("sites/eu", "", "sites/eu"),
        ("sites/{x}", "eu", "sites/eu"),
        ("sites/{x}", "eu/logs", "sites/eu/logs"),
        ("sites/{x}", "eu/../us", "sites/us"),
        ("sites/{x}/logs", "eu", "sites/eu/logs"),
        ("sites/{x}", "", "sites"),
        ("{x}", "other", "other"),
        ("sites/u{x}", "s", "sites/us"),
    ],
)
def test_the_folder_is_the_one_that_is_written_with_its_parameters(
    base: Path, cwd: str | None, value: str, found: str
) -> None:
    assert working_folder(cwd, base, {"x": value}) == base / found


@pytest.mark.parametrize(
    ("cwd", "value"),
    [
        ("sites/{x}", "../other"),
        ("sites/{x}", "eu/../../other"),
        ("sites/{x}", ".."),
        ("sites/{x}{x}", "."),
        ("sites/{x}", "../sites-old"),
        ("{x}", ".."),
        ("{x}", "/etc"),
        ("sites/u{x}", "/../../other"),
    ],
)
def test_parameters_cannot_lead_out_of_the_first_part_of_cwd(
    base: Path, cwd: str, value: str
) -> None:
    with pytest.raises(CannotStart, match="is not below") as caught:
        working_folder(cwd, base, {"x": value})

    assert caught.value.reason is Reason.INVALID_ARGUMENTS


def test_a_link_that_leads_out_is_followed_before_the_check(base: Path) -> None:
    (base / "sites" / "away").symlink_to(base / "other")
    (base / "current").symlink_to(base / "sites")

    with pytest.raises(CannotStart, match="is not below"):
        working_folder("sites/{x}", base, {"x": "away"})
    assert working_folder("current/{x}", base, {"x": "eu"}) == base / "sites" / "eu"
    assert working_folder("sites/away", base, {}) == base / "sites" / "away"


def test_a_value_that_begins_with_a_slash_stays_below_the_written_part(base: Path) -> None:
    assert working_folder(f"{base}/{{x}}", base, {"x": "/other"}) == base / "other"


def test_the_variables_name_the_folder_of_the_command_and_no_other(base: Path) -> None:
    environment = {"PWD": "/daemon", "OLDPWD": "/before"}

    name_folder(environment, base / "sites" / ".." / "other")

    assert environment == {"PWD": os.path.realpath(base / "other")}
