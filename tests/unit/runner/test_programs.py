"""Where programs are found."""

from pathlib import Path

import pytest

from jobrunner.runner.programs import Programs


def a_program(folder: Path, name: str = "tool") -> str:
    folder.mkdir(exist_ok=True)
    program = folder / name
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    return str(program)


def test_the_first_folder_that_has_an_executable_counts(tmp_path: Path) -> None:
    (tmp_path / "a" / "tool").mkdir(parents=True)  # a folder is none
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "tool").write_text("not executable")
    program = a_program(tmp_path / "c")

    found = Programs().find("tool", f"{tmp_path}/a:{tmp_path}/b:{tmp_path}/c")

    assert found == program


def test_a_name_with_a_slash_is_no_matter_of_path(tmp_path: Path) -> None:
    assert Programs().find("./tool", str(tmp_path)) == "./tool"


def test_a_program_that_is_nowhere_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="tool"):
        Programs().find("tool", str(tmp_path))


def test_each_path_is_looked_along_by_itself(tmp_path: Path) -> None:
    programs = Programs()
    first, second = a_program(tmp_path / "a"), a_program(tmp_path / "b")

    assert programs.find("tool", f"{tmp_path}/a") == first
    assert programs.find("tool", f"{tmp_path}/b") == second


def test_what_was_forgotten_is_looked_for_anew(tmp_path: Path) -> None:
    path = f"{tmp_path}/a:{tmp_path}/b"
    programs = Programs()
    a_program(tmp_path / "b")
    programs.find("tool", path)
    earlier = a_program(tmp_path / "a")

    programs.forget()

    assert programs.find("tool", path) == earlier
