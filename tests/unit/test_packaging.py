"""What `pip` installs is whole: nothing is built here, so that it is known at once."""

import re
import tomllib
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path, PurePath
from typing import Any

import pytest

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
