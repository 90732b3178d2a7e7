"""Manifests in several files."""

import os
from pathlib import Path
from textwrap import dedent

import pytest

from jobrunner.errors import ManifestError, Problem
from jobrunner.manifest.load import LoadedManifest, load_manifest

TASK = "tasks: {%s: {command: x}}\n"


def write(folder: Path, **files: str) -> Path:
    """Write `name.yaml` for each; the path of the first."""
    for name, text in files.items():
        (folder / f"{name}.yaml").write_text(dedent(text))
    return folder / f"{next(iter(files))}.yaml"


def load(path: Path) -> LoadedManifest:
    return load_manifest(path, {"PART": "two"})


def problems(path: Path) -> list[Problem]:
    with pytest.raises(ManifestError) as caught:
        load(path)
    return caught.value.problems


def places(found: list[Problem]) -> list[str]:
    return [f"{Path(p.where.file).name}:{p.where.line}:{p.where.column}" for p in found if p.where]


def test_tasks_and_crons_of_included_files_are_added(tmp_path: Path) -> None:
    main = write(
        tmp_path,
        jobs="include: ['${PART}.yaml']\ndefaults: {queue: web}\n" + TASK % "a",
        two="tasks: {b: {command: x}}\ncrons: {b: {task: a, every: 5m}}\n",
    )

    loaded = load(main)

    assert list(loaded.manifest.tasks) == ["a", "b"]
    assert loaded.manifest.tasks["b"].queue == "web"
    assert loaded.manifest.include == ["two.yaml"]
    assert [Path(file).name for file in loaded.files] == ["jobs.yaml", "two.yaml"]
    assert str(loaded.locate(("crons", "b", "every"))) == f"{tmp_path / 'two.yaml'}:2:29"


def test_wildcards_are_relative_to_the_including_file_and_skip_files_already_read(
    tmp_path: Path,
) -> None:
    folder = tmp_path / "jobs.d[1]"
    folder.mkdir()
    write(folder, one=TASK % "b" + "include: '*.yaml'\n", two=TASK % "c")
    main = write(tmp_path, jobs="include: ['jobs.d[[]1]/*.yaml', '*.yaml', 'none/*.yaml']\n")

    loaded = load(main)

    assert list(loaded.manifest.tasks) == ["b", "c"]


def test_included_files_may_include_others(tmp_path: Path) -> None:
    main = write(
        tmp_path,
        jobs="include: [b.yaml]\n",
        b="include: c.yaml\n" + TASK % "b",
        c=TASK % "c",
    )

    assert list(load(main).manifest.tasks) == ["b", "c"]


def test_a_task_declared_in_two_files_is_refused_with_both_places(tmp_path: Path) -> None:
    main = write(tmp_path, jobs="include: [b.yaml]\n" + TASK % "a", b=TASK % "a")

    (problem,) = problems(main)

    assert places([problem]) == ["b.yaml:1:9"]
    assert problem.what == "task 'a' is declared twice"
    assert problem.why == f"it was first declared at {main}:2:9"


def test_a_cycle_is_refused_where_it_closes(tmp_path: Path) -> None:
    main = write(tmp_path, jobs="include: [b.yaml]\n", b="include: [jobs.yaml]\n")

    (problem,) = problems(main)

    assert places([problem]) == ["b.yaml:1:11"]
    assert problem.what == f"'include' leads back to {main}"


def test_other_keys_belong_into_the_main_file(tmp_path: Path) -> None:
    main = write(tmp_path, jobs="include: [b.yaml]\n", b="defaults: {}\ntasks: 5\n")

    first, second = problems(main)

    assert first.what == "key 'defaults' cannot stand in an included file"
    assert second.what == "'tasks' must be a mapping"


def test_what_cannot_be_included_is_a_problem_at_its_line(tmp_path: Path) -> None:
    main = write(
        tmp_path,
        jobs="""\
        include:
          - gone.yaml
          - 5
          - b.yaml
          - c.yaml
        crons: {x: {task: unknown-because-not-all-was-read, every: 5s}}
        """,
        b="a: [\n",
        c="",
    )

    found = problems(main)

    assert places(found) == ["jobs.yaml:2:5", "jobs.yaml:3:5", "b.yaml:2:1", "c.yaml:1:1"]
    assert found[0].what == f"cannot include: cannot read {tmp_path / 'gone.yaml'}"


@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
def test_a_byte_that_is_not_utf_8_has_its_place_in_characters(tmp_path: Path, mark: bytes) -> None:
    file = tmp_path / "jobs.yaml"
    file.write_bytes(mark + "tasks: {}\n# ß: ".encode() + b"\xfc\n")

    (found,) = problems(file)

    assert places([found]) == ["jobs.yaml:2:6"]
    assert found.what == "byte 0xfc is not UTF-8"


def test_problems_come_in_the_order_of_the_files(tmp_path: Path) -> None:
    main = write(
        tmp_path,
        jobs="include: [z.yaml, a.yaml]\ntasks: {x: {command: []}}\nfoo: 1\n",
        z="tasks: {y: {comand: x, shell: y}}\n",
        a="tasks: {z: {shell: 5, nice: 50}}\n",
    )

    assert places(problems(main)) == [
        "jobs.yaml:2:13",
        "jobs.yaml:3:1",
        "z.yaml:1:13",
        "a.yaml:1:29",
    ]


def test_a_pattern_that_matches_nothing_beside_other_files_is_a_problem(tmp_path: Path) -> None:
    (tmp_path / "jobs.d").mkdir()
    write(tmp_path, jobs="include: [jobs.d/*.yaml]\n" + TASK % "a")
    (tmp_path / "jobs.d" / "b.yml").write_text(TASK % "b")

    (problem,) = problems(tmp_path / "jobs.yaml")

    assert problem.what == "'include' has 'jobs.d/*.yaml', which matches no file"
    assert problem.why == f"'{tmp_path}/jobs.d' holds b.yml"
    assert problem.where is not None
    assert (problem.where.line, problem.where.column) == (1, 11)


@pytest.mark.parametrize("make", [True, False])
def test_a_pattern_may_match_nothing_where_nothing_is_and_that_is_told(
    tmp_path: Path, make: bool
) -> None:
    if make:
        (tmp_path / "jobs.d").mkdir()
        (tmp_path / "jobs.d" / "README").write_text("put manifests here")
    main = write(tmp_path, jobs="include: [jobs.d/*.yaml]\n" + TASK % "a")

    (remark,) = load(main).unmatched

    assert remark.what == "'include' has 'jobs.d/*.yaml', which matches no file"
    assert remark.fix == "put a file there, or remove the pattern"


def test_keys_with_x_at_the_top_are_the_authors_own(tmp_path: Path) -> None:
    main = write(
        tmp_path,
        jobs="x-slow: &slow {timeout: 2h}\nx-notes: ['${NOWHERE}', {a: b}]\ninclude: [b.yaml]\n"
        "tasks: {a: {<<: *slow, command: x}}\n",
        b="x-own: {}\n" + TASK % "b",
    )

    loaded = load(main)

    assert list(loaded.manifest.tasks) == ["a", "b"]
    assert str(loaded.manifest.tasks["a"].timeout) == "2:00:00"


def test_keys_with_x_elsewhere_are_unknown(tmp_path: Path) -> None:
    main = write(tmp_path, jobs="tasks: {a: {command: x, x-note: 1}}\n")

    (problem,) = problems(main)

    assert problem.what == "unknown key 'x-note' in task 'a'"


@pytest.mark.parametrize("pattern", ["pipe.yaml", "*.yaml"])
def test_a_pipe_is_refused_without_waiting_for_a_writer(tmp_path: Path, pattern: str) -> None:
    os.mkfifo(tmp_path / "pipe.yaml")
    main = write(tmp_path, jobs=f"include: ['{pattern}']\n" + TASK % "a")

    [problem] = problems(main)

    assert problem.what.startswith("cannot include")
    assert problem.why == "it is not a regular file"


def test_a_manifest_that_is_a_device_is_refused() -> None:
    [problem] = problems(Path("/dev/zero"))

    assert problem.why == "it is not a regular file"
