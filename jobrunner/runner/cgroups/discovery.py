"""What groups this machine lets the daemon make. Found out once, as it starts, by making them.

Below a service manager only what it has handed over (`Delegate=yes`) may be changed; elsewhere,
as in a container with a tree of its own, what can be written. Version 2 gives the groups below one
no controllers while that one has processes itself: so the daemon moves into a group of its own.
"""

import errno
import os
import sys
from contextlib import suppress
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import msgspec

from jobrunner.runner.cgroups import folder

# What is asked of each controller, as version 2 names it; the names of version 1.
CONTROLLERS = {"memory": "memory", "pids": "pids", "io": "blkio", "cpu": "cpuacct"}
# Processor time is counted in each group of version 2; its controller would share it out anew.
SWITCHED = ("memory", "pids", "io")
FREEZER = "freezer"  # version 1 only: stops processes while they are killed
LIMITS = ("memory", "cpu", "pids")  # of a manifest, that a group holds for the whole job
MANAGED = Path("/run/systemd/system")  # is there where systemd is the service manager
DELEGATED = ("user.delegate", "trusted.delegate")  # attributes by which systemd says so
MAIN = "main"


class Hierarchy(msgspec.Struct, frozen=True):
    """A tree of groups in which this daemon has a folder of its own."""

    folder: str
    controllers: list[str]  # as version 2 names them; usable in groups below
    is_v2: bool


class Cgroups(msgspec.Struct, frozen=True):
    """All of them; none where none can be made. The first tells who belongs to a group."""

    hierarchies: list[Hierarchy] = []
    missing: dict[str, str] = {}  # why a limit cannot be held for a whole job

    @property
    def limits(self) -> list[str]:
        """Which of `LIMITS` hold for whole jobs."""
        return [name for name in LIMITS if name not in self.missing]


@dataclass(frozen=True, slots=True)
class Place:
    """Where a process is in one hierarchy."""

    path: str  # of its group, below the mount
    folder: str
    controllers: list[str]  # as version 1 names them; of version 2 none
    is_v2: bool


def prepare(name: str) -> Cgroups:
    """Make this daemon's folders, called `name`, wherever that is possible.

    What a killed daemon left in folders of that name is killed: the caller knows that it is dead.
    """
    if sys.platform != "linux":
        return _none("this system has no control groups")
    try:
        own = Path("/proc/self/cgroup").read_text(), Path("/proc/self/mountinfo").read_text()
    except OSError as error:
        return _none(f"/proc/self/cgroup cannot be read: {error.strerror}")
    places = _useful(find_places(*own))
    if not places:
        return _none("no control groups are mounted")
    if MANAGED.is_dir() and not any(map(_is_handed_over, _of_manager(*own))):
        return _none("systemd has not handed its group over: the unit needs Delegate=yes")
    made: list[Hierarchy] = []
    why: dict[str, str] = {}
    for place in places:
        try:
            made.append(_make(place, name))
        except OSError as error:
            why |= dict.fromkeys(_wanted(place), f"{place.folder}: {error.strerror}")
    return _summary(made, why)


def _useful(places: list[Place]) -> list[Place]:
    useful = [place for place in places if place.is_v2 or _wanted(place)]
    # The freezer only helps to kill; version 2 does that by itself, `pids` by allowing no forks.
    trackers = [place for place in useful if place.is_v2 or "pids" in place.controllers]
    frozen = [place for place in places if FREEZER in place.controllers]
    return useful if trackers else [*useful, *(each for each in frozen if each not in useful)]


def folder_name(state_folder: Path) -> str:
    """What the folders of a daemon are called: one daemon has a state folder at a time."""
    return f"jobrunner-{sha256(str(state_folder).encode()).hexdigest()[:16]}"


def held_by(pid: int, name: str) -> list[str]:
    """Which of `LIMITS` a running daemon, with folders of that name, holds for whole jobs.

    None where that cannot be seen: of another user's daemon.
    """
    proc = Path(f"/proc/{pid}")
    try:
        places = find_places((proc / "cgroup").read_text(), (proc / "mountinfo").read_text())
    except OSError:
        return []
    held: set[str] = set()
    for place in _useful(places):
        own = f"{place.folder.removesuffix(f'/{name}/{MAIN}')}/{name}"
        if os.path.isdir(own):
            enabled = (folder.read(own, "cgroup.subtree_control") or "").split()
            held |= {*enabled, "cpu"} if place.is_v2 else set(_wanted(place))
    return [limit for limit in LIMITS if limit in held]


def give_up(cgroups: Cgroups) -> None:
    """Remove the folders, at the daemon's end; one that it is in itself stays for the next."""
    folder.remove(each.folder for each in cgroups.hierarchies)


def find_places(cgroup: str, mountinfo: str) -> list[Place]:
    """Where this process is in each mounted hierarchy; those of /proc/self/cgroup and mountinfo."""
    mounts = [line.partition(" - ") for line in mountinfo.splitlines()]
    places = []
    for line in cgroup.splitlines():
        number, names, path = line.split(":", 2)
        is_v2, controllers = number == "0", [name for name in names.split(",") if name]
        for where, _, what in mounts:
            kind, _, options = what.split(" ", 2)
            is_it = (
                kind == "cgroup2"
                if is_v2
                else (
                    kind == "cgroup" and set(controllers) <= set(options.split(" ")[-1].split(","))
                )
            )
            if is_it:
                root, mount = where.split(" ")[3:5]
                below = _below(path, root)
                places.append(Place(below, f"{mount}{below}".rstrip("/"), controllers, is_v2))
                break
    return places


def _below(path: str, root: str) -> str:
    """The path of a group, seen from the mount: a container's shows a part of the tree."""
    inside = root.rstrip("/")
    if inside and (path == inside or path.startswith(inside + "/")):
        path = path[len(inside) :]
    return path or "/"


def _wanted(place: Place) -> list[str]:
    """The controllers of a place that are of use, as version 2 names them."""
    return [new for new, old in CONTROLLERS.items() if old in place.controllers]


def _of_manager(cgroup: str, mountinfo: str) -> list[Place]:
    """Where the service manager keeps this process: version 2, or its own tree of version 1."""
    places = find_places(cgroup, mountinfo)
    return [place for place in places if place.is_v2 or "name=systemd" in place.controllers]


def _is_handed_over(place: Place) -> bool:
    for attribute in DELEGATED:
        try:
            if os.getxattr(place.folder, attribute) == b"1":
                return True
        except OSError:
            continue  # no such attribute, or not for us to read
    return False


def _make(place: Place, name: str) -> Hierarchy:
    """Raises OSError."""
    own = f"{place.folder}/{name}"
    with suppress(FileExistsError):
        os.mkdir(own)
    if not os.access(f"{own}/cgroup.procs", os.W_OK):
        raise PermissionError(errno.EACCES, "no process can be moved into a group")
    _clear(own)
    controllers = _enable(place, own) if place.is_v2 else _wanted(place)
    return Hierarchy(own, controllers, place.is_v2)


def _clear(own: str) -> None:
    """End what a killed daemon left there; its server, in `main`, goes on."""
    for entry in os.scandir(own):
        if entry.is_dir() and entry.name != MAIN:
            folder.kill(entry.path)
            folder.remove([entry.path])


def _enable(place: Place, own: str) -> list[str]:
    """Have the controllers of version 2 in the groups below; returns those that are there."""
    there = set((folder.read(place.folder, "cgroup.controllers") or "").split())
    wanted = [name for name in SWITCHED if name in there]
    if wanted and not all(
        folder.can_write(place.folder, "cgroup.subtree_control", f"+{name}") for name in wanted
    ):
        _move_in(place, own)
    for group in (place.folder, own):
        for name in wanted:
            folder.can_write(group, "cgroup.subtree_control", f"+{name}")
    enabled = set((folder.read(own, "cgroup.subtree_control") or "").split())
    return [name for name in CONTROLLERS if name in enabled or name not in SWITCHED]


def _move_in(place: Place, own: str) -> None:
    """Empty the group that the daemon was started in, if it is ours alone."""
    there = (folder.read(place.folder, "cgroup.procs") or "").split()
    is_ours = place.path == "/" or _is_handed_over(place) or there == [str(os.getpid())]
    if not is_ours:
        return
    main = f"{own}/{MAIN}"
    os.makedirs(main, exist_ok=True)
    for pid in there:
        folder.can_write(main, "cgroup.procs", pid)


def _summary(made: list[Hierarchy], why: dict[str, str]) -> Cgroups:
    # First the one that tells who belongs to a job, and kills all at once if it can.
    made.sort(key=lambda each: (not each.is_v2, "pids" not in each.controllers, each.controllers))
    there = {name for each in made for name in each.controllers}
    lacking = {name: why.get(name, f"no controller {name!r} here") for name in LIMITS}
    return Cgroups(made, {name: text for name, text in lacking.items() if name not in there})


def _none(why: str) -> Cgroups:
    return Cgroups([], dict.fromkeys(LIMITS, why))
