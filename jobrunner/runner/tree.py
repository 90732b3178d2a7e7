"""The process tree of one attempt, and how it is stopped to the last member.

A tree is the leader's process group, its descendants even when they moved to another session, and
orphans of them: these carry the attempt's variables in their environment, and are now children of
the reaper (the supervisor) if there is one. Of a command of another user nobody may read the
environment: the kernel's control group tells its members, else its leader is a keeper, which is no
member itself, and all others are below it.
"""

import asyncio
import contextlib
import os
import signal
import weakref
from dataclasses import dataclass
from typing import Protocol

from jobrunner.runner.proctable import (
    carries,
    descendants,
    group_members,
    open_main_children,
    read_children,
    started_at,
)

KILL_ROUNDS = 5  # a tree that forks while it is killed is looked at again
KILL_PATIENCE_S = 0.5  # per round; the kernel may be busy freeing memory
FIRST_POLL_S = 0.002
LONGEST_POLL_S = 0.05  # nothing announces the end of a process group, so it is asked for


class Reaper:
    """The process that orphans go to, seen from one worker: a subreaper above it."""

    def __init__(self, pid: int, marker: bytes) -> None:
        self._children = open_main_children(pid)
        if self._children is not None:
            weakref.finalize(self, os.close, self._children)
        self._marker = frozenset({marker})  # of everything the worker starts
        # Children that are none of its orphans: the server, other workers, and the worker itself,
        # which carries the marker, too.
        self._strangers = {os.getpid()}

    def orphans(self) -> list[int]:
        """Children of the reaper that this worker's jobs have left."""
        if self._children is None:
            return []
        adopted = set(read_children(self._children))
        self._strangers &= adopted
        carrying = {pid: carries(pid, self._marker) for pid in adopted - self._strangers}
        # Not who shows no environment: one that is just beginning its program may be ours.
        self._strangers |= {pid for pid, carries_ours in carrying.items() if carries_ours is False}
        return [pid for pid, carries_ours in carrying.items() if carries_ours]


class Group(Protocol):
    """The kernel's own list of a tree's processes."""

    def members(self) -> list[int]: ...

    def kill(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Held:
    """How the processes of a tree are held together beyond what their environment tells."""

    group: Group | None = None
    is_kept: bool = False  # the leader is a keeper


class Tree:
    """The processes that began with `leader`, which has a process group of its own."""

    def __init__(
        self,
        leader: int,
        markers: frozenset[bytes] = frozenset(),
        reaper: Reaper | None = None,
        held: Held = Held(),
    ) -> None:
        self.leader = leader
        self._group = held.group
        self._started_at: float | None = None
        self._markers = markers
        self._reaper = reaper
        self._known: dict[int, float] = {}  # members with their start; some are in the group, too
        self._has_leader = True
        self._has_group = not held.is_kept

    @property
    def started_at(self) -> float:
        """When the leader started; see `proctable.started_at`."""
        if self._started_at is None:
            self._started_at = started_at(self.leader) or 0.0
        return self._started_at

    def note_leader_reaped(self) -> None:
        """From now on the leader's pid may be a stranger's."""
        self._has_leader = False

    def is_alive(self) -> bool:
        """Whether any member lives; those that only wait to be reaped do not."""
        self._look()
        return self._has_living_group() or any(map(self._is_same, list(self._known)))

    def members(self) -> list[int]:
        """Pids of those that live, without the leader."""
        self._look()
        others = group_members(self.leader) if self._has_group else []
        known = [pid for pid in list(self._known) if self._is_same(pid)]
        living = (pid for pid in others if started_at(pid) is not None)
        return sorted({*known, *living} - {self.leader})

    async def stop(self, grace_s: float) -> list[int]:
        """TERM to every member, after `grace_s` KILL; returns when all are gone.

        What KILL did not end, since it hangs in the kernel or is out of reach, is returned.
        """
        if grace_s > 0:
            self._look()
            self._signal(signal.SIGTERM)
            self._signal(signal.SIGCONT)  # a stopped process acts on TERM only when continued
            if await self._is_gone_within(grace_s):
                return []
        for _ in range(KILL_ROUNDS):
            self.kill()
            if await self._is_gone_within(KILL_PATIENCE_S):
                return []
        return self.members()

    def kill(self) -> None:
        """KILL to every member, now. From any thread."""
        self._look()
        self._signal(signal.SIGKILL)
        if self._group is not None:
            self._group.kill()

    async def _is_gone_within(self, seconds: float) -> bool:
        loop = asyncio.get_running_loop()
        give_up_at = loop.time() + seconds
        delay = FIRST_POLL_S
        while self.is_alive():
            if loop.time() >= give_up_at:
                return False
            await asyncio.sleep(min(delay, seconds))
            delay = min(delay * 2, LONGEST_POLL_S)
        return True

    def _look(self) -> None:
        roots = [pid for pid in list(self._known) if self._is_same(pid)]
        if self._has_leader:
            roots.append(self.leader)
        if self._reaper is not None:
            roots += [pid for pid in self._reaper.orphans() if self._is_ours(pid)]
        if self._group is not None:
            roots += self._group.members()
        found = {pid for root in roots for pid in (root, *descendants(root))}
        for pid in found - self._known.keys() - {self.leader}:
            started = started_at(pid)
            if started is not None:
                self._known[pid] = started

    def _is_ours(self, pid: int) -> bool:
        return pid in self._known or bool(carries(pid, self._markers))

    def _is_same(self, pid: int) -> bool:
        return started_at(pid) == self._known[pid]

    def _has_living_group(self) -> bool:
        if not self._has_group:
            return False
        try:
            os.killpg(self.leader, 0)
        except ProcessLookupError:
            self._has_group = False  # for good: its number may be given to a stranger
            return False
        except PermissionError:
            return True  # members of another user
        return any(started_at(pid) is not None for pid in group_members(self.leader))

    def _signal(self, number: signal.Signals) -> None:
        if self._has_group:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self.leader, number)
        for pid in list(self._known):
            if self._is_same(pid):
                self._signal_outsider(pid, number)

    def _signal_outsider(self, pid: int, number: signal.Signals) -> None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            if os.getpgid(pid) != self.leader:
                os.kill(pid, number)
