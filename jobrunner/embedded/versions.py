"""Which server a program is, which one wrote a file, and whether it can read that file.

Redis and Valkey write files of their own since they parted, and no old server reads a newer one's.
"""

import os
import re
import subprocess
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

ASK_S = 5.0  # to print a version takes milliseconds
HEADER = 128  # bytes: its writer stands among the first

# The highest file format that a version of a server reads. Sources: RDB_VERSION in rdb.h of each.
REDIS_FORMATS = (((7, 4), 12), ((7, 2), 11), ((7, 0), 10), ((0, 0), 9))
COMMON_FORMAT = 11  # of Redis 7.2, from which Valkey began
VALKEY_OWN = (9, 0)  # the first whose files no Redis reads

_VERSION = re.compile(r"^(Valkey|Redis) server v=(\d+)\.(\d+)\.(\d+)")
_HEADER = re.compile(
    rb"(REDIS|VALKEY)(\d{3,4})(?:\xfa.(?:valkey|redis)-ver.(\d+)\.(\d+)\.(\d+))?", re.S
)
_BASE = re.compile(r"^file (\S+) seq \d+ type b", re.M)


class Program(NamedTuple):
    """A server: `Valkey` or `Redis`, and its version."""

    kind: str
    version: tuple[int, ...]

    def __str__(self) -> str:
        return f"{self.kind} {'.'.join(map(str, self.version))}"


class DataFile(NamedTuple):
    """The base of an append-only file: its format, and who wrote it, if it says so."""

    kind: str
    format: int
    writer: Program | None

    def __str__(self) -> str:
        return str(self.writer) if self.writer else f"a {self.kind} of file format {self.format}"


def program_of(path: Path) -> Program | None:
    """What a program says it is; None for one that does not say."""
    with suppress(OSError, subprocess.SubprocessError):
        done = subprocess.run(
            [path, "--version"],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=ASK_S,
            check=False,
            cwd="/",
            env={"PATH": os.defpath},
        )
        found = _VERSION.match(done.stdout.decode(errors="replace"))
        if found:
            return Program(found[1], tuple(map(int, found.groups()[1:])))
    return None


def running_program(info: Mapping[str, str]) -> Program | None:
    """What a running server's INFO says it is. Valkey's `redis_version` is what it is like."""
    kind = "Valkey" if "valkey_version" in info else "Redis"
    version = info.get("valkey_version") or info.get("redis_version", "")
    numbers = re.fullmatch(r"(\d+)\.(\d+)\.(\d+)", version)
    return Program(kind, tuple(map(int, numbers.groups()))) if numbers else None


def data_file(data: Path) -> DataFile | None:
    """The base file in a data folder; None where there is none yet."""
    folder = data / "appendonlydir"
    try:
        listed = (folder / "appendonly.aof.manifest").read_text(errors="replace")
        base = _BASE.search(listed)
        if base is None:
            return None
        with (folder / Path(base[1]).name).open("rb") as file:
            found = _HEADER.match(file.read(HEADER))
    except OSError:
        return None
    if found is None:
        return None
    kind = found[1].decode().capitalize()
    writer = Program(kind, tuple(map(int, found.groups()[2:]))) if found[3] else None
    return DataFile(kind, int(found[2]), writer)


def why_unreadable(program: Program, file: DataFile | None) -> str | None:
    """Why this server cannot read that file; None when it can."""
    if file is None or _reads(program, file):
        return None
    return f"{program} cannot read the data, which {file} has written"


def _reads(program: Program, file: DataFile) -> bool:
    if file.kind == "Valkey":  # from 9.0 on its files begin with its own name
        if program.kind != "Valkey" or program.version < VALKEY_OWN:
            return False
        return file.writer is None or program.version[:2] >= file.writer.version[:2]
    if program.kind == "Valkey":
        return file.format <= COMMON_FORMAT
    if file.writer is not None and program.version[:2] >= file.writer.version[:2]:
        return True
    return file.format <= next(most for since, most in REDIS_FORMATS if program.version >= since)
