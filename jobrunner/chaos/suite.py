"""Performs scenarios: a round is an arena, its faults, its end and its judgement."""

import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from jobrunner.chaos.arena import Arena
from jobrunner.chaos.evidence import Evidence, spans_of
from jobrunner.chaos.history import read_history
from jobrunner.chaos.invariants import Violation, check
from jobrunner.chaos.scenario import Scenario
from jobrunner.chaos.settling import settle
from jobrunner.chaos.site import Stuck
from jobrunner.errors import JobTimeout, StoreUnavailable
from jobrunner.store.address import StoreAddress
from jobrunner.store.checks import info_fields
from jobrunner.store.requests import Command

OWN = "scenario"  # the rule of what a scenario saw by itself


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one round came to."""

    scenario: Scenario
    seed: int
    asked_s: float  # how long the faults were to go on
    jobs: int
    attempts: int
    repeats: int  # attempts beyond a job's first
    states: Mapping[str, int]
    reasons: Mapping[str, int]  # of jobs that have one
    faults: Mapping[str, int]
    figures: Mapping[str, Sequence[float]]  # seconds
    violations: Sequence[Violation]
    counts: Mapping[str, int] = field(default_factory=dict)
    server: str = ""  # its name and version
    seconds: float = 0.0  # that it took, with start and end
    folder: Path | None = None  # of a round with violations: its history and logs

    @property
    def is_good(self) -> bool:
        return not self.violations and not self.exceeded

    @property
    def exceeded(self) -> list[str]:
        """Figures beyond their bounds, in words."""
        return [
            f"{name}: {max(self.figures[name]):.2f} s, and not {bound:g} s"
            for name, bound in self.scenario.bounds.items()
            if max(self.figures.get(name, ()), default=0.0) > bound
        ]

    @property
    def kills(self) -> int:
        return sum(number for name, number in self.faults.items() if name.startswith("kill-"))


def perform(
    scenario: Scenario, seed: int, seconds: float, address: StoreAddress | None = None
) -> Outcome:
    """Play one round of so many seconds of faults."""
    with Arena(scenario.setting(), seed, seconds, address) as arena:
        begun = time.monotonic()
        try:
            if not scenario.starts_by_itself:
                arena.start()
            scenario.play(arena)
            outcome = _outcome(scenario, seed, arena, settle(arena))
        except (Stuck, StoreUnavailable, JobTimeout) as error:
            outcome = _broken_off(scenario, seed, arena, error)
        arena.is_kept = not outcome.is_good
        return replace(
            outcome,
            seconds=time.monotonic() - begun,
            folder=arena.folder if arena.is_kept else None,
        )


def _broken_off(scenario: Scenario, seed: int, arena: Arena, error: Exception) -> Outcome:
    """It could not be played to its end, or not be judged: that is a violation."""
    faults = Counter(fault.name for fault in read_history(arena.history_path).faults)
    violations = [Violation(OWN, scenario.name, str(error))]
    return Outcome(scenario, seed, arena.seconds, 0, 0, 0, {}, {}, faults, {}, violations)


def _outcome(scenario: Scenario, seed: int, arena: Arena, evidence: Evidence) -> Outcome:
    by_job = evidence.history.by_job()
    attempts = sum(len(spans_of(effects)) for effects in by_job.values())
    problems = [*arena.notes.problems, *arena.load.problems, *scenario.judge(evidence)]
    return Outcome(
        scenario,
        seed,
        arena.seconds,
        jobs=len(evidence.jobs),
        attempts=attempts,
        repeats=attempts - len(by_job),
        states=Counter(str(job.state) for job in evidence.jobs.values()),
        reasons=Counter(str(job.reason) for job in evidence.jobs.values() if job.reason),
        faults=Counter(fault.name for fault in evidence.history.faults),
        figures=dict(arena.notes.figures),
        violations=[
            *check(evidence),
            *(Violation(OWN, scenario.name, problem) for problem in problems),
        ],
        counts=dict(arena.notes.counts),
        server=_server_of(arena),
    )


def _server_of(arena: Arena) -> str:
    told = info_fields(arena.connection.execute(Command(("INFO", "server"))))
    valkey = told.get("valkey_version")
    return f"Valkey {valkey}" if valkey else f"Redis {told['redis_version']}"
