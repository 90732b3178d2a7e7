"""What the checks judge, as it was read. Nothing here does I/O."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path

import msgspec

from jobrunner.daemon.stopping import ShortPatience
from jobrunner.embedded.server import Standing
from jobrunner.errors import ManifestError, Problem, StoreUnavailable
from jobrunner.state import RunningDaemon
from jobrunner.store.checks import ServerFacts
from jobrunner.store.leases import DaemonEntry, WorkerEntry
from jobrunner.store.orphan import Orphan
from jobrunner.store.overview import QueueView
from jobrunner.store.published import Published


class StateFolder(msgspec.Struct, frozen=True):
    """The state folder and the disk it is on; sizes in bytes."""

    path: Path
    owner: int | None  # its uid; None: there is no such folder yet
    rights: int
    has_socket: bool
    disk_size: int
    disk_free: int


class Service(msgspec.Struct, frozen=True):
    """The daemon of this host as systemd runs it, and its unit."""

    environ: Mapping[str, str] | None  # of the daemon's process; None: none runs, or not readable
    unit: Path | None  # the unit file that was found
    is_current: bool = True  # whether the file is what `jobrunner systemd` prints


class Zones(msgspec.Struct, frozen=True):
    """The time zone database: where it is, its version, and which zones it lacks."""

    source: str
    version: str
    named: list[str]
    missing: list[str]


class Platform(msgspec.Struct, frozen=True):
    """What the machine, and whoever runs the daemon, let it have."""

    open_files: int  # the hard limit of a process
    slots: int | None  # of a worker, as the manifest wants it; None while that is invalid
    short_stop: ShortPatience | None  # set when the platform does not wait for the drain
    limits: Sequence[str] = ()  # of memory, cpu and pids, those that tasks of the manifest have
    whole: Sequence[str] | None = None  # which the daemon holds for whole jobs; None: none runs


class HostFacts(msgspec.Struct, frozen=True):
    """What can be seen without the store."""

    uid: int
    is_embedded: bool
    folder: StateFolder
    daemon: RunningDaemon | None
    service: Service
    zones: Zones
    platform: Platform
    invalid: ManifestError | None  # why the manifest on disk cannot be run
    remarks: Sequence[Problem] = ()  # what a valid one may not mean


class ServerReport(msgspec.Struct, frozen=True):
    """What the server says of itself. `fsync` is None where it does not tell."""

    facts: ServerFacts
    fsync: str | None
    durability: str | None  # as the manifest wants it; None while that is invalid
    latency_ms: float  # median of some round trips
    is_embedded: bool
    disk_free: int | None = None  # bytes, where the embedded server writes
    standing: Standing | None = None  # of the embedded server's program; None: not found out
    no_program: StoreUnavailable | None = None  # why none could be started now


class StoreReport(msgspec.Struct, frozen=True):
    """What the namespace holds, at `now` by the store's clock."""

    now: datetime
    daemons: list[DaemonEntry]
    workers: list[WorkerEntry]
    dead_workers: list[str]  # whose process does not live on this host any more
    queues: list[QueueView]
    live_by_task: Mapping[str, int]
    running: Published  # what the daemon has published
    on_disk: Published | None  # what it would publish now; None: the manifest is invalid
    far_off: list[str] = msgspec.field(default_factory=list)  # ids of jobs due absurdly late
    orphans: list[Orphan] = msgspec.field(default_factory=list)
    is_counted: bool = True  # False: too many jobs for the counts to be checked
    hidden: str = ""  # why the store's user could not look for orphans
