"""An editor with the JSON Schema and the loader do not contradict each other."""

import re
from typing import Any

import pytest
from hypothesis import assume, event, given
from jsonschema import Draft202012Validator

from jobrunner.errors import ManifestError, Problem
from jobrunner.manifest.load import read_manifest
from jobrunner.manifest.schema import json_schema
from jobrunner.manifest.source import read_source
from jobrunner.manifest.values import Values
from tests.fuzz.extent import tries
from tests.fuzz.manifests import damaged_trees, manifests, written

FILE = "/nonexistent/jobs.yaml"
ENVIRON = {"X": "x"}
# What any schema can tell. Rules about values (durations, crons, names) are the loader's alone.
STRUCTURE = re.compile("^(unknown key|key '.*' is missing in)")


class Schema:
    """The schema, under a short name: Hypothesis writes down what a test is given."""

    def __init__(self) -> None:
        self._validator = Draft202012Validator(json_schema())

    def faults(self, values: Any) -> list[str]:
        return [fault.message for fault in self._validator.iter_errors(values)]


@pytest.fixture(scope="module")
def schema() -> Schema:
    return Schema()


def problems_of(text: str) -> list[Problem]:
    try:
        read_manifest(text, FILE, ENVIRON)
    except ManifestError as error:
        return error.problems
    return []


def values_of(text: str) -> Any:
    """What the schema is held against: the document as other readers of YAML have it."""
    source = read_source(text, FILE)
    assume(source.root is not None and not source.problems)
    assert source.root is not None
    return Values(ENVIRON).of(source.root)


def without_nulls(value: Any) -> Any:
    """A key whose lines were all commented out is none to the loader; the schema tells of it."""
    if isinstance(value, dict):
        return {key: without_nulls(item) for key, item in value.items() if item is not None}
    return value


@tries(150, 4_000)
@given(tree=damaged_trees() | manifests())
def test_the_schema_refuses_what_has_wrong_keys_and_nothing_that_loads(
    schema: Schema, tree: object
) -> None:
    text = written(tree)
    values = values_of(text)

    problems = problems_of(text)

    event("refused" if problems else "read")
    if not problems:
        assert schema.faults(without_nulls(values)) == []
    if any(STRUCTURE.match(problem.what) for problem in problems):
        assert schema.faults(values) != []
