"""What the supervisor tells a worker process, on its standard input."""

from typing import Any

import msgspec

from jobrunner.runner.cgroups.discovery import Cgroups
from jobrunner.store.address import StoreAddress


class WorkerSettings(msgspec.Struct, frozen=True):
    """Everything a worker needs; it reads neither the manifest file nor the environment for it.

    The manifest is the one that the supervisor accepted: a file that was edited since
    cannot break a worker that is started again.
    """

    worker: str  # id
    daemon: str  # id
    reaper: int  # pid of the supervisor, to which orphans of this worker's jobs go
    namespace: str
    store_url: str | None  # or the embedded server's socket
    store_socket: str | None
    manifest: dict[str, Any]  # the effective one, as JSON
    folder: str  # the manifest's
    queues: list[str]
    slots: int
    drain_s: float
    lease_ttl_s: float
    cgroups: Cgroups = Cgroups()  # what the daemon found when it started
    log_level: str = "info"
    raw_output: tuple[int, int] | None = None  # become descriptors 1 and 2
    open_files: int = 0  # the soft limit that jobs get; 0: the process's own

    @property
    def address(self) -> StoreAddress:
        return StoreAddress(self.namespace, self.store_url, self.store_socket)


def encode_settings(settings: WorkerSettings) -> bytes:
    """The settings as JSON, for the worker's standard input."""
    return msgspec.json.encode(settings)


def decode_settings(text: bytes) -> WorkerSettings:
    """The settings back. Raises msgspec.ValidationError."""
    return msgspec.json.decode(text, type=WorkerSettings)
