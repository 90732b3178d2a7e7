"""The benchmark on the real thing, short."""

import json

from jobrunner.bench.distance import Distance
from jobrunner.bench.extent import Extent
from jobrunner.bench.network import measure_network
from jobrunner.bench.promotion import measure_promotion
from jobrunner.store.address import StoreAddress
from jobrunner.store.connection import StoreConnection
from jobrunner.store.keys import Keys
from jobrunner.store.requests import Command, Pipeline
from tests.daemon.harness import ExternalServer
from tests.unit.cli.conftest import Invoke, invoke

__all__ = ["invoke"]


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
        Distance(StoreAddress("", url=server.url), 0.001) as distance,
        StoreConnection(StoreAddress("", url=distance.url)) as one,
        StoreConnection(StoreAddress("", url=distance.url)) as other,
    ):
        replies = one.execute(echoes)
        one.close()
        pong = other.execute(Command(("PING",)))

    assert replies == [b"1", long, b"2"]
    assert pong == b"PONG"


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


def test_the_rate_is_measured_near_the_store_and_far_from_it() -> None:
    samples = list(measure_network(Extent(jobs=200)))

    assert [sample.case for sample in samples] == [
        "as near as it is",
        "0 ms longer",
        "1 ms longer",
        "2 ms longer",
        "0 ms longer, a process per processor",
        "1 ms longer, a process per processor",
        "2 ms longer, a process per processor",
    ]


def test_figures_are_told_per_part_in_the_order_of_the_benchmark(invoke: Invoke) -> None:
    outcome = invoke("bench", "memory", "latency", "--quick", "--jobs", "100", "--json")

    assert (outcome.stderr, outcome.code) == ("", 0)
    figures = json.loads(outcome.stdout)["figures"]
    assert list(dict.fromkeys(each["part"] for each in figures)) == ["latency", "memory"]
    medians = {(each["case"], each["name"]): each["median"] for each in figures}
    assert medians["idle", "p50"] <= medians["idle", "p99"]
    assert medians["idle daemon", "all"] > medians["idle daemon", "worker"] > 0
