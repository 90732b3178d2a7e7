"""The groups of a dead worker. Loads little: the guard needs it at once."""

import re

from jobrunner.runner.cgroups import folder
from jobrunner.runner.cgroups.discovery import Cgroups

WORKER_ID = re.compile(r"[0-9a-z]{1,64}")  # an id in the store may be any text, also a path


def members_of_worker(cgroups: Cgroups, worker: str) -> dict[int, str | None]:
    """Pids of all that is in the groups of a worker, with the job of those that have one alone.

    None of a worker with a strange id.
    """
    found: dict[int, str | None] = {}
    for each in cgroups.hierarchies[:1] if WORKER_ID.fullmatch(worker) else []:
        for group in folder.subgroups(f"{each.folder}/{worker}"):
            _, _, job_id = group.rpartition("/")[2].partition(".")
            found |= dict.fromkeys(folder.members(group, is_deep=False), job_id or None)
    return found


def kill_worker(cgroups: Cgroups, worker: str) -> None:
    """KILL to all of them."""
    if cgroups.hierarchies and WORKER_ID.fullmatch(worker):
        folder.kill(f"{cgroups.hierarchies[0].folder}/{worker}")


def remove_worker(cgroups: Cgroups, worker: str) -> None:
    """Remove the groups of a worker, once they are empty."""
    if WORKER_ID.fullmatch(worker):
        folder.remove([f"{each.folder}/{worker}" for each in cgroups.hierarchies])
