"""Large manifests, right or wrong, are read in time that grows with their size only."""

import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from jobrunner.errors import ManifestError
from jobrunner.manifest.gather import MOST_FILES
from jobrunner.manifest.load import load_manifest, read_manifest
from tests.unit.manifest.reading import place, problems, read

WITHIN_S = 8.0  # of processor time; before, each of these took from half a minute to hours


def lines(count: int, line: Callable[[int], str]) -> str:
    return "".join(line(number) for number in range(count))


MANIFESTS = {
    "wrong keys": lines(40_000, lambda n: f"key{n}: 1\n"),
    "wrong keys of a task": "tasks:\n  a:\n    command: x\n"
    + lines(40_000, lambda n: f"    comand{n}: 1\n"),
    "references that are not closed": 'tasks: {a: {command: ["' + "${A:-" * 150_000 + '"]}}\n',
    "references of which one is closed": 'tasks: {a: {command: ["' + "${A:-" * 150_000 + '}"]}}\n',
    "crons of unknown tasks": "tasks:\n"
    + lines(8000, lambda n: f"  task-number-{n}: {{command: x}}\n")
    + "crons:\n"
    + lines(8000, lambda n: f"  c{n}: {{task: task-numer-{n}, every: 5m}}\n"),
    "crons with wrong zones": "tasks: {x: {command: x}}\ncrons:\n"
    + lines(12_000, lambda n: f"  c{n}: {{task: x, every: 5m, timezone: Europe/Berlim{n}}}\n"),
    "choices": "tasks: {x: {command: x, params: {p: {choices: ["
    + lines(20_000, lambda n: f"c{n}, ")
    + "]}}}}\ncrons:\n"
    + lines(7000, lambda n: f"  c{n}: {{task: x, every: 5m, params: {{p: c{n}}}}}\n"),
    "merge keys": "tasks:\n  a:\n    command: x\n"
    + lines(15_000, lambda n: f"    <<: {{k{n}: 1}}\n"),
    "many params": "tasks: {x: {command: ["
    + lines(20_000, lambda n: f'"{{p{n}}}", ')
    + "], params: {"
    + lines(20_000, lambda n: f"p{n}: {{}}, ")
    + "}}}\n",
    "a zone of a megabyte": "tasks: {x: {command: x}}\ncrons: {c: {task: x, every: 5m, timezone: '"
    + "Europe/Berlin" * 70_000
    + "'}}\n",
}


@pytest.mark.parametrize("text", MANIFESTS.values(), ids=MANIFESTS)
def test_a_manifest_of_a_megabyte_is_judged_in_seconds(text: str) -> None:
    begun = time.process_time()

    with suppress(ManifestError):
        read_manifest(text, "/srv/jobs.yaml", {})

    assert time.process_time() - begun < WITHIN_S


def test_of_many_problems_the_first_are_told_and_how_many_more_there_are() -> None:
    with pytest.raises(ManifestError) as caught:
        read(lines(250, lambda n: f"key{n}: 1\n"))

    error = caught.value
    assert [problem.what for problem in error.problems[:2]] == [
        "unknown key 'key0' in the manifest",
        "unknown key 'key1' in the manifest",
    ]
    assert (len(error.problems), error.left_out) == (100, 150)
    assert error.what == "the manifest has at least 250 problems"


def test_a_slip_is_found_among_thousands_of_names() -> None:
    tasks = lines(2000, lambda n: f"  task-number-{n}: {{command: x}}\n")

    (problem,) = problems(f"tasks:\n{tasks}crons: {{c: {{task: task-numer-77, every: 5m}}}}")

    assert problem.fix == "write 'task-number-77'"


def test_a_parameter_too_many_is_told() -> None:
    params = lines(257, lambda n: f"p{n}: {{}}, ")

    (problem,) = problems(f"tasks: {{a: {{command: x, params: {{{params}}}}}}}")

    assert problem.what == "'params' of task 'a' has 257 entries, and at most 256 can be there"


def test_included_files_are_bounded_together(tmp_path: Path) -> None:
    (tmp_path / "jobs.d").mkdir()
    for number in range(MOST_FILES + 5):
        (tmp_path / "jobs.d" / f"{number}.yaml").write_text("tasks: {}\n")
    (tmp_path / "jobs.yaml").write_text("include: [jobs.d/*.yaml]\n")

    with pytest.raises(ManifestError) as caught:
        load_manifest(tmp_path / "jobs.yaml", {})

    whats = [problem.what for problem in caught.value.problems]
    assert "'include' names too many files" in whats


def test_the_text_behind_aliases_counts_as_often_as_it_is_used() -> None:
    words = "x " * 250_000
    aliases = lines(1000, lambda n: f"  b{n}: {{command: *a}}\n")

    (problem,) = problems(f"tasks:\n  a: {{command: &a '{words}'}}\n{aliases}")

    assert problem.what == "the file cannot be read: it has too much text"
    assert place(problem) == "18:18"
