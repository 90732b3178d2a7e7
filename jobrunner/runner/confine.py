"""How the processes of a command are held together, and who keeps its limits.

A control group does both for the whole job, where one can be made. It costs more than the start of
a plain command: so that one, whose environment tells whose it is, has none. Without groups, limits
are rlimits of each process, and a command of another user has a keeper.
"""

import os
import sys
from dataclasses import dataclass, replace

from jobrunner.log import EventLog
from jobrunner.manifest.parts import Limits
from jobrunner.runner.cgroups.groups import JobGroup, WorkerGroups
from jobrunner.runner.failures import CannotStart, no_room
from jobrunner.runner.spawn import Launch
from jobrunner.runner.tree import Held

# What the group alone keeps. An rlimit for `cpu` stays: it ends a single process to the moment.
BY_GROUP_ALONE = ("memory", "pids")
BY_ENVIRONMENT = Held()


@dataclass(frozen=True, slots=True)
class Confined:
    """What is to be started, and by what its processes are found."""

    launch: Launch
    group: JobGroup | None = None
    is_kept: bool = False

    @property
    def held(self) -> Held:
        return Held(self.group, self.is_kept) if self.group or self.is_kept else BY_ENVIRONMENT


def confine(launch: Launch, job_id: str, groups: WorkerGroups | None) -> Confined:
    """Prepare a command's start."""
    limits = launch.limits
    is_limited = not (limits.memory is None and limits.cpu is None and limits.pids is None)
    if launch.identity is None and not is_limited:
        return Confined(launch)
    group = _group(launch, job_id, groups)
    if group is not None and groups is not None:
        held = [name for name in BY_GROUP_ALONE if getattr(groups.holds(launch.limits), name)]
        return Confined(_entering(_without(launch, held), group), group)
    is_kept = launch.identity is not None and sys.platform == "linux"
    return Confined(_rlimited(launch), None, is_kept)


def _group(launch: Launch, job_id: str, groups: WorkerGroups | None) -> JobGroup | None:
    if groups is None:
        return None
    try:
        return groups.make(job_id, groups.holds(launch.limits))
    except OSError as error:
        EventLog().error(
            "could not make a control group; its processes are found, and limited, one by one",
            job_id=job_id,
            error=error,
        )
        return None


def _entering(launch: Launch, group: JobGroup) -> Launch:
    def enter(pid: int) -> None:
        try:
            group.enter(pid)
        except OSError as error:
            what = f"cannot move it into its control group: {error}"
            raise no_room(error) or CannotStart(what) from error

    return _rlimited(replace(launch, enter=enter))


def _rlimited(launch: Launch) -> Launch:
    """Without `pids` where its rlimit would count the daemon's own processes, too."""
    who = launch.identity
    has_own_user = who is not None and who.uid not in (0, os.geteuid())
    return launch if has_own_user else _without(launch, ["pids"])


def _without(launch: Launch, names: list[str]) -> Launch:
    given = launch.limits.model_dump(exclude_none=True)
    left = {name: value for name, value in given.items() if name not in names}
    return replace(launch, limits=Limits.model_construct(**left))
