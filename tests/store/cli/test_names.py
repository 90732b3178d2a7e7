"""Mistyped names of tasks and crons: every command says so, and briefly."""

import pytest

from jobrunner.store.published import Published, PublishedCron, PublishedTask, publish
from tests.store.factories import Store
from tests.unit.cli.conftest import Invoke

MANY = 10_000


@pytest.fixture
def crowded(store: Store) -> Store:
    """A daemon's namespace with more tasks and crons than anybody reads."""
    tasks = [PublishedTask(f"task{number}", "command") for number in range(MANY)]
    crons = [
        PublishedCron(f"cron{number}", "task1", "0 2 * * *", "daily at 02:00", "UTC")
        for number in range(MANY)
    ]
    published = Published({t.name: t for t in tasks}, {c.name: c for c in crons})
    store.run(publish(store.keys, published))
    return store


@pytest.mark.parametrize(
    ("command", "near"),
    [
        ("trigger cron5x", "cron5"),
        ("pause cron5x", "cron5"),
        ("history task5x", "task5"),
        ("submit task5x", "task5"),
        ("why task5x", "task5"),
    ],
)
def test_a_mistyped_name_does_not_print_all_there_are(
    invoke: Invoke, crowded: Store, command: str, near: str
) -> None:
    outcome = invoke(*command.split())

    assert (outcome.stdout, outcome.code) == ("", 3)
    assert f"did you mean '{near}'?" in outcome.stderr
    assert " more\n" in outcome.stderr
    assert len(outcome.stderr) < 400


@pytest.mark.parametrize(
    "command", ["list --task", "retry --failed --task", "history", "stats", "submit"]
)
def test_a_task_that_does_not_exist_is_not_found(
    invoke: Invoke, declared: Store, command: str
) -> None:
    outcome = invoke(*command.split(), "bakcup")

    assert outcome.stderr.startswith("error: no task 'bakcup'\n")
    assert outcome.stderr.endswith("  fix: did you mean 'backup'?\n")
    assert (outcome.stdout, outcome.code) == ("", 3)


@pytest.mark.parametrize("command", ["list --task", "history", "stats"])
def test_a_declared_task_without_jobs_is_known(
    invoke: Invoke, declared: Store, command: str
) -> None:
    outcome = invoke(*command.split(), "backup")

    assert (outcome.stderr, outcome.code) == ("", 0)


@pytest.mark.parametrize(
    "command",
    ["list --state failed --task", "list --since 2099-01-01 --task", "history", "stats"],
)
def test_a_task_that_left_the_manifest_is_known_by_its_jobs(
    invoke: Invoke, declared: Store, command: str
) -> None:
    declared.submit(task="former")

    outcome = invoke(*command.split(), "former")

    assert (outcome.stderr, outcome.code) == ("", 0)


def test_nothing_to_retry_of_a_known_task_is_no_error(invoke: Invoke, declared: Store) -> None:
    declared.submit(task="former")

    for task in ("backup", "former"):
        outcome = invoke("retry", "--failed", "--task", task)

        assert (outcome.stdout, outcome.stderr, outcome.code) == ("", "no failed jobs\n", 0)
