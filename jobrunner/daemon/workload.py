"""What the workers of a daemon are told: the manifest's wishes, within what the machine allows."""

import os
from dataclasses import dataclass
from datetime import timedelta

from jobrunner.log import EventLog
from jobrunner.manifest.spec import Manifest
from jobrunner.runner.cgroups.discovery import Cgroups
from jobrunner.runner.openfiles import MORE_FILES, files_for, highest_limit, slots_within
from jobrunner.store.address import StoreAddress
from jobrunner.worker.settings import WorkerSettings


@dataclass(frozen=True, slots=True)
class Employer:
    """The daemon, as its workers have to know it."""

    daemon: str  # id
    address: StoreAddress
    lease_ttl: timedelta
    log_level: str
    cgroups: Cgroups  # which can be made here
    open_files: int  # the soft limit that it was started with


def settings_for(worker: str, manifest: Manifest, employer: Employer) -> WorkerSettings:
    """The settings of one worker."""
    return WorkerSettings(
        worker=worker,
        daemon=employer.daemon,
        reaper=os.getpid(),
        namespace=employer.address.name,
        store_url=employer.address.url,
        store_socket=employer.address.socket,
        manifest=manifest.model_dump(mode="json"),
        folder=str(manifest.folder),
        queues=manifest.workers.queues or manifest.queue_names(),
        slots=slots_within(manifest.workers.slots, highest_limit()),
        drain_s=manifest.workers.drain.total_seconds(),
        lease_ttl_s=employer.lease_ttl.total_seconds(),
        log_level=employer.log_level,
        open_files=employer.open_files,
        cgroups=employer.cgroups,
    )


def warn_of_fewer_slots(manifest: Manifest) -> None:
    """Say so when a worker may not open as many files as its slots could need."""
    wanted, files = manifest.workers.slots, highest_limit()
    slots = slots_within(wanted, files)
    if slots < wanted:
        EventLog().warning(
            f"lowered workers.slots from {wanted} to {slots}",
            why=f"a worker may open {files} files, and so many slots need {files_for(wanted)}",
            fix=f"{MORE_FILES}, or lower workers.slots",
        )
