"""The benchmark on the real thing, short."""

import json

from jobrunner.store.address import StoreAddress
from jobrunner.store.connection import StoreConnection
from jobrunner.store.keys import Keys
from jobrunner.store.requests import Command
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


def test_figures_are_told_per_part_in_the_order_of_the_benchmark(invoke: Invoke) -> None:
    outcome = invoke("bench", "memory", "latency", "--quick", "--jobs", "100", "--json")

    assert (outcome.stderr, outcome.code) == ("", 0)
    figures = json.loads(outcome.stdout)["figures"]
    assert list(dict.fromkeys(each["part"] for each in figures)) == ["latency", "memory"]
    medians = {(each["case"], each["name"]): each["median"] for each in figures}
    assert medians["idle", "p50"] <= medians["idle", "p99"]
    assert medians["idle daemon", "all"] > medians["idle daemon", "worker"] > 0
