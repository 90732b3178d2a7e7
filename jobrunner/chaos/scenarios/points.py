"""KILL at named points: of workers and supervisors, just before and after every store call."""

import os
import signal
import threading
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import chain, product, zip_longest

from jobrunner.chaos.arena import Arena, Setting
from jobrunner.chaos.faults import DEATH_S, Faults, freeze
from jobrunner.chaos.history import NOBODY, Recorder
from jobrunner.chaos.load import Habits
from jobrunner.chaos.proxy import FaultProxy
from jobrunner.chaos.scenario import Scenario
from jobrunner.chaos.site import Site, Stuck, until
from jobrunner.chaos.tasks import Declaration, every_second, usual_tasks
from jobrunner.chaos.wiretap import Trap, When
from jobrunner.runner.proctable import started_at

FULL_S = 240.0  # so long a round takes every point; a shorter one as large a share of them
FEWEST = 2  # points of each role, however short the round is
WARM_S = 5.0  # until most points have passed
COMMON = 16  # a point that passed so often comes again by itself, and any time of it will do
MOST_NTH = 20
PASSING_S = 5.0  # for a point that comes again by itself
REQUEST_S = 30.0  # for any: after some losses all loops of a daemon may pause for seconds
RESCUE_S = 2.0  # for one that comes when a worker has died
STARTING_S = 15.0  # for one that has to be provoked
LOST = "lost-reply"


class Role(StrEnum):
    WORKER = "worker"
    SUPERVISOR = "supervisor"


@dataclass(frozen=True, slots=True)
class Aim:
    """Where a process is killed: at the nth request of a point."""

    role: Role
    point: str
    when: When
    nth: int = 1
    is_common: bool = False  # the point passes all the time

    @property
    def name(self) -> str:
        """Of the fault, in the history."""
        return f"kill-{self.role}-{self.when}-{self.point}"


class Executioner:
    """Kills for the proxy, in whose thread `kill` is called, and sees to it that it is noted."""

    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder
        self._mutex = threading.Lock()
        self._name: str | None = None  # of the kill that is allowed
        self._victims: list[int] = []

    def allow(self, name: str) -> None:
        """The next kill, and no other."""
        with self._mutex:
            self._name = name

    def kill(self, pid: int) -> None:
        """Raises ProcessLookupError when the process is gone, or no kill is allowed any more."""
        with self._mutex:
            if self._name is None or started_at(pid) is None:
                raise ProcessLookupError
            self._victims = freeze([pid])
            self._recorder.begin(self._name, self._victims)
            os.kill(pid, signal.SIGKILL)  # never too late: a zombie can be killed, too
            self._name = None

    def bury(self, name: str) -> None:
        """Allow no kill any more, and wait until who was killed is dead, with all it had started.

        Raises Stuck.
        """
        with self._mutex:
            self._name = None
        if self._victims:
            until(self._are_dead, DEATH_S, f"all are dead: {self._victims}")
            self._recorder.over(name)
            self._victims = []

    def _are_dead(self) -> bool:
        return all(started_at(pid) is None for pid in self._victims)


class Points:
    """The points of one daemon, which reaches its store through a proxy."""

    def __init__(self, arena: Arena) -> None:
        self._arena = arena
        self._faults = Faults(arena)
        self._executioner = Executioner(arena.recorder)
        self._proxy = arena.keep(FaultProxy(arena.address, self._executioner.kill))
        self._supervisors: set[int] = set()
        arena.url = self._proxy.address.url

    @property
    def _site(self) -> Site:
        return self._arena.site

    def warm_up(self) -> None:
        """Let every point pass: those of starts and rescues, too."""
        self._arena.start()
        time.sleep(min(WARM_S, self._arena.seconds / 4))
        self._faults.kill_workers(self._site)
        self._start_again()
        self._site.wait_until_ready()
        time.sleep(min(WARM_S, self._arena.seconds / 4))
        until(lambda: all(map(self._passed_by, Role)), STARTING_S, "workers call the store")

    def aims(self) -> list[Aim]:
        """Each point that has passed, and both sides of it, in random order."""
        found = list(chain.from_iterable(map(self._aims_of, Role)))
        self._arena.rng.shuffle(found)
        return found

    def _aims_of(self, role: Role) -> Iterator[Aim]:
        for (point, count), when in product(sorted(self._passed_by(role).items()), When):
            is_common = count >= COMMON
            nth = self._arena.rng.randint(1, min(MOST_NTH, count // COMMON)) if is_common else 1
            yield Aim(role, point, when, nth, is_common)

    def _passed_by(self, role: Role) -> Counter[str]:
        return self._proxy.points(lambda pid: self._is(role, pid))

    def kill_at(self, aim: Aim) -> bool:
        """Kill once, and start what was killed; false when the point did not come."""
        self._executioner.allow(aim.name)
        trap = self._proxy.kill_at(
            aim.point, aim.when, aim.nth, lambda pid: self._is(aim.role, pid)
        )
        if not (aim.is_common and trap.wait(PASSING_S)):
            self._provoke(aim.role, trap)
        self._proxy.withdraw(trap)
        self._executioner.bury(aim.name)
        if aim.role is Role.SUPERVISOR and trap.has_sprung:
            self._site.wait()
            self._spawn()
        self._site.wait_until_ready()
        return trap.has_sprung

    def _provoke(self, role: Role, trap: Trap) -> None:
        """Bring about the points of a start, of a rescue and of forgotten scripts."""
        if self._arena.server is not None:  # a user's server has other clients
            self._arena.execute("SCRIPT", "FLUSH")
        self._faults.kill_workers(self._site)
        if role is Role.SUPERVISOR and not trap.wait(RESCUE_S):
            self._start_again()
        trap.wait(STARTING_S)

    def _start_again(self) -> None:
        self._supervisors.add(self._site.pid)
        self._faults.kill_supervisor(self._site)
        self._spawn()

    def _spawn(self) -> None:
        self._supervisors.add(self._site.pid)
        self._site.spawn()

    def lose_reply(self) -> None:
        """The next request is performed, and nobody is told. No job may run again for it."""
        self._arena.recorder.fault(LOST, NOBODY)
        [trap] = self._proxy.lose_replies(1)
        if not trap.wait(REQUEST_S):
            raise Stuck("no request was sent")

    def _is(self, role: Role, pid: int) -> bool:
        is_supervisor = pid == self._site.pid or pid in self._supervisors
        return is_supervisor == (role is Role.SUPERVISOR)


def kill_at_points(arena: Arena) -> None:
    """Each point in turn, or a share of them."""
    points = Points(arena)
    points.warm_up()
    aims = points.aims()
    for aim in _share(aims, min(1.0, arena.seconds / FULL_S)):
        arena.notes.counts["points aimed at"] += 1
        arena.notes.counts["of them not reached"] += not points.kill_at(aim)


def _share(aims: Sequence[Aim], share: float) -> Iterable[Aim]:
    """So much of each role's, in turn."""
    roles = [[aim for aim in aims if aim.role is role] for role in Role]
    taken = [own[: max(FEWEST, round(len(own) * share))] for own in roles]
    return (aim for pair in zip_longest(*taken) for aim in pair if aim is not None)


def lose_replies(arena: Arena) -> None:
    """Requests are performed and their replies lost, at random under load."""
    points = Points(arena)
    arena.start()
    for _ in arena.moments(per_s=4):
        points.lose_reply()


def _setting() -> Setting:
    crons = {
        **every_second(["allowed"], "work", params={"ms": 100}),
        **every_second(["skipping"], "hosted", params={"ms": 1500}, overlap="skip"),
        **every_second(["queueing"], "command", params={"ms": 200}, overlap="queue"),
    }
    return Setting(Declaration(usual_tasks(), crons), habits=Habits(per_s=60))


SCENARIOS = (
    Scenario(
        "kill-at-points",
        "Workers and supervisors are killed just before and just after every call to the store: "
        "nothing is lost between the call and what follows it, nor done twice.",
        kill_at_points,
        _setting,
        seconds=FULL_S,
        starts_by_itself=True,
    ),
    Scenario(
        "lose-replies",
        "The store performs requests of the daemon whose replies are lost: what is asked for "
        "again is not done again.",
        lose_replies,
        _setting,
        seconds=15,
        rounds=2,
        starts_by_itself=True,
    ),
)
