"""The ratios that jobrunner must reach, and whether it does. Pure."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from jobrunner.bench.figures import Figure

ANY = "*"  # every peer: neither jobrunner nor a bare loop
JOBRUNNER = "jobrunner"


@dataclass(frozen=True, slots=True)
class Spot:
    """Where a figure is: the part of the benchmark, the case or peer, the name."""

    part: str
    case: str
    name: str


@dataclass(frozen=True, slots=True)
class Requirement:
    """`ours`, by itself or as a ratio to the best of `others`, is at least or at most so much."""

    what: str
    ours: Spot
    others: tuple[Spot, ...] = ()
    at_least: float | None = None
    at_most: float | None = None


@dataclass(frozen=True, slots=True)
class Verdict:
    """`value` is None when a figure that it needs was not measured."""

    requirement: Requirement
    value: float | None

    @property
    def is_reached(self) -> bool:
        least, most = self.requirement.at_least, self.requirement.at_most
        return (
            self.value is not None
            and (least is None or self.value >= least)
            and (most is None or self.value <= most)
        )


def judge(
    requirements: Sequence[Requirement], figures: Sequence[Figure], limits: Collection[str]
) -> list[Verdict]:
    """A verdict per requirement, by medians. `limits` are the cases that are no peers."""
    medians = {Spot(each.part, each.case, each.name): each.median for each in figures}
    return [Verdict(each, _value(each, medians, limits)) for each in requirements]


def _value(
    requirement: Requirement, medians: Mapping[Spot, float], limits: Collection[str]
) -> float | None:
    ours = medians.get(requirement.ours)
    if ours is None or not requirement.others:
        return ours
    found = [
        median
        for spot, median in medians.items()
        if any(_fits(spot, other, limits) for other in requirement.others)
    ]
    if not found:
        return None
    best = max(found) if requirement.at_least is not None else min(found)
    return ours / best if best else None


def _fits(spot: Spot, wanted: Spot, limits: Collection[str]) -> bool:
    if wanted.case == ANY:
        is_peer = spot.case != JOBRUNNER and spot.case not in limits
        return is_peer and (spot.part, spot.name) == (wanted.part, wanted.name)
    return spot == wanted
