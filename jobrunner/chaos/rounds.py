"""Rounds side by side, each in a process of its own: most of a round is waiting for processes.

A process ends cleanly by TERM: its daemons are stopped, its namespace is emptied. So it can be
interrupted at any moment, which a thread cannot.
"""

import multiprocessing
import secrets
import signal
import sys
from collections import deque
from collections.abc import Callable, Generator, Iterable
from dataclasses import dataclass, fields, replace
from multiprocessing.connection import Connection, wait

from jobrunner.chaos.catalog import find_scenario
from jobrunner.chaos.invariants import Violation
from jobrunner.chaos.scenario import Scenario
from jobrunner.chaos.suite import OWN, Outcome, perform
from jobrunner.errors import ExitCode
from jobrunner.store.address import StoreAddress


@dataclass(frozen=True, slots=True)
class Round:
    """One round of a scenario, with so many seconds of faults."""

    scenario: Scenario
    seed: int
    seconds: float


def full_rounds(scenarios: Iterable[Scenario], seed: int) -> list[Round]:
    """All rounds of each in full length, the first one with this seed, the next with the next."""
    return [
        Round(scenario, seed + number, scenario.seconds)
        for scenario in scenarios
        for number in range(scenario.rounds)
    ]


def short_rounds(scenarios: Iterable[Scenario], seed: int, seconds: float) -> list[Round]:
    """One of each."""
    return [Round(scenario, seed, seconds) for scenario in scenarios]


def play_rounds(
    rounds: Iterable[Round],
    store: StoreAddress | None,
    side_by_side: int,
    begun: Callable[[Round], None],
) -> Generator[Outcome, None, None]:
    """The outcomes, as rounds end; `begun` is told of each that begins.

    On a `store` each has a namespace of its own. What is measured is measured alone, after all
    others. What still plays when the iteration is given up is ended first.
    """
    rounds = list(rounds)
    yield from _play(
        [each for each in rounds if not each.scenario.bounds], store, side_by_side, begun
    )
    yield from _play([each for each in rounds if each.scenario.bounds], store, 1, begun)


def _play(
    rounds: Iterable[Round],
    store: StoreAddress | None,
    side_by_side: int,
    begun: Callable[[Round], None],
) -> Generator[Outcome, None, None]:
    waiting, playing = deque(rounds), dict[Connection, _Playing]()
    try:
        while waiting or playing:
            while waiting and len(playing) < side_by_side:
                begun(waiting[0])
                started = _Playing(waiting.popleft(), store)
                playing[started.answer] = started
            for answer in wait(list(playing)):
                if isinstance(answer, Connection):
                    yield playing.pop(answer).outcome()
    finally:
        for each in playing.values():
            each.process.terminate()
        for each in playing.values():
            each.process.join()


class _Playing:
    """A round under way. `answer` is readable once it has ended."""

    def __init__(self, each: Round, store: StoreAddress | None) -> None:
        self._round = each
        address = store and replace(store, name=f"chaos-{secrets.token_hex(4)}")
        context = multiprocessing.get_context("spawn")  # nothing of this process is inherited
        self.answer, told = context.Pipe(duplex=False)
        self.process = context.Process(
            target=_perform, args=(each.scenario.name, each.seed, each.seconds, address, told)
        )
        self.process.start()
        told.close()

    def outcome(self) -> Outcome:
        """A process that ended without one has said why, on stderr."""
        try:
            answer = self.answer.recv()
        except EOFError:
            answer = None
        self.answer.close()
        self.process.join()
        each = self._round
        if answer is None:
            what = f"the round's process ended with exit code {self.process.exitcode}"
            violations = [Violation(OWN, each.scenario.name, what)]
            return Outcome(
                each.scenario, each.seed, each.seconds, 0, 0, 0, {}, {}, {}, {}, violations
            )
        return Outcome(each.scenario, *answer)


def _perform(
    name: str, seed: int, seconds: float, address: StoreAddress | None, told: Connection
) -> None:
    """The process of a round. Scenarios are functions, so only their names are sent."""
    signal.signal(signal.SIGINT, _leave_to_parent)
    signal.signal(signal.SIGTERM, _end_once)
    outcome = perform(find_scenario(name), seed, seconds, address)
    told.send([getattr(outcome, each.name) for each in fields(outcome)[1:]])


def _leave_to_parent(*_: object) -> None:
    """A terminal sends Ctrl-C to all of its processes; the parent passes it on, as TERM."""


def _end_once(*_: object) -> None:
    """A second one must not cut off the cleaning up after the first one."""
    signal.signal(signal.SIGTERM, _leave_to_parent)
    sys.exit(ExitCode.INTERRUPTED)
