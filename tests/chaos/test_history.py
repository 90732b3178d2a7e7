"""The file that tells what really happened: what is written is read, in order, and nothing else."""

import subprocess
from pathlib import Path

import pytest

from jobrunner.chaos.history import (
    EVERYBODY,
    NOBODY,
    VARIABLE,
    Effect,
    EffectKind,
    Fault,
    Recorder,
    read_history,
)
from jobrunner.chaos.work import COMMAND


def written(folder: Path, *lines: str) -> Path:
    """A history with these lines."""
    path = folder / "history"
    path.write_text("".join(line + "\n" for line in lines))
    return path


def test_what_recorders_write_is_read_in_the_order_of_the_lines(tmp_path: Path) -> None:
    first, second = Recorder(tmp_path / "history"), Recorder(tmp_path / "history")

    first.effect(EffectKind.START, "a", 1, "7", 100, 10)
    second.asked("cancel", "a")
    second.fault("kill-worker", [10, 11])
    first.effect(EffectKind.END, "a", 1, "7", 100, 10)
    first.close()
    second.close()
    history = read_history(tmp_path / "history")

    assert history.effects == [
        Effect(0, EffectKind.START, "a", 1, 7, 100, 10),
        Effect(3, EffectKind.END, "a", 1, 7, 100, 10),
    ]
    assert history.asked == {("cancel", "a"): [1]}
    assert history.faults == [Fault("kill-worker", 2, None, frozenset({10, 11}))]


def test_a_command_writes_the_same_lines_as_a_function(tmp_path: Path) -> None:
    path = tmp_path / "history"
    names = {"JOBRUNNER_JOB_ID": "a", "JOBRUNNER_ATTEMPT": "2", "JOBRUNNER_FENCE": "9"}

    environ = {**names, "MS": "50", VARIABLE: str(path)}
    subprocess.run(["/bin/sh", "-euc", COMMAND], env=environ, check=True)
    effects = read_history(path).effects

    assert [effect.kind for effect in effects] == ["start", "beat", "end"]
    assert {(effect.job, effect.attempt, effect.fence) for effect in effects} == {("a", 2, 9)}


def test_a_lasting_fault_reaches_from_its_begin_to_its_over(tmp_path: Path) -> None:
    path = written(tmp_path, "begin stop 10", "start a 1 1 100 10", "over stop -")

    [fault] = read_history(path).faults

    assert fault == Fault("stop", 0, 2, frozenset({10}))


def test_a_lasting_fault_that_is_never_over_has_no_end(tmp_path: Path) -> None:
    path = written(tmp_path, "begin stop 10", "start a 1 1 100 10")

    [fault] = read_history(path).faults

    assert fault.until is None
    assert fault.excuses([10], since=5, until=9)


def test_a_lasting_fault_may_come_twice(tmp_path: Path) -> None:
    path = written(tmp_path, "begin stop 1", "over stop -", "begin stop 2", "over stop -")

    assert [(fault.place, fault.until) for fault in read_history(path).faults] == [(0, 1), (2, 3)]


@pytest.mark.parametrize(
    ("fault", "excuses"),
    [
        ("kill 10", True),
        ("kill 9,10", True),
        ("kill 11", False),
        (f"kill {NOBODY}", False),
        (f"kill {EVERYBODY}", True),
    ],
)
def test_a_fault_excuses_those_whom_it_names(tmp_path: Path, fault: str, excuses: bool) -> None:
    [found] = read_history(written(tmp_path, f"fault {fault}")).faults

    assert found.excuses([10, 100], since=0, until=0) is excuses


@pytest.mark.parametrize(
    ("since", "until", "excuses"),
    [(0, 1, False), (0, 2, True), (3, 3, True), (4, 9, True), (5, 9, False)],
)
def test_a_fault_excuses_what_it_overlaps(since: int, until: int, excuses: bool) -> None:
    fault = Fault("stop", 2, 4, None)

    assert fault.excuses([10], since, until) is excuses


def test_what_never_went_on_is_excused_by_any_later_fault() -> None:
    fault = Fault("kill", 5, 5, frozenset({10}))

    assert fault.excuses([10], since=1, until=None)
    assert not fault.excuses([10], since=6, until=None)


@pytest.mark.parametrize(
    "line",
    [
        "start a 1 1 10",  # torn
        "start a 1 1 100 ten",
        "sta",
        "",
        "explode everything",
        "fault kill",
        "begin",
        "asked cancel",
        "over stop -",  # never begun
        "over",
    ],
)
def test_a_line_that_nobody_can_have_written_is_refused(tmp_path: Path, line: str) -> None:
    path = written(tmp_path, "start a 1 1 100 10", line)

    with pytest.raises(ValueError, match="line 2 of the history"):
        read_history(path)
