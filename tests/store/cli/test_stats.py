"""`jobrunner stats`, as people and programs see it."""

import json
from typing import Any

import pytest

from jobrunner.model import JobState
from tests.store.factories import Store
from tests.unit.cli.conftest import Invoke, Outcome


def rows(outcome: Outcome) -> list[dict[str, Any]]:
    assert (outcome.stderr, outcome.code) == ("", 0)
    found: list[dict[str, Any]] = json.loads(outcome.stdout)
    return found


def test_all_windows_are_told_and_tasks_for_the_hour(invoke: Invoke, declared: Store) -> None:
    declared.finished(task="backup")
    declared.finished(JobState.FAILED)

    found = rows(invoke("stats", "--json"))

    assert [(row["task"], row["window"]) for row in found] == [
        *((None, window) for window in ("1m", "1h", "1d", "all")),
        ("backup", "1h"),
        ("demo", "1h"),
    ]
    assert list(found[0])[:3] == ["task", "window", "since"]
    assert list(found[0])[-3:] == ["rate_per_s", "wait_ms", "duration_ms"]
    assert [found[0][name] for name in ("submitted", "completed", "failed")] == [2, 1, 1]
    assert found[0]["duration_ms"] == {"p50": 5, "p95": 5, "p99": 5}


def test_the_screen_has_a_row_per_window_and_per_task(invoke: Invoke, declared: Store) -> None:
    declared.finished(task="backup")

    shown = invoke("stats").stdout.splitlines()

    first_words = [line.split()[0] if line.split() else "" for line in shown]
    assert first_words == ["WINDOW", "1m", "1h", "1d", "all", "", "By", "TASK", "backup"]


def test_a_task_is_told_in_every_window(invoke: Invoke, declared: Store) -> None:
    declared.finished(task="backup")
    declared.finished(task="demo")

    found = rows(invoke("stats", "backup", "--json"))

    assert [(row["task"], row["window"], row["completed"]) for row in found] == [
        ("backup", window, 1) for window in ("1m", "1h", "1d", "all")
    ]
    assert "all" in invoke("stats", "backup").stdout


def test_a_window_tells_all_tasks(invoke: Invoke, declared: Store) -> None:
    declared.finished(task="backup")

    found = rows(invoke("stats", "--window", "1d", "--json"))

    assert [(row["task"], row["window"]) for row in found] == [(None, "1d"), ("backup", "1d")]


def test_a_declared_task_that_did_nothing_has_zeros(invoke: Invoke, declared: Store) -> None:
    [row] = rows(invoke("stats", "backup", "--window", "1h", "--json"))

    assert (row["submitted"], row["rate_per_s"], row["wait_ms"]["p50"]) == (0, 0.0, None)


def test_an_unknown_task_is_answered_with_the_nearest(invoke: Invoke, declared: Store) -> None:
    outcome = invoke("stats", "backpu")

    assert outcome.code == 3
    assert "error: no task 'backpu'" in outcome.stderr
    assert "did you mean 'backup'?" in outcome.stderr


@pytest.mark.parametrize("what", ["submitted", "cancelled", "skipped", "r12"])
def test_a_task_of_earlier_times_is_known_in_each_window(
    invoke: Invoke, declared: Store, what: str
) -> None:
    second = declared.now_ms() // 1000 - 7200
    declared.command("RPUSH", declared.keys.tally(), f"{second} {what} gone")

    [day] = rows(invoke("stats", "gone", "--window", "1d", "--json"))
    [minute] = rows(invoke("stats", "gone", "--window", "1m", "--json"))

    assert day.get(what, 1) == 1
    assert (minute["task"], minute["submitted"]) == ("gone", 0)


def test_the_sign_of_all_tasks_is_no_task(invoke: Invoke, declared: Store) -> None:
    declared.finished(task="backup")

    outcome = invoke("stats", "*")

    assert (outcome.stdout, outcome.code) == ("", 3)
    assert "error: no task '*'" in outcome.stderr


def test_nothing_done_is_said(invoke: Invoke, store: Store) -> None:
    assert "no task did anything in that time" in invoke("stats").stdout
