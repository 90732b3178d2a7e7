"""The groups of one worker: its own, which all that it starts is in, and one per job that needs it.

Moving a process costs the kernel some 50 µs in each hierarchy, and now and then it waits 10 ms for
all processors; a `true` takes less than a millisecond. So a plain command stays in its worker's
group, and only jobs whose processes could not be found otherwise, or that have limits, get one.
"""

import contextlib
import os
import re
from collections.abc import Sequence

from msgspec.structs import asdict, replace

from jobrunner.manifest.parts import Limits
from jobrunner.model import Usage
from jobrunner.runner.cgroups import folder
from jobrunner.runner.cgroups.discovery import SWITCHED, Cgroups, Hierarchy

OWN = "own"
UNSAFE = re.compile(r"[^0-9A-Za-z@:+_-]")
LONGEST_NAME = 200  # of 255 bytes that a folder's name may have


class WorkerGroups:
    """Made by the worker, as it begins."""

    def __init__(self, cgroups: Cgroups, worker: str) -> None:
        """Enter a group of its own. Raises OSError."""
        self._hierarchies = cgroups.hierarchies
        self._limits = frozenset(cgroups.limits)
        self._worker = worker
        self._count = 0
        for each in self._hierarchies:
            # The daemon's own folder, too: the guard of a killed one may have removed it just now.
            os.makedirs(self._place(each), exist_ok=True)
            if each.is_v2:
                for group in (each.folder, self._place(each)):
                    for name in SWITCHED:
                        folder.can_write(group, "cgroup.subtree_control", f"+{name}")
        if self._hierarchies:
            own = f"{self._place(self._hierarchies[0])}/{OWN}"
            os.makedirs(own, exist_ok=True)
            folder.write(own, "cgroup.procs", os.getpid())

    @property
    def can_track(self) -> bool:
        """Whether `make` can be called."""
        return bool(self._hierarchies)

    def holds(self, limits: Limits) -> Limits:
        """Of these limits, what a group holds for the whole job."""
        given = limits.model_dump(exclude_none=True)
        return Limits.model_construct(**{k: v for k, v in given.items() if k in self._limits})

    def make(self, job_id: str, limits: Limits) -> "JobGroup":
        """A new group with these limits, all of which it can hold. Raises OSError."""
        self._count += 1
        name = f"{self._count}.{UNSAFE.sub('_', job_id)}"[:LONGEST_NAME]
        group = JobGroup([(each, f"{self._place(each)}/{name}") for each in self._hierarchies])
        try:
            group.open(limits)
        except OSError:
            group.remove()
            raise
        return group

    def _place(self, hierarchy: Hierarchy) -> str:
        return f"{hierarchy.folder}/{self._worker}"


class JobGroup:
    """The group of one attempt, in each hierarchy."""

    def __init__(self, places: Sequence[tuple[Hierarchy, str]]) -> None:
        self._folders = [place for _, place in places]
        self._of = {name: place for each, place in places for name in each.controllers}

    def open(self, limits: Limits) -> None:
        """Make it. Raises OSError."""
        for place in self._folders:
            os.mkdir(place)
        if limits.memory is not None:
            self._limit_memory(limits.memory)
        if limits.pids is not None:
            folder.write(self._of["pids"], "pids.max", limits.pids)

    def _limit_memory(self, size: int) -> None:
        place = self._of["memory"]
        if os.path.exists(f"{place}/memory.max"):
            folder.write(place, "memory.max", size)
            folder.can_write(place, "memory.swap.max", 0)  # else it would go on, slowly, on disk
            folder.can_write(place, "memory.oom.group", 1)  # half a job is worse than none
        else:
            folder.write(place, "memory.limit_in_bytes", size)
            folder.can_write(place, "memory.memsw.limit_in_bytes", size)

    def enter(self, pid: int) -> None:
        """Move a process there that has not begun yet. Raises OSError."""
        for place in self._folders:
            folder.write(place, "cgroup.procs", pid)

    def members(self) -> list[int]:
        """Pids of all that live in it; from any thread."""
        return folder.members(self._folders[0])

    def kill(self) -> None:
        """KILL to all of them; from any thread."""
        with contextlib.suppress(FileNotFoundError):
            folder.kill(self._folders[0])

    def cpu_ms(self) -> int | None:
        """Processor time of all that ever was in it."""
        place = self._of.get("cpu")
        if place is None:
            return None
        micros = folder.number(place, "cpu.stat", "usage_usec")
        if micros is not None:
            return micros // 1000
        nanos = folder.number(place, "cpuacct.usage")
        return None if nanos is None else nanos // 1_000_000

    def usage(self, leader: Usage | None) -> Usage:
        """What it has used so far; what is not counted here, as was counted for its leader."""
        read, written = self._transferred()
        own = Usage(self.cpu_ms(), self._memory(), read, written)
        known = {name: value for name, value in asdict(own).items() if value is not None}
        if leader is not None:
            # Version 1 does not count what the kernel writes later, at its leisure.
            for name in ("read_bytes", "write_bytes"):
                known[name] = max(known.get(name, 0), getattr(leader, name) or 0)
        return replace(leader or own, **known)

    def _memory(self) -> int | None:
        place = self._of.get("memory")
        if place is None:
            return None
        peak = folder.number(place, "memory.peak")
        return folder.number(place, "memory.max_usage_in_bytes") if peak is None else peak

    def _transferred(self) -> tuple[int | None, int | None]:
        place = self._of.get("io")
        if place is None:
            return None, None
        text = folder.read(place, "io.stat")
        if text is not None:  # version 2: `8:0 rbytes=90 wbytes=8 …` for each device
            pairs = [word.partition("=") for word in text.split()]
            return _sum(pairs, "rbytes"), _sum(pairs, "wbytes")
        text = folder.read(place, "blkio.throttle.io_service_bytes")
        if text is None:
            return None, None
        words = [line.split() for line in text.splitlines()]  # `8:0 Read 90`
        lines = [(line[1], line[0], line[2]) for line in words if len(line) == 3]
        return _sum(lines, "Read"), _sum(lines, "Write")

    def reached(self) -> list[str]:
        """Names of the limits at which the kernel refused something, or killed."""
        found = []
        memory, pids = self._of.get("memory"), self._of.get("pids")
        if memory is not None and (
            folder.number(memory, "memory.events", "oom_kill")
            or folder.number(memory, "memory.oom_control", "oom_kill")
        ):
            found.append("memory")
        if pids is not None and folder.number(pids, "pids.events", "max"):
            found.append("pids")
        return found

    def remove(self) -> None:
        """Forget it. One that is not empty is left, and removed with those of its worker."""
        for place in self._folders:
            with contextlib.suppress(OSError):
                os.rmdir(place)


def _sum(counts: list[tuple[str, str, str]], name: str) -> int:
    """Of all devices; each count is its name, something, and the number."""
    return sum(int(value) for found, _, value in counts if found == name)
