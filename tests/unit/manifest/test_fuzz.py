"""Whatever the text, a manifest is read or refused with problems that have a place."""

import string

from hypothesis import given, settings
from hypothesis import strategies as st

from jobrunner.errors import ManifestError, Problem
from jobrunner.manifest.load import read_manifest
from jobrunner.manifest.parts import Param
from jobrunner.manifest.spec import CronSpec, Manifest, ManifestFile, Task
from tests.unit.manifest.reading import EVERYTHING

KEYS = sorted({*ManifestFile.model_fields, *Task.model_fields, *CronSpec.model_fields})
WORDS = st.sampled_from([*KEYS, *Param.model_fields, "<<", "x", "5s", "${X}", "{x}", "date", "-1"])
scalars = (
    WORDS
    | st.integers().map(str)
    | st.floats().map(str)
    | st.text(string.printable + "äß\u2028\ufeff\0", max_size=6)
    | st.sampled_from(["true", "null", "''", "[]", "{}", "&a b", "*a", "!t x", "'\\0'", '"\\0"'])
)


def mapping(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    entries = st.lists(st.tuples(WORDS | scalars, inner), max_size=4)
    return entries.map(lambda es: "{" + ", ".join(f"{key}: {value}" for key, value in es) + "}")


def sequence(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return st.lists(inner, max_size=3).map(lambda items: "[" + ", ".join(items) + "]")


flow = st.recursive(scalars, lambda inner: mapping(inner) | sequence(inner), max_leaves=12)
# Mostly right manifests reach further than any text does.
sections = st.builds(
    lambda section, name, part: f"{section}: {{{name}: {part}}}\n",
    st.sampled_from(["tasks", "crons", "defaults", "store", "workers", "env", "include"]),
    WORDS,
    flow,
)
tasks = st.builds(
    lambda key, value: f"tasks:\n  x:\n    command: y\n    {key}: {value}\n",
    st.sampled_from(sorted(Task.model_fields)),
    flow,
)
crons = st.builds(
    lambda key, value: f"crons:\n  x:\n    task: x\n    {key}: {value}\n",
    st.sampled_from(sorted(CronSpec.model_fields)),
    flow,
)
damaged = st.builds(
    lambda at, length, text: EVERYTHING[:at] + text + EVERYTHING[at + length :],
    st.integers(0, len(EVERYTHING)),
    st.integers(0, 12),
    flow,
)
texts = st.text(max_size=40) | flow | st.lists(sections | tasks | crons).map("".join) | damaged


@settings(max_examples=400, deadline=None)
@given(texts)
def test_any_text_is_read_or_refused_with_places(text: str) -> None:
    found: list[Problem] = []
    try:
        loaded = read_manifest(text, "/nonexistent/jobs.yaml", {"X": "x"})
    except ManifestError as error:
        found = error.problems
    else:
        assert Manifest.model_validate_json(loaded.manifest.model_dump_json()) == loaded.manifest

    assert all(problem.where is not None and problem.what for problem in found)
