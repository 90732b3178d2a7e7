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
