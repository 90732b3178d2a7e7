"""The benchmark on the real thing, short."""

import json
import os
import time

import pytest

from benchmarks.targets import TARGETS
from jobrunner.bench import network
from jobrunner.bench.distance import Distance
from jobrunner.bench.extent import Extent
from jobrunner.bench.promotion import measure_promotion
from jobrunner.bench.stage import Stage
from jobrunner.bench.suite import PARTS
from jobrunner.store.address import StoreAddress
from jobrunner.store.connection import StoreConnection
from jobrunner.store.keys import Keys
from jobrunner.store.requests import Command, Pipeline
from tests.daemon.harness import ExternalServer
from tests.unit.cli.conftest import Invoke, invoke

__all__ = ["invoke"]

EACH_WAY_S = 0.005


def test_throughput_is_measured_on_a_given_store_which_is_left_empty(
    invoke: Invoke, server: ExternalServer
) -> None:
    outcome = invoke(
        "bench", "throughput", "--quick", "--jobs", "300", "--json", "--url", server.url
    )

    assert (outcome.stderr, outcome.code) == ("", 0)
    figures = json.loads(outcome.stdout)["figures"]
    rates = {each["case"]: each["median"] for each in figures if each["name"] == "rate"}
    assert list(rates) == ["no-op async", "no-op sync", "command true"]
    assert all(rate > 0 for rate in rates.values())
    with StoreConnection(StoreAddress("", url=server.url)) as connection:
        assert connection.execute(Command(("KEYS", Keys("*").all()))) == []


def test_a_store_further_away_gives_the_same_answers_in_order(server: ExternalServer) -> None:
    long = b"x" * 3_000_000
    echoes = Pipeline([Command(("ECHO", text)) for text in (b"1", long, b"2")])

    with (
        Distance(StoreAddress("", url=server.url), EACH_WAY_S) as distance,
        StoreConnection(StoreAddress("", url=distance.url)) as one,
        StoreConnection(StoreAddress("", url=distance.url)) as other,
    ):
        replies = one.execute(echoes)
        one.close()
        asked_at = time.monotonic()
        pong = other.execute(Command(("PING",)))
        answered_at = time.monotonic()

    assert replies == [b"1", long, b"2"]
    assert pong == b"PONG"
    assert answered_at - asked_at >= 2 * EACH_WAY_S


def test_due_jobs_are_promoted_while_other_work_goes_on(server: ExternalServer) -> None:
    own = list(measure_promotion(Extent(jobs=20)))
    given = list(measure_promotion(Extent(jobs=20, url=server.url)))

    names = ["promoted", "other submits, p99", "other jobs, p99"]
    slow = ["longest store command", "store commands above 10 ms"]
    assert {sample.case for sample in (*own, *given)} == {"1,000 due"}
    assert [sample.name for sample in own] == names + slow
    # Its settings are not ours to change.
    assert [sample.name for sample in given] == names
    assert all(sample.value > 0 for sample in (*own[:-1], *given))


def test_the_rate_is_measured_near_the_store_and_far_from_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    stages: list[tuple[int, float | None]] = []

    def noted(url: None, *, processes: int, further_s: float | None) -> Stage:
        stages.append((processes, further_s))
        return Stage(url, processes=processes, further_s=further_s)

    monkeypatch.setattr(network, "Stage", noted)

    samples = list(network.measure_network(Extent(jobs=200)))

    many = os.cpu_count()
    assert dict(zip((sample.case for sample in samples), stages, strict=True)) == {
        "as near as it is": (1, None),
        "0 ms longer": (1, 0),
        "1 ms longer": (1, 0.0005),
        "2 ms longer": (1, 0.001),
        "0 ms longer, a process per processor": (many, 0),
        "1 ms longer, a process per processor": (many, 0.0005),
        "2 ms longer, a process per processor": (many, 0.001),
    }


@pytest.mark.parametrize("part", ["submit", "depth", "fires", "recovery", "cli"])
def test_a_part_measures_what_the_targets_ask_for(part: str) -> None:
    samples = list(PARTS[part](Extent(jobs=200, is_quick=True)))

    assert all(sample.value > 0 for sample in samples)
    spots = {spot for target in TARGETS for spot in (target.ours, *target.others)}
    # A quick run has smaller cases of these.
    by_name = part in ("depth", "fires")
    wanted = {("" if by_name else spot.case, spot.name) for spot in spots if spot.part == part}
    assert wanted
    assert wanted <= {("" if by_name else sample.case, sample.name) for sample in samples}


def test_figures_are_told_per_part_in_the_order_of_the_benchmark(invoke: Invoke) -> None:
    outcome = invoke("bench", "memory", "latency", "--quick", "--jobs", "100", "--json")

    assert (outcome.stderr, outcome.code) == ("", 0)
    figures = json.loads(outcome.stdout)["figures"]
    assert list(dict.fromkeys(each["part"] for each in figures)) == ["latency", "memory"]
    medians = {(each["case"], each["name"]): each["median"] for each in figures}
    assert medians["idle", "p50"] <= medians["idle", "p99"]
    assert medians["idle daemon", "all"] > medians["idle daemon", "worker"] > 0
    parts = [f"{whose} processor" for whose in ("daemon's", "server's")]
    used = sum(medians["idle daemon", name] for name in parts)
    assert medians["idle daemon", "processor of all"] == pytest.approx(used)
