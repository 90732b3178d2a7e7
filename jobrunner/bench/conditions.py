"""What figures depend on besides the code: the machine, the versions, the store."""

import os
import platform
from dataclasses import dataclass
from datetime import datetime

from jobrunner import __version__
from jobrunner.embedded.binary import find_binary
from jobrunner.store.address import StoreAddress

OWN_STORE = "{version}, own server, append-only file, fsync each second"


@dataclass(frozen=True, slots=True)
class Conditions:
    """Of one run of the benchmark."""

    at: datetime
    version: str  # of jobrunner
    python: str
    system: str
    processors: int
    store: str
    is_quick: bool  # too short for figures to be quoted


def conditions_now(at: datetime, url: str | None, is_quick: bool) -> Conditions:
    """Those of this machine. Raises StoreUnavailable when it has no server's program."""
    return Conditions(
        at=at,
        version=__version__,
        python=platform.python_version(),
        system=f"{platform.system()} {platform.release()} {platform.machine()}",
        processors=os.cpu_count() or 1,
        store=StoreAddress("", url=url).display if url else own_store(),
        is_quick=is_quick,
    )


def own_store() -> str:
    """The server that a run starts, and its settings. Raises StoreUnavailable."""
    return OWN_STORE.format(version=find_binary().program or "unknown server")
