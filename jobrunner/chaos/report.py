"""What a run of the suite came to: a row per scenario, what was measured, what was broken. Pure."""

import os
import platform
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from jobrunner import __version__
from jobrunner.chaos.scenario import Scenario
from jobrunner.chaos.suite import Outcome
from jobrunner.clock import rfc3339


@dataclass(frozen=True, slots=True)
class Row:
    """The rounds of one scenario together, or of all of them."""

    name: str
    rounds: int
    jobs: int
    attempts: int
    repeats: int
    kills: int
    other_faults: int
    violations: int  # with figures beyond their bounds


@dataclass(frozen=True, slots=True)
class Figure:
    """What a scenario measured, in seconds. `bound` is None where nothing is promised."""

    scenario: str
    name: str
    times: int
    median: float
    longest: float
    bound: float | None


@dataclass(frozen=True, slots=True)
class Break:
    """A promise that was broken, and how to see it again."""

    scenario: str
    seed: int
    what: str
    repeat: str  # a command
    folder: str  # history and logs of the round


@dataclass(frozen=True, slots=True)
class Report:
    """Of one run: `seconds` is how long it took, `begun_at` is aware.

    `options` are those of `jobrunner chaos` that repeat a round on the same kind of store.
    """

    outcomes: Sequence[Outcome]
    seed: int
    begun_at: datetime
    seconds: float
    options: str

    @property
    def is_good(self) -> bool:
        return all(outcome.is_good for outcome in self.outcomes)

    def rows(self) -> list[Row]:
        """In the order in which the scenarios came."""
        return [_row(scenario.name, outcomes) for scenario, outcomes in self._by_scenario()]

    def total(self) -> Row:
        return _row("all", self.outcomes)

    def figures(self) -> list[Figure]:
        return [
            _figure(
                scenario, name, [each for one in outcomes for each in one.figures.get(name, ())]
            )
            for scenario, outcomes in self._by_scenario()
            for name in dict.fromkeys(name for one in outcomes for name in one.figures)
        ]

    def breaks(self) -> list[Break]:
        return [
            Break(
                outcome.scenario.name,
                outcome.seed,
                what,
                _repeat(outcome, self.options),
                str(outcome.folder or ""),
            )
            for outcome in self.outcomes
            for what in (*map(str, outcome.violations), *outcome.exceeded)
        ]

    def versions(self) -> dict[str, str]:
        """Of all that took part."""
        servers = dict.fromkeys(outcome.server for outcome in self.outcomes if outcome.server)
        return {
            "jobrunner": __version__,
            "python": platform.python_version(),
            "server": ", ".join(servers),
            "kernel": f"{platform.system()} {platform.release()}",
            "cpus": str(os.cpu_count()),
        }

    def _by_scenario(self) -> list[tuple[Scenario, list[Outcome]]]:
        found: dict[str, list[Outcome]] = {}
        for outcome in self.outcomes:
            found.setdefault(outcome.scenario.name, []).append(outcome)
        return [(outcomes[0].scenario, outcomes) for outcomes in found.values()]


def _row(name: str, outcomes: Sequence[Outcome]) -> Row:
    def total(number: Callable[[Outcome], int]) -> int:
        return sum(map(number, outcomes))

    kills = total(lambda outcome: outcome.kills)
    return Row(
        name,
        rounds=len(outcomes),
        jobs=total(lambda outcome: outcome.jobs),
        attempts=total(lambda outcome: outcome.attempts),
        repeats=total(lambda outcome: outcome.repeats),
        kills=kills,
        other_faults=total(lambda outcome: sum(outcome.faults.values())) - kills,
        violations=total(lambda outcome: len(outcome.violations) + len(outcome.exceeded)),
    )


def _figure(scenario: Scenario, name: str, seconds: Sequence[float]) -> Figure:
    bound = scenario.bounds.get(name)
    return Figure(
        scenario.name, name, len(seconds), statistics.median(seconds), max(seconds), bound
    )


def _repeat(outcome: Outcome, options: str) -> str:
    own = f"--only {outcome.scenario.name} --seed {outcome.seed} --seconds {outcome.asked_s:g}"
    return f"jobrunner chaos {own} {options}".rstrip()


def report_json(report: Report) -> dict[str, Any]:
    """As docs/json.md promises it."""
    return {
        "is_good": report.is_good,
        "seed": report.seed,
        "begun_at": rfc3339(report.begun_at),
        "duration_ms": int(report.seconds * 1000),
        "versions": report.versions(),
        "total": _row_json(report.total()),
        "scenarios": [_row_json(row) for row in report.rows()],
        "figures": [_figure_json(figure) for figure in report.figures()],
        "violations": [
            {
                "scenario": each.scenario,
                "seed": each.seed,
                "what": each.what,
                "repeat": each.repeat,
                "folder": each.folder or None,
            }
            for each in report.breaks()
        ],
    }


def _row_json(row: Row) -> dict[str, Any]:
    return {
        "name": row.name,
        "rounds": row.rounds,
        "jobs": row.jobs,
        "attempts": row.attempts,
        "repeats": row.repeats,
        "kills": row.kills,
        "other_faults": row.other_faults,
        "violations": row.violations,
    }


def _figure_json(figure: Figure) -> dict[str, Any]:
    return {
        "scenario": figure.scenario,
        "name": figure.name,
        "times": figure.times,
        "median_ms": int(figure.median * 1000),
        "longest_ms": int(figure.longest * 1000),
        "bound_ms": None if figure.bound is None else int(figure.bound * 1000),
    }
