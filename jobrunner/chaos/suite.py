"""Performs scenarios: a round is an arena, its faults, its end and its judgement."""

import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from jobrunner.chaos.arena import Arena
from jobrunner.chaos.evidence import Evidence, spans_of
from jobrunner.chaos.invariants import Violation, check
from jobrunner.chaos.scenario import Scenario
from jobrunner.chaos.settling import settle
from jobrunner.chaos.site import Stuck
from jobrunner.errors import JobTimeout, StoreUnavailable
from jobrunner.store.address import StoreAddress

OWN = "scenario"  # the rule of what a scenario saw by itself


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one round came to."""

    scenario: Scenario
    seed: int
    seconds: float
    jobs: int
    attempts: int
    repeats: int  # attempts beyond a job's first
    states: Mapping[str, int]
    reasons: Mapping[str, int]  # of jobs that have one
    faults: Mapping[str, int]
    figures: Mapping[str, Sequence[float]]  # seconds
    violations: Sequence[Violation]
    counts: Mapping[str, int] = field(default_factory=dict)

    @property
    def kills(self) -> int:
        return sum(number for name, number in self.faults.items() if name.startswith("kill-"))


def perform(
    scenario: Scenario, seed: int, seconds: float, address: StoreAddress | None = None
) -> Outcome:
    """Play one round of so many seconds of faults."""
    begun = time.monotonic()
    with Arena(scenario.setting(), seed, seconds, address) as arena:
        try:
            if not scenario.starts_by_itself:
                arena.start()
            scenario.play(arena)
            evidence = settle(arena)
        except (Stuck, StoreUnavailable, JobTimeout) as error:
            violations = [Violation(OWN, scenario.name, str(error))]
            return Outcome(
                scenario, seed, time.monotonic() - begun, 0, 0, 0, {}, {}, {}, {}, violations
            )
        return _outcome(scenario, seed, time.monotonic() - begun, arena, evidence)


def _outcome(
    scenario: Scenario, seed: int, seconds: float, arena: Arena, evidence: Evidence
) -> Outcome:
    by_job = evidence.history.by_job()
    attempts = sum(len(spans_of(effects)) for effects in by_job.values())
    problems = [*arena.notes.problems, *arena.load.problems, *scenario.judge(evidence)]
    return Outcome(
        scenario,
        seed,
        seconds,
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
    )


def perform_all(
    scenarios: Iterable[Scenario],
    seed: int,
    share: float = 1.0,
    address: StoreAddress | None = None,
) -> Iterator[Outcome]:
    """All rounds of all scenarios, one after another. `share` is of the seconds of a full run."""
    for scenario in scenarios:
        for number in range(scenario.rounds):
            yield perform(scenario, seed + number, scenario.seconds * share, address)
