"""What a stop is up against: a platform that kills everything when it has waited long enough.

From the stop signal on the store knows that the workers are being stopped, so that a job which the
platform kills with them counts no loss, whoever rescues it. And a drain that is longer than the
platform waits is told, where that can be known: by the unit for systemd, by the usual time for
containers, which cannot see their own.
"""

import asyncio
import os
import re
import subprocess
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from jobrunner.errors import StoreUnavailable
from jobrunner.manifest.units import format_duration
from jobrunner.store.connection import AsyncStoreConnection
from jobrunner.store.failures import ReplyError
from jobrunner.store.keys import Keys
from jobrunner.store.leases import note_stopping

NOTE_EVERY_S = 0.5
ASK_SYSTEMD_S = 2.0
DOCKER_WAITS = timedelta(seconds=10)  # `docker stop`, Compose and Podman, unless told otherwise
KUBERNETES_WAITS = timedelta(seconds=30)  # terminationGracePeriodSeconds, unless set
CONTAINER_FILES = (Path("/.dockerenv"), Path("/run/.containerenv"))
# Of systemd.time(7), as `systemctl show` writes a time span: `1min 30s`.
SPAN_UNITS = {
    "us": timedelta(microseconds=1),
    "ms": timedelta(milliseconds=1),
    "s": timedelta(seconds=1),
    "min": timedelta(minutes=1),
    "h": timedelta(hours=1),
    "d": timedelta(days=1),
    "day": timedelta(days=1),
    "w": timedelta(weeks=1),
}


async def note_stop(
    keys: Keys,
    connection: AsyncStoreConnection,
    stopping: asyncio.Event,
    workers: Callable[[], Iterable[str]],
) -> None:
    """Once the stop begins, note it for the workers, until cancelled.

    Again and again: one may enlist late, and the store may be away.
    """
    await stopping.wait()
    while True:
        with suppress(StoreUnavailable, ReplyError):  # away, or something else wrote to `workers`
            await connection.run(note_stopping(keys, list(workers())))
        await asyncio.sleep(NOTE_EVERY_S)


@dataclass(frozen=True, slots=True)
class Patience:
    """How long whoever stops this process waits before it kills."""

    limit: timedelta
    who: str
    is_usual: bool  # the usual time; the one that is set cannot be seen
    fix: str  # how to make it longer, with {} for the seconds


@dataclass(frozen=True, slots=True)
class ShortPatience:
    """A drain that the platform does not wait for, in the three parts of a message."""

    what: str
    why: str
    fix: str


def short_patience(
    drain: timedelta, longest_stop: timedelta, patience: Patience | None
) -> ShortPatience | None:
    """None when the platform waits for longer than the drain, or nobody knows."""
    if patience is None or patience.limit > drain:
        return None
    waits, long = format_duration(patience.limit), format_duration(drain)
    by_default = " by default" if patience.is_usual else ""
    wanted = longest_stop.total_seconds() + 5
    return ShortPatience(
        f"workers.drain is {long}, and {patience.who} waits{by_default} {waits} before it kills",
        "jobs that still run then are killed without TERM, and run again from their beginning",
        f"{patience.fix.format(f'{wanted:.0f}')}, or shorten `workers.drain` and `kill_grace`",
    )


def find_patience(
    environ: Mapping[str, str], pid: int | None = None, root: Path = Path("/")
) -> Patience | None:
    """Of the platform that runs the process (None: this one), whose environment is `environ`.

    May ask systemd, which takes some milliseconds, 2 s at most.
    """
    unit = _unit_of(_text(root / f"proc/{pid or 'self'}/cgroup"))
    if unit is not None and "INVOCATION_ID" in environ:
        return _patience_of_unit(*unit)
    if "KUBERNETES_SERVICE_HOST" in environ:
        fix = "set terminationGracePeriodSeconds to at least {}"
        return Patience(KUBERNETES_WAITS, "Kubernetes", is_usual=True, fix=fix)
    if _is_in_container(environ, pid or os.getpid(), root):
        fix = "give the container {} s (stop_grace_period in Compose, `docker run --stop-timeout`)"
        return Patience(DOCKER_WAITS, "the container's engine", is_usual=True, fix=fix)
    return None


def _is_in_container(environ: Mapping[str, str], pid: int, root: Path) -> bool:
    if "container" in environ or any((root / f.relative_to("/")).exists() for f in CONTAINER_FILES):
        return True
    hints = ("docker", "containerd", "libpod", "kubepods", "/lxc")
    first = _text(root / "proc/1/cgroup")
    return pid == 1 or any(hint in first for hint in hints)


def _unit_of(cgroups: str) -> tuple[str, bool] | None:
    """The service in /proc/PID/cgroup, and whether it is one of a user's manager.

    A daemon with control groups of its own is in one below that of its unit.
    """
    for line in cgroups.splitlines():
        number, controllers, path = [*line.split(":", 2), "", ""][:3]
        if number != "0" and controllers != "name=systemd":
            continue
        services = [part for part in path.split("/") if part.endswith(".service")]
        is_user = bool(services) and services[0].startswith("user@")
        own = services[1:] if is_user else services
        if own:
            return own[-1], is_user
    return None


def _patience_of_unit(unit: str, is_user: bool) -> Patience | None:
    scope = ["--user"] if is_user else []
    command = ["systemctl", *scope, "show", "--property=TimeoutStopUSec", "--value", unit]
    try:
        answer = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=ASK_SYSTEMD_S,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return None  # it is not there, or does not answer
    limit = parse_span(answer.stdout)
    if limit is None:
        return None
    edit = " ".join(["systemctl", *scope, "edit", unit])
    fix = f"set TimeoutStopSec={{}}s by `{edit}`"
    return Patience(limit, "systemd", is_usual=False, fix=fix)


def parse_span(text: str) -> timedelta | None:
    """A time span as systemd shows it; None for `infinity`, and for what cannot be read."""
    words = re.findall(r"([\d.]+)\s*([a-z]+)", text)
    try:
        parts = [float(number) * SPAN_UNITS[unit] for number, unit in words]
    except (KeyError, ValueError, OverflowError):
        return None
    return sum(parts, timedelta()) if parts else None


def _text(path: Path) -> str:
    try:
        return path.read_text(errors="replace")
    except OSError:
        return ""
