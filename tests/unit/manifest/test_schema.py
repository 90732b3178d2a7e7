"""The JSON Schema says what the models say; the template is valid by both."""

from collections.abc import Iterator
from importlib.resources import files
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from jobrunner.manifest.schema import json_schema
from jobrunner.manifest.source import read_source
from jobrunner.manifest.values import Values
from tests.unit.manifest.reading import EVERYTHING, EXAMPLE, read

TEMPLATE = files("jobrunner.manifest").joinpath("template.yaml").read_text("utf-8")


def faults(text: str) -> list[str]:
    root = read_source(text, "jobs.yaml").root
    assert root is not None
    values = Values({"REDIS_URL": "redis://localhost"}).of(root)
    return [fault.message for fault in Draft202012Validator(json_schema()).iter_errors(values)]


def properties(schema: Any) -> Iterator[tuple[str, dict[str, Any]]]:
    if isinstance(schema, dict):
        yield from schema.get("properties", {}).items()
        for part in schema.values():
            yield from properties(part)


def test_it_is_a_schema_of_draft_2020_12() -> None:
    schema = json_schema()

    Draft202012Validator.check_schema(schema)
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert schema["$id"] == "urn:jobrunner:manifest:1"


@pytest.mark.parametrize("text", [EXAMPLE, EVERYTHING, TEMPLATE])
def test_good_manifests_are_valid(text: str) -> None:
    assert faults(text) == []


@pytest.mark.parametrize(
    "text",
    [
        "tasks: {a: {tiemout: 5m}}",
        "tasks: {a: {nice: 50}}",
        "crons: {a: {every: 5m}}",
        "tasks: {a: {timeout: [5]}}",
        "tasks: {a: {priority: highest}}",
    ],
)
def test_bad_manifests_are_not(text: str) -> None:
    assert len(faults(text)) == 1


def test_every_key_has_a_description() -> None:
    missing = [name for name, part in properties(json_schema()) if not part.get("description")]

    assert missing == []


def test_defaults_are_written_as_in_a_manifest() -> None:
    task = json_schema()["$defs"]["Task"]["properties"]

    assert task["kill_grace"]["default"] == "10s"


def test_the_template_needs_nothing_from_the_machine() -> None:
    manifest = read(TEMPLATE).manifest

    assert manifest.store.url is None
    assert set(manifest.tasks) == {"hello", "disk-report", "heartbeat"}
    assert {cron.task for cron in manifest.crons.values()} <= set(manifest.tasks)
