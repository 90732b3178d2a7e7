"""Whatever the document, it is read or refused, by problems that have a place and a fix."""

import re
import time
from collections.abc import Iterable
from pathlib import Path

import msgspec
import pytest
import yaml
from hypothesis import event, given

from jobrunner.crons import InvalidCron
from jobrunner.daemon.plan import Plan, parse, published
from jobrunner.errors import ManifestError, Problem
from jobrunner.firing import ScheduledCron
from jobrunner.manifest.load import LoadedManifest, load_manifest, read_manifest, with_found_tasks
from jobrunner.manifest.spec import Manifest
from tests.fuzz import garbage
from tests.fuzz.extent import tries
from tests.fuzz.manifests import damaged_texts, documents, manifests, written

FILE = "/nonexistent/jobs.yaml"
ENVIRON = {"X": "x"}
LONGEST_S = 5.0  # per document; the slowest takes a tenth, and machines can be busy
LINE_ENDS = re.compile("\r\n|[\n\r\x85\u2028\u2029]")  # as YAML has them


@pytest.fixture(params=["libyaml", "python"])
def parser(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """PyYAML may have been built without libyaml; the two do not fail in the same places."""
    if request.param == "python":
        monkeypatch.delattr(yaml, "CSafeLoader")


def problems_of(text: str) -> list[Problem]:
    """What is wrong with a manifest; what is not must be fit to run."""
    started = time.monotonic()
    try:
        loaded = read_manifest(text, FILE, ENVIRON)
        with_tasks = with_found_tasks(loaded, [])
        found = run_dry(with_tasks)
    except ManifestError as error:
        found = error.problems
        assert found
    assert time.monotonic() - started < LONGEST_S
    return found


def run_dry(loaded: LoadedManifest) -> list[Problem]:
    """Do with a manifest what a start of the daemon does; returns what is wrong with its crons."""
    manifest = loaded.manifest
    assert Manifest.model_validate_json(manifest.model_dump_json()) == manifest
    crons, found = [], []
    for name, spec in manifest.crons.items():
        try:
            cron = parse(name, spec)
        except InvalidCron as error:
            where = loaded.locate(("crons", name, "cron"))
            found.append(Problem(where, error.what, error.why, error.fix))
        else:
            crons.append(ScheduledCron(name, spec, cron, manifest.tasks[spec.task]))
    assert msgspec.json.encode(published(Plan(manifest, crons)))
    return found


def check_told(problems: Iterable[Problem], text: str, file: str = FILE) -> None:
    """Each problem says what, where and how to fix it; a short why may sit inside the what."""
    lines = LINE_ENDS.split(text.removeprefix("\ufeff"))
    for problem in problems:
        assert problem.what.strip()
        assert (problem.fix or "").strip(), problem
        assert problem.why is None or problem.why.strip(), problem
        where = problem.where
        assert where is not None, problem
        assert where.file == file
        assert 1 <= where.line <= len(lines), problem
        assert 1 <= where.column <= len(lines[where.line - 1]) + 1, problem


@tries(300, 10_000)
@given(text=documents)
def test_any_document_is_read_or_refused_with_places(parser: None, text: str) -> None:
    problems = problems_of(text)

    event("refused" if problems else "read")
    check_told(problems, text)


@tries(60, 1_000)
@given(manifests())
def test_a_manifest_made_from_the_models_has_problems_of_its_rules_only(tree: object) -> None:
    text = written(tree)

    problems = problems_of(text)

    event("refused" if problems else "read")
    check_told(problems, text)
    assert not any("unknown key" in problem.what for problem in problems)


@tries(60, 2_000)
@given(damaged_texts().map(lambda text: text.encode("utf-8", "surrogatepass")) | garbage.odd_bytes)
def test_any_bytes_of_a_file_are_read_or_refused_with_places(
    tmp_path: Path, content: bytes
) -> None:
    file = tmp_path / "jobs.yaml"
    for damaged in (content, b"\xef\xbb\xbf" + content, content[:40] + b"\xff" + content[40:]):
        file.write_bytes(damaged)
        try:
            load_manifest(file, ENVIRON)
        except ManifestError as error:
            check_told(error.problems, damaged.decode("utf-8", "replace"), str(file))


@tries(40, 500)
@given(damaged_texts())
def test_any_included_document_is_read_or_refused_with_places(tmp_path: Path, text: str) -> None:
    main, included = tmp_path / "jobs.yaml", tmp_path / "more.yaml"
    main.write_text("include: [more.yaml, jobs.yaml]\n")
    content = text.encode("utf-8", "replace")
    included.write_bytes(content + b"\ninclude: [more.yaml, jobs.yaml]\n")

    with pytest.raises(ManifestError) as caught:
        load_manifest(main, ENVIRON)

    files = {str(main): main, str(included): included}
    for problem in caught.value.problems:
        assert problem.where is not None
        there = files[problem.where.file].read_bytes().decode()
        check_told([problem], there, problem.where.file)
