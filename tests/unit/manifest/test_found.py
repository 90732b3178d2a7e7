"""Functions of imported modules, taken up into the manifest."""

from dataclasses import replace
from typing import Any

import pytest

from jobrunner.errors import Location, ManifestError, Problem
from jobrunner.manifest.found import FoundTask
from jobrunner.manifest.load import LoadedManifest, with_found_tasks
from jobrunner.manifest.spec import Manifest
from jobrunner.params import ParamSpec, ParamType
from tests.unit.manifest.reading import read

HERE = Location("/srv/shop/shop/jobs.py", 7, 1)
RESIZE = FoundTask(
    "resize",
    "shop.jobs:resize",
    is_async=True,
    params=[
        ParamSpec("path"),
        ParamSpec("width", ParamType.INTEGER, default=200, required=False),
    ],
    description="Resize one image.",
    options={"retry": {"attempts": 5, "delay": "1s"}, "lock_ttl": 120},
    where=HERE,
)


def merged(text: str, *found: FoundTask) -> LoadedManifest:
    return with_found_tasks(read(f"imports: [shop.jobs]\n{text}"), found)


def problems(text: str, *found: FoundTask) -> list[Problem]:
    with pytest.raises(ManifestError) as caught:
        merged(text, *found)
    return caught.value.problems


def with_crons(*crons: dict[str, Any]) -> FoundTask:
    return replace(RESIZE, params=[], crons=list(crons))


def test_a_found_function_becomes_a_task() -> None:
    loaded = merged("defaults: {queue: web, retry: {attempts: 2, max_delay: 1m}}", RESIZE)

    task = loaded.manifest.tasks["resize"]
    assert (task.python, task.description) == ("shop.jobs:resize", "Resize one image.")
    assert (task.queue, task.retry.attempts) == ("web", 5)
    assert task.retry.max_delay.total_seconds() == 60
    assert task.param_specs() == RESIZE.params
    assert task.lock is not None
    assert loaded.manifest.is_async("resize") is True
    assert loaded.locate(("tasks", "resize", "timeout")) == HERE


def test_what_was_found_survives_json() -> None:
    manifest = merged("", RESIZE).manifest

    assert Manifest.model_validate_json(manifest.model_dump_json()) == manifest


def test_the_manifest_wins_over_the_functions_options() -> None:
    manifest = merged(
        """
tasks:
  resize:
    timeout: 5m
    retry: {delay: 9s}
    lock: {name: images, ttl: 1m}
    params: {width: {type: integer, default: 100}}
""",
        RESIZE,
    ).manifest

    task = manifest.tasks["resize"]
    assert task.python == "shop.jobs:resize"
    assert (task.retry.attempts, task.retry.delay.total_seconds()) == (5, 9)
    assert task.lock is not None
    assert task.lock.name == "images"
    assert [spec.default for spec in task.param_specs()] == [None, 100]


def test_a_function_goes_by_the_name_the_manifest_gives_it() -> None:
    found = with_crons({"name": "resize", "cron": "@daily"})

    manifest = merged("tasks: {thumbs: {python: 'shop.jobs:resize', queue: web}}", found).manifest

    assert list(manifest.tasks) == ["thumbs"]
    assert manifest.is_async("thumbs") is True
    assert manifest.crons["resize"].task == "thumbs"


def test_crons_of_functions_are_added() -> None:
    loaded = merged("", with_crons({"cron": "@daily", "jitter": 5}, {"name": "b", "cron": "x"}))

    assert list(loaded.manifest.crons) == ["resize", "b"]
    assert loaded.manifest.crons["resize"].task == "resize"
    assert loaded.locate(("crons", "b", "cron")) == HERE


@pytest.mark.parametrize(
    "text",
    [
        "crons: {resize: {task: resize, every: 5m}}",
        "tasks: {resize: {cron: '*/5 * * * *'}}",
    ],
)
def test_the_manifests_cron_replaces_the_functions(text: str) -> None:
    manifest = merged(text, with_crons({"cron": "@daily"})).manifest

    assert manifest.crons["resize"].cron != "@daily"


def test_crons_of_the_manifest_may_ask_for_found_tasks() -> None:
    text = "crons: {c: {task: resize, every: 5m, params: {path: x}}}"

    assert merged(text, RESIZE).manifest.crons["c"].task == "resize"


def test_a_task_that_was_not_found_is_a_problem_now() -> None:
    text = "tasks: {a: {timeout: 5s}}\ncrons: {c: {task: resise, every: 5m}}"

    first, second = problems(text, RESIZE)

    assert first.what == "task 'a' has nothing to do"
    assert second.what == "cron 'c' asks for task 'resise', which does not exist"
    assert second.fix == "write 'resize'"


def test_a_queue_of_a_found_task_counts_as_used() -> None:
    found = replace(RESIZE, options={"queue": "images"})

    manifest = merged("workers: {queues: [images]}", found).manifest

    assert manifest.queue_names() == ["default", "images"]


def test_arguments_of_a_cron_must_fit_the_function() -> None:
    text = "crons: {c: {task: resize, every: 5m, params: {width: wide}}}"

    (problem,) = problems(text, RESIZE)

    assert problem.what == (
        "cron 'c': parameter 'path' of task 'resize' is missing; "
        "parameter 'width' of task 'resize' must be a whole number, not 'wide'"
    )


def test_a_wrong_option_is_a_problem_at_the_function() -> None:
    found = replace(RESIZE, options={"timeout": "soon", "retry": {"atempts": 5}})

    problem, other = problems("", found)

    assert problem.where == other.where == HERE
    assert problem.what == "'timeout' of task 'resize' cannot be used: 'soon' is not a duration"
    assert other.fix == "rename it to 'attempts'"


def test_a_name_taken_by_a_command_is_a_problem_at_the_function() -> None:
    (problem,) = problems("tasks: {resize: {command: x}}", RESIZE)

    assert problem.where == HERE
    assert problem.what == ("task 'resize' is declared twice: as a command and as shop.jobs:resize")
    assert problem.why == "the command is declared at /srv/shop/jobs.yaml:2:9"


def test_two_crons_of_one_name_are_a_problem() -> None:
    (problem,) = problems("", with_crons({"cron": "@daily"}, {"cron": "@hourly"}))

    assert problem.what == "cron 'resize' is declared twice"


def test_a_function_without_a_place_is_located_at_the_imports() -> None:
    (problem,) = problems("", replace(RESIZE, where=None, options={"timeout": "soon"}))

    assert str(problem.where) == "/srv/shop/jobs.yaml:1:1"


def test_a_placeholder_may_name_a_parameter_of_the_function() -> None:
    text = "tasks: {resize: {lock: {name: 'img-{path}'}}}"

    assert merged(text, RESIZE).manifest.tasks["resize"].lock is not None
    assert problems(text.replace("path", "pth"), RESIZE)[0].fix == "write {path}"
