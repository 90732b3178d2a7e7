"""`docs/manifest.md` says what the models say, and its examples load."""

import json
import re
from collections.abc import Mapping
from datetime import timedelta
from enum import StrEnum
from pathlib import Path
from typing import Any, get_args

import annotated_types
import pytest
from pydantic.fields import FieldInfo

from jobrunner.manifest import parts, spec
from jobrunner.manifest.fields import parse_bound
from jobrunner.manifest.load import read_manifest
from jobrunner.manifest.units import format_duration, format_size, parse_size
from jobrunner.runner.attempt import Attempt
from jobrunner.runner.environment import KEPT, own_variables
from jobrunner.runner.processes import marks

REFERENCE = Path(__file__).parents[3] / "docs" / "manifest.md"
NOTHING = "–"

Fields = Mapping[str, FieldInfo]


def only_in_tasks() -> Fields:
    """What a task may say and `defaults` may not."""
    shared = spec.TaskDefaults.model_fields
    return {key: field for key, field in spec.Task.model_fields.items() if key not in shared}


SECTIONS: Mapping[str, Fields] = {
    "The file": spec.ManifestFile.model_fields,
    "A task": only_in_tasks(),
    "How its jobs run": spec.TaskDefaults.model_fields,
    "`retry`": spec.Retry.model_fields,
    "`lock`": spec.Lock.model_fields,
    "`limits`": parts.Limits.model_fields,
    "`fail_when`": parts.FailWhen.model_fields,
    "`output`": parts.Output.model_fields,
    "`params`": parts.Param.model_fields,
    "A cron": spec.CronSpec.model_fields,
    "`catch_up`": spec.CatchUp.model_fields,
    "`store`": parts.Store.model_fields,
    "`workers`": parts.Workers.model_fields,
    "`retention`": parts.Retention.model_fields,
    "`bounds`": parts.Bounds.model_fields,
}


def rows_below(heading: str) -> dict[str, tuple[str, str]]:
    """Type and default by key, of the table of keys in a section."""
    found = re.search(
        rf"^##+ {re.escape(heading)}\n(.*?)(?=^##|\Z)", REFERENCE.read_text(), re.M | re.S
    )
    assert found, f"no section {heading!r}"
    rows = re.findall(r"^\| `(\w+)` \| (.*?) \| (.*?) \| .+ \|$", found[1], re.M)
    return {key: (kind, default) for key, kind, default in rows}


def default_text(field: FieldInfo) -> str:
    """The default as the tables write it."""
    if field.is_required():
        return "required"
    default = field.default
    if default in (None, "", [], {}) or isinstance(default, parts.Spec):
        return NOTHING
    if isinstance(default, timedelta):
        return f"`{format_duration(default)}`"
    if any(getattr(item, "func", None) in (parse_size, parse_bound) for item in field.metadata):
        return f"`{format_size(default)}`"
    return f"`{default if isinstance(default, str) else json.dumps(default)}`"


def bounds_text(field: FieldInfo) -> str | None:
    """The range of a number, where it has two ends."""
    low = [item.ge for item in field.metadata if isinstance(item, annotated_types.Ge)]
    high = [item.le for item in field.metadata if isinstance(item, annotated_types.Le)]
    return f"number, {low[0]}–{high[0]}" if low and high else None


def choices_of(annotation: Any) -> list[str]:
    """The words an enumeration allows."""
    kinds = [annotation, *get_args(annotation)]
    return [
        item.value
        for kind in kinds
        if isinstance(kind, type) and issubclass(kind, StrEnum)
        for item in kind
    ]


@pytest.mark.parametrize("heading", SECTIONS)
def test_the_tables_have_every_key_and_no_other_in_the_models_order(heading: str) -> None:
    assert list(rows_below(heading)) == list(SECTIONS[heading])


@pytest.mark.parametrize("heading", SECTIONS)
def test_the_tables_defaults_are_those_of_the_models(heading: str) -> None:
    written = {key: default for key, (_, default) in rows_below(heading).items()}

    assert written == {key: default_text(field) for key, field in SECTIONS[heading].items()}


@pytest.mark.parametrize("heading", SECTIONS)
def test_the_tables_tell_ranges_and_choices(heading: str) -> None:
    rows = rows_below(heading)

    for key, field in SECTIONS[heading].items():
        kind = rows[key][0]
        assert bounds_text(field) in (None, kind)
        choices = choices_of(field.annotation)
        assert not choices or kind == " · ".join(f"`{choice}`" for choice in choices)


def test_every_model_of_the_manifest_has_a_table() -> None:
    documented = {id(field) for fields in SECTIONS.values() for field in fields.values()}
    inherited = set(spec.TaskDefaults.model_fields)

    models = {
        model
        for module in (parts, spec)
        for model in vars(module).values()
        if isinstance(model, type) and issubclass(model, parts.Spec)
    }
    missing = {
        f"{model.__name__}.{key}"
        for model in models - {spec.Manifest, parts.SecretRef}  # one is not written, one is told
        for key, field in model.model_fields.items()
        if id(field) not in documented and not (model is spec.Task and key in inherited)
    }
    assert missing == set()


EXAMPLES = re.findall(r"^```yaml\n(.*?)^```", REFERENCE.read_text(), re.M | re.S)


@pytest.mark.parametrize("text", EXAMPLES, ids=range(len(EXAMPLES)))
def test_the_examples_are_manifests_without_problems(text: str, tmp_path: Path) -> None:
    loaded = read_manifest(text, str(tmp_path / "jobs.yaml"), {})

    assert loaded.manifest.tasks


def test_every_variable_that_a_command_gets_is_told() -> None:
    attempt = Attempt(
        job_id="k3f9x2mq7pab",
        task_name="backup",
        task=spec.Task(command=["true"]),
        number=1,
        fence="1",
        queue="default",
        worker="w",
        namespace="shop",
        folder=Path("/srv/shop"),
        arguments={},
    )

    told = set(re.findall(r"`(JOBRUNNER_[A-Z_]+)`", REFERENCE.read_text()))

    assert told == {*own_variables(attempt), *marks("w", "o"), *KEPT, "JOBRUNNER_RESULT"}
