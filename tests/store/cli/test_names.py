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
