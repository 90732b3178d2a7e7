"""The rotation of the benchmark's rows, and what becomes of one that fails."""

import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from benchmarks.catalog import PEERS
from benchmarks.environments import PINS
from benchmarks.failure import PeerFailed
from benchmarks.overviews import OVERVIEWS
from benchmarks.suite import ONCE, Plan, Row, measure_rows, rows_of
from benchmarks.targets import TARGETS
from benchmarks.trial import Amount
from jobrunner.bench.extent import Extent
from jobrunner.bench.figures import Sample
from jobrunner.errors import JobrunnerError

PLAN = Plan(Amount(), 10, Extent(), 3, Path("cache"))


def measured() -> Iterator[Sample]:
    yield Sample("a case", "rate", 1.0, "/s")


def failing(failure: Exception) -> Callable[[], Iterator[Sample]]:
    def measure() -> Iterator[Sample]:
        yield from measured()
        raise failure

    return measure


def ignore(_: str) -> None:
    """Progress that nobody looks at."""


def test_each_row_is_measured_so_often_but_long_ones_once() -> None:
    rows = [Row("often", "peer", measured), Row("once", "peer", measured, is_repeated=False)]

    results = measure_rows(rows, 3, ignore)

    assert [(each.part, len(each.values)) for each in results.figures] == [
        ("often", 3),
        ("once", 1),
    ]


@pytest.mark.parametrize(
    ("failure", "why"),
    [
        (PeerFailed("it said\nnothing"), "failed: it said nothing"),
        (JobrunnerError("it is wrong", why="it was lost"), "failed: it is wrong: it was lost"),
        (KeyError(), "failed: KeyError"),
    ],
)
def test_a_row_that_fails_costs_no_others_and_is_tried_no_more(
    failure: Exception, why: str
) -> None:
    rows = [Row("bad", "peer", failing(failure)), Row("good", "peer", measured)]
    told: list[str] = []

    results = measure_rows(rows, 2, told.append)

    assert [(each.part, len(each.values)) for each in results.figures] == [("good", 2)]
    assert results.failures == {("bad", "peer"): why}
    assert sum("peer, bad" in text for text in told) == 1


def test_what_takes_minutes_is_measured_once() -> None:
    assert {row.part for row in rows_of((), PLAN) if not row.is_repeated} == set(ONCE)


def test_only_the_rows_that_were_asked_for_are_measured() -> None:
    rows = rows_of(["taskiq", "rq info"], PLAN)

    assert {(row.part, row.name) for row in rows} == {
        ("async", "taskiq"),
        ("sync", "taskiq"),
        ("overview", "rq info"),
    }


def test_jobs_in_bulk_come_in_portions_that_all_peers_can_submit() -> None:
    assert [peer.name for peer in PEERS if peer.jobs % 1000] == []


def test_every_peer_has_an_environment() -> None:
    needed = {peer.environment for peer in PEERS} | {each.peer for each in OVERVIEWS.values()}

    assert needed - {""} == set(tomllib.loads(PINS.read_text()))


def test_every_target_is_of_a_part_that_is_measured() -> None:
    parts = {row.part for row in rows_of((), PLAN)}

    spots = [spot for target in TARGETS for spot in (target.ours, *target.others)]

    assert {spot.part for spot in spots} <= parts
