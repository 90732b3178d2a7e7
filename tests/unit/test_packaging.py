"""What `pip` installs is whole: nothing is built here, so that it is known at once."""

import re
import tomllib
from collections.abc import Iterable, Iterator
from importlib import import_module, metadata
from pathlib import Path, PurePath
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

import jobrunner

TOP = Path(__file__).parents[2]
PACKAGE = TOP / "jobrunner"


@pytest.fixture(scope="module")
def settings() -> dict[str, Any]:
    """`pyproject.toml`."""
    return tomllib.loads((TOP / "pyproject.toml").read_text())


def patterns_of(settings: dict[str, Any]) -> list[str]:
    patterns: list[str] = settings["tool"]["setuptools"]["package-data"]["jobrunner"]
    return patterns


def data_files() -> Iterator[PurePath]:
    """Files of the package that are not Python, relative to it."""
    for path in PACKAGE.rglob("*"):
        if path.is_file() and path.suffix != ".py" and "__pycache__" not in path.parts:
            yield path.relative_to(PACKAGE)


def fits(file: PurePath, pattern: str) -> bool:
    """As setuptools sees it: a `*` stays within one folder."""
    return len(file.parts) == len(PurePath(pattern).parts) and file.match(pattern)


def test_every_file_that_is_not_python_is_installed(settings: dict[str, Any]) -> None:
    patterns = patterns_of(settings)

    forgotten = [
        str(file) for file in data_files() if not any(fits(file, item) for item in patterns)
    ]

    assert forgotten == []


def test_every_pattern_names_files_that_exist(settings: dict[str, Any]) -> None:
    files = list(data_files())

    assert [item for item in patterns_of(settings) if not any(fits(f, item) for f in files)] == []


def test_every_folder_with_python_files_is_a_package() -> None:
    folders = {path.parent for path in PACKAGE.rglob("*.py")}

    assert [str(folder) for folder in folders if not (folder / "__init__.py").exists()] == []


def test_the_changelog_begins_with_this_version() -> None:
    versions = re.findall(r"^## (\S+)", (TOP / "CHANGELOG.md").read_text(), re.M)

    assert versions[0] == jobrunner.__version__


def test_the_command_is_a_function_that_exists(settings: dict[str, Any]) -> None:
    module, _, function = settings["project"]["scripts"]["jobrunner"].partition(":")

    assert callable(getattr(import_module(module), function))


def test_the_named_documents_exist(settings: dict[str, Any]) -> None:
    project = settings["project"]

    named = [project["readme"], *project["license-files"]]
    assert [name for name in named if not (TOP / name).is_file()] == []


def locked_versions() -> dict[str, Version]:
    """What `make` installs, by the canonical name."""
    lines = (TOP / "constraints.txt").read_text().splitlines()
    pins = [line.split("==") for line in lines if line and not line.startswith("#")]
    return {canonicalize_name(name): Version(version) for name, version in pins}


def needed(names: Iterable[str]) -> Iterator[Requirement]:
    """What the distributions need on this platform, and what that needs."""
    for text in names:
        requirement = Requirement(text)
        if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
            yield requirement


def test_the_lock_has_a_version_of_all_that_is_installed(settings: dict[str, Any]) -> None:
    project = settings["project"]
    waiting = list(needed([*project["dependencies"], *project["optional-dependencies"]["dev"]]))
    found: dict[str, Requirement] = {}
    while waiting:
        requirement = waiting.pop()
        if found.setdefault(canonicalize_name(requirement.name), requirement) is requirement:
            waiting += needed(metadata.requires(requirement.name) or [])

    assert set(found) - set(locked_versions()) == set()


def test_the_lock_is_within_the_ranges(settings: dict[str, Any]) -> None:
    project, locked = settings["project"], locked_versions()
    ranges = needed(
        [
            *project["dependencies"],
            *project["optional-dependencies"]["dev"],
            *settings["build-system"]["requires"],
        ]
    )

    outside = [str(r) for r in ranges if locked[canonicalize_name(r.name)] not in r.specifier]

    assert outside == []


def test_every_range_lets_the_next_fix_in(settings: dict[str, Any]) -> None:
    locked = locked_versions()

    closed = [
        str(r) for r in needed(settings["project"]["dependencies"]) if not takes_fix(r, locked)
    ]

    assert closed == []


def takes_fix(requirement: Requirement, locked: dict[str, Version]) -> bool:
    """Whether a later patch of what was tested may be installed, e.g. for a vulnerability."""
    major, minor, micro = (*locked[canonicalize_name(requirement.name)].release, 0, 0)[:3]
    return Version(f"{major}.{minor}.{micro + 1}") in requirement.specifier
