"""Figures from samples: medians, ranges, percentiles. Pure."""

import math
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Sample:
    """One value that one run of a part has measured."""

    case: str  # what was measured, e.g. `no-op async`
    name: str  # what of it, e.g. `rate`
    value: float
    unit: str  # `jobs/s`, `µs/job`, `ms`, `B/job`, `MB`, `%`, `×`, `commands`


@dataclass(frozen=True, slots=True)
class Figure:
    """The samples of all runs that have the same part, case and name."""

    part: str
    case: str
    name: str
    unit: str
    values: tuple[float, ...]  # in the order of the runs

    @property
    def median(self) -> float:
        return statistics.median(self.values)

    @property
    def low(self) -> float:
        return min(self.values)

    @property
    def high(self) -> float:
        return max(self.values)


def figures_of(samples: Iterable[tuple[str, Sample]]) -> list[Figure]:
    """A figure per part, case and name, in the order in which they were first seen."""
    values: dict[tuple[str, str, str, str], list[float]] = {}
    for part, sample in samples:
        key = (part, sample.case, sample.name, sample.unit)
        values.setdefault(key, []).append(sample.value)
    return [Figure(*key, tuple(found)) for key, found in values.items()]


def percentile(values: Sequence[float], share: float) -> float:
    """The smallest value that at least this share (0 to 1) of the values do not exceed."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]


def spread(case: str, seconds: Sequence[float]) -> list[Sample]:
    """p50, p95 and p99 in milliseconds of durations in seconds."""
    return [
        Sample(case, f"p{round(share * 100)}", percentile(seconds, share) * 1000, "ms")
        for share in (0.5, 0.95, 0.99)
    ]


def rate_between(instants_ms: Sequence[float]) -> float:
    """Ends per second after the first instant, up to the last; `instants_ms` is in order.

    What ended at the first instant was done before it, so it does not count.
    """
    first, last = instants_ms[0], instants_ms[-1]
    after = sum(1 for instant in instants_ms if instant > first)
    return after / max(last - first, 1) * 1000
