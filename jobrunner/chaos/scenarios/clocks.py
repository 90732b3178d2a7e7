"""Clocks that are set, and a machine that sleeps."""

import time
from collections.abc import Callable

from jobrunner.chaos.arena import Arena, Setting
from jobrunner.chaos.clocks import Clocks
from jobrunner.chaos.faults import Faults
from jobrunner.chaos.load import Habits
from jobrunner.chaos.scenario import Scenario
from jobrunner.chaos.tasks import Declaration, every_second, usual_tasks

HOUR_S = 3600
# Delays and retries are due at an instant of the store's clock: with that set back by an hour
# they wait for an hour, as they must, and longer than a round.
CALM = Habits(clients=2, per_s=30, bulks=0.02, delayed=0)
LEASE_S = 3.0
SEEN_S = 1.5  # a step there and back between two looks of a rescuer would be seen by nobody
SET_BACK_S = 2.0  # the true time again, for so long before the round ends


def _play(arena: Arena, change: Callable[[Clocks, int], None]) -> None:
    clocks = Clocks(arena)
    arena.start()
    for _ in arena.moments(per_s=0.7):
        change(clocks, arena.rng.choice([-HOUR_S, 0, HOUR_S, 7, -7]))
        time.sleep(SEEN_S)
    change(clocks, 0)
    time.sleep(SET_BACK_S)


def step_all_clocks(arena: Arena) -> None:
    """The machine's clock is set an hour forward or back, or some seconds."""
    _play(arena, Clocks.set)


def step_the_servers_clock(arena: Arena) -> None:
    """Only the store's clock is set: it is on another machine."""
    _play(arena, Clocks.set_server)


def sleep_for_an_hour(arena: Arena) -> None:
    """Everything stops, an hour goes by on the clock, everything goes on."""
    clocks = Clocks(arena)
    arena.start()
    faults = Faults(arena)
    asleep_s = 0
    for _ in arena.moments(per_s=0.3):
        asleep_s += HOUR_S
        with faults.suspended():
            clocks.set(asleep_s)


def _setting() -> Setting:
    crons = every_second(["each"], "work", params={"ms": 20}, misfire="once", grace="2s")
    tasks = {name: kind for name, kind in usual_tasks().items() if name != "flaky"}
    return Setting(Declaration(tasks, crons), lease_s=LEASE_S, habits=CALM)


SCENARIOS = (
    Scenario(
        "step-all-clocks",
        "The machine's clock is set an hour forward and back, again and again: nothing runs twice, "
        "no lease ends, no fire time is replayed.",
        step_all_clocks,
        _setting,
        seconds=20,
        is_safe=False,
        starts_by_itself=True,
    ),
    Scenario(
        "step-the-servers-clock",
        "Only the clock of the store's machine is set: no lease ends, nothing runs twice.",
        step_the_servers_clock,
        _setting,
        seconds=15,
        is_safe=False,
        starts_by_itself=True,
    ),
    Scenario(
        "sleep-for-an-hour",
        "A machine is suspended for an hour, store and all: what ran goes on, nothing runs twice.",
        sleep_for_an_hour,
        _setting,
        seconds=15,
        is_safe=False,
        starts_by_itself=True,
    ),
)
