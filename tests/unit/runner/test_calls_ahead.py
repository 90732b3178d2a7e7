"""Short calls of synchronous functions, of which a host gets several at once."""

import asyncio
import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from jobrunner.clock import SystemClock
from jobrunner.model import Reason
from jobrunner.runner.attempt import Ended, Outcome, Stop, StopReason
from jobrunner.runner.hostpool import HostPool
from jobrunner.runner.hoststart import HostSettings
from jobrunner.runner.leftovers import Ours, find_leftovers
from jobrunner.runner.output import Output
from jobrunner.runner.processes import ProcessRegistry
from jobrunner.runner.tokens import Tokens, TokenTaker
from jobrunner.store.logs import Stream
from tests.unit.runner.conftest import MakeAttempt, MemorySink, eventually

ROOT = Path(__file__).parents[3]
ADD = ("sync_add", {"a": 1})


class Calls:
    """Begins calls in a pool and keeps their outcomes, by job."""

    def __init__(self, pool: HostPool, sink: MemorySink, make_attempt: MakeAttempt) -> None:
        self.outcomes: dict[str, Outcome] = {}
        self.stops: dict[str, Stop] = {}
        self._closing: list[asyncio.Future[None]] = []
        self._pool = pool
        self._sink = sink
        self._make_attempt = make_attempt

    def begin(self, job: str, name: str, arguments: dict[str, Any], **task: Any) -> None:
        task = {"python": f"tests.unit.runner.demo:{name}", "arguments": arguments, **task}
        attempt = msgspec.structs.replace(self._make_attempt(**task), job_id=job)
        output = Output(job, 1, "1", self._sink, SystemClock())
        stop = self.stops[job] = Stop()
        self._pool.begin(attempt, output, stop, lambda end: self._note(job, output, end))

    def _note(self, job: str, output: Output, outcome: Outcome) -> None:
        self.outcomes[job] = outcome
        self._closing.append(asyncio.ensure_future(output.close()))

    async def ended(self, *jobs: str) -> None:
        await eventually(lambda: self.outcomes.keys() >= (set(jobs) or self.stops.keys()))
        await asyncio.gather(*self._closing)

    async def warm_up(self) -> None:
        """Let the hosts import these functions, and learn that they are short."""
        for n in range(100):
            self.begin(f"sleep-{n}", "sync_sleep", {"seconds": 0})
            self.begin(f"survive-{n}", "sync_survive", {"chance": True})
            self.begin(f"warm-{n}", *ADD)
        await self.ended()


@pytest.fixture
def registry() -> ProcessRegistry:
    return ProcessRegistry(f"ahead-test-{os.getpid()}")


@pytest.fixture
def slots() -> int:
    return 1


@pytest.fixture
async def calls(
    registry: ProcessRegistry, slots: int, sink: MemorySink, make_attempt: MakeAttempt
) -> AsyncIterator[Calls]:
    settings = HostSettings(registry, ROOT, dict(os.environ), SystemClock(), lambda *_: None)
    pool = HostPool(settings, slots)
    calls = Calls(pool, sink, make_attempt)
    await calls.warm_up()
    yield calls
    for stop in calls.stops.values():
        stop.set(StopReason.LEASE_LOST)
    await calls.ended()
    await pool.close()


@pytest.mark.anyio
async def test_what_each_of_many_short_calls_prints_is_its_own_output(
    calls: Calls, sink: MemorySink
) -> None:
    for n in range(60):
        calls.begin(f"quiet-{n}", *ADD)
        if n % 3 == 0:
            calls.begin(f"loud-{n}", "sync_say", {"text": f"{n}"})

    await calls.ended()

    for n in range(60):
        said = [f"{n}", f"{n} from C"] if n % 3 == 0 else []
        assert sink.texts(Stream.STDOUT, f"loud-{n}") == said
        assert sink.texts(job_id=f"quiet-{n}") == []


@pytest.mark.anyio
@pytest.mark.parametrize("slots", [2])
async def test_calls_behind_a_long_one_go_to_another_host(calls: Calls) -> None:
    for n in range(40):
        calls.begin(f"before-{n}", *ADD)
    calls.begin("long", "sync_sleep", {"seconds": 1000})
    for n in range(40):
        calls.begin(f"behind-{n}", *ADD)

    await calls.ended(*(f"behind-{n}" for n in range(40)))

    assert "long" not in calls.outcomes


@pytest.mark.anyio
async def test_a_timeout_costs_no_call_before_or_behind_it(calls: Calls) -> None:
    for n in range(20):
        calls.begin(f"before-{n}", *ADD)
    calls.begin("hung", "sync_sleep", {"seconds": 1000}, timeout="0.1s")
    for n in range(20):
        calls.begin(f"behind-{n}", *ADD)

    await calls.ended()

    failed = [job for job, end in calls.outcomes.items() if end.ended is not Ended.COMPLETED]
    assert failed == ["hung"]
    assert calls.outcomes["hung"].reason is Reason.TIMEOUT


@pytest.mark.anyio
async def test_a_crash_loses_the_call_that_was_in_the_host_only(calls: Calls) -> None:
    for n in range(20):
        calls.begin(f"before-{n}", *ADD)
    calls.begin("crash", "sync_survive", {"chance": False})
    for n in range(20):
        calls.begin(f"behind-{n}", *ADD)

    await calls.ended()

    failed = [job for job, end in calls.outcomes.items() if end.ended is not Ended.COMPLETED]
    assert failed == ["crash"]
    assert calls.outcomes["crash"].reason is Reason.LOST


@pytest.mark.anyio
async def test_a_call_that_its_host_has_not_begun_is_cancelled_without_killing_it(
    calls: Calls, registry: ProcessRegistry
) -> None:
    hosts = list(find_leftovers(registry.worker, Ours(registry.owner)))
    calls.begin("first", "sync_sleep", {"seconds": 0.1})
    calls.begin("unwanted", "sync_sleep", {"seconds": 1000})
    for n in range(20):
        calls.begin(f"then-{n}", *ADD)

    await asyncio.sleep(0)  # it is in the host's pipe now, behind another
    calls.stops["unwanted"].set(StopReason.CANCEL)

    await calls.ended()
    ends = {job: end.ended for job, end in calls.outcomes.items()}
    assert ends.pop("unwanted") is Ended.CANCELLED
    assert set(ends.values()) == {Ended.COMPLETED}
    assert list(find_leftovers(registry.worker, Ours(registry.owner))) == hosts


def test_a_token_belongs_to_the_host_or_to_the_worker_never_to_both() -> None:
    tokens = Tokens()
    host = TokenTaker(tokens.read_end)

    tokens.give([1, 2, 3])

    assert host.take(1)
    assert tokens.take_back() == 2
    assert not host.take(2)
    tokens.close()


def test_the_host_passes_over_calls_that_were_taken_back() -> None:
    tokens = Tokens()
    host = TokenTaker(tokens.read_end)
    tokens.give([1, 2])
    tokens.take_back()

    tokens.give([3, 4])

    assert [host.take(number) for number in (1, 2, 3, 4)] == [False, False, True, True]
    tokens.close()
