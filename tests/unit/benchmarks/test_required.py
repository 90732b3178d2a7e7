"""Which requirements a run of the benchmark has reached."""

import pytest

from benchmarks.catalog import ASYNC, PEERS, SYNC
from benchmarks.required import ANY, Requirement, Spot, judge
from benchmarks.targets import TARGETS
from jobrunner.bench.figures import Figure

FIGURES = (
    Figure(ASYNC, "jobrunner", "no-op", "/s", (900, 1000, 1100)),
    Figure(ASYNC, "taskiq", "no-op", "/s", (100,)),
    Figure(SYNC, "huey", "no-op", "/s", (250,)),
    Figure(SYNC, "bare_sync", "no-op", "/s", (4000,)),
    Figure(ASYNC, "jobrunner", "latency", "ms", (2.0,)),
    Figure(ASYNC, "taskiq", "latency", "ms", (8.0,)),
    Figure(SYNC, "huey", "latency", "ms", (1.0,)),
)
OURS = Spot(ASYNC, "jobrunner", "no-op")
LATENCY = Spot(ASYNC, "jobrunner", "latency")
ALL = (Spot(ASYNC, ANY, "no-op"), Spot(SYNC, ANY, "no-op"))


@pytest.mark.parametrize(
    ("requirement", "value", "is_reached"),
    [
        (Requirement("a peer", OURS, (Spot(ASYNC, "taskiq", "no-op"),), at_least=10), 10, True),
        (Requirement("more", OURS, (Spot(ASYNC, "taskiq", "no-op"),), at_least=11), 10, False),
        (Requirement("best peer, no limits", OURS, ALL, at_least=2), 4, True),
        (
            Requirement("a limit", OURS, (Spot(SYNC, "bare_sync", "no-op"),), at_least=1),
            0.25,
            False,
        ),
        (Requirement("alone", LATENCY, at_most=2), 2, True),
        (
            Requirement(
                "the lowest",
                LATENCY,
                (Spot(ASYNC, ANY, "latency"), Spot(SYNC, ANY, "latency")),
                at_most=1,
            ),
            2,
            False,
        ),
        (
            Requirement("not measured", OURS, (Spot(ASYNC, "arq", "no-op"),), at_least=1),
            None,
            False,
        ),
        (Requirement("ours is not", Spot(SYNC, "jobrunner", "x"), at_most=1), None, False),
    ],
    ids=lambda value: value.what if isinstance(value, Requirement) else "",
)
def test_a_requirement_is_judged_by_medians(
    requirement: Requirement, value: float | None, is_reached: bool
) -> None:
    [verdict] = judge([requirement], FIGURES, ["bare_sync"])

    assert (verdict.value, verdict.is_reached) == (value, is_reached)


def test_the_targets_name_peers_that_exist() -> None:
    known = {(case, peer.name) for peer in PEERS for case in peer.setups}
    spots = {spot for target in TARGETS for spot in (target.ours, *target.others)}

    named = {(spot.part, spot.case) for spot in spots if spot.part in (ASYNC, SYNC)}

    assert {name for name in named if name[1] != ANY} <= known
