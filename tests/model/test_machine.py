"""The scripts against the model, under random interleavings. See docs/guarantees.md."""

import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from jobrunner.store.address import StoreAddress
from jobrunner.store.connection import StoreConnection
from jobrunner.store.keys import Keys
from jobrunner.store.scripts import script_names
from jobrunner.store.subscription import BlockingSubscription
from tests.model.clocked import ClockedStore
from tests.model.driver import END_CHANNEL, START_MS, Driver
from tests.model.machine import StoreMachine
from tests.model.scripts import CHECKS

NAME = "model"


@dataclass(frozen=True, slots=True)
class Bench:
    """A connection to the server for all examples, and what they have seen."""

    store: ClockedStore
    messages: BlockingSubscription
    seen: Counter[tuple[str, str]] = field(default_factory=Counter)

    def new_driver(self) -> Driver:
        self.store.reset(START_MS)
        return Driver(self.store, self.seen, self.messages)


@pytest.fixture(scope="module")
def bench(store_socket: str) -> Iterator[Bench]:
    address, keys = StoreAddress(NAME, socket=store_socket), Keys(NAME)
    channels = [keys.wake_channel(), keys.client_channel("c1"), keys.client_channel("c2")]
    messages = BlockingSubscription(address, [*channels, END_CHANNEL])
    messages.connect()
    with StoreConnection(address) as connection:
        yield Bench(ClockedStore(keys, connection), messages)
    messages.close()


def profile() -> settings:
    """By $MODEL_EXAMPLES: so many random examples; without it, a few that are always the same.

    With $MODEL_FAST a failure is reported as it was found: for who only asks whether there is one.
    """
    examples = os.environ.get("MODEL_EXAMPLES")
    phases = [Phase.generate] if "MODEL_FAST" in os.environ else [Phase.generate, Phase.shrink]
    return settings(
        max_examples=int(examples or 100),
        stateful_step_count=50,
        derandomize=examples is None,
        deadline=None,
        database=None,
        phases=phases,
        print_blob=False,
        report_multiple_bugs=False,
        suppress_health_check=list(HealthCheck),
    )


# The fences, which any run must try.
FENCES = {"finish": {"refused"}, "requeue": {"stale"}, "start": {"stale"}}
# All replies that refuse, or send the caller another way: a short run does not meet each of them.
REFUSALS = FENCES | {
    "claim": {"buried"},
    "delete": {"gone", "queued", "running"},
    "fire": {"changed", "handled", "paused"},
    "fold": {"0"},
    "park": {"cancelling", "stale"},
    "progress": {"0"},
    "promote": {"idle", "upstream", "waiting"},
    "refuse": {"0"},
    "renew": {"buried", "lock lost"},
    "requeue": {"cancelling", "stale"},
    "resume": {"0"},
    "retry": {"unreadable"},
    "settle": {"claimed", "terminal"},
    "start": {"blocked", "cancelled", "locked", "stale"},
    "submit": {"no_upstream", "repeated"},
}
MANY = 1000  # examples
# What no job's way depends on: they have tests of their own.
UNDRIVEN = {"clean", "drain", "foresee", "full", "publish", "rewind", "set_aside"}
# A short run parks no job that is still parked when its worker comes, and none of an unknown task.
SELDOM = {"since_return", "unpark"}


def test_the_scripts_do_what_the_model_says(bench: Bench) -> None:
    machine = type("Machine", (StoreMachine,), {"make_driver": bench.new_driver})

    run_state_machine_as_test(machine, settings=profile())

    print("\n".join(f"{name:15} {what:12} {n:7}" for (name, what), n in sorted(bench.seen.items())))
    is_long = profile().max_examples >= MANY
    left_out = {*CHECKS, *UNDRIVEN, *(() if is_long else SELDOM)}
    assert {name for name, _ in bench.seen} >= set(script_names()) - left_out
    wanted = REFUSALS if is_long else FENCES
    missing = [
        f"{name}: {what}"
        for name, labels in wanted.items()
        for what in labels
        if not bench.seen[name, what]
    ]
    assert missing == []
