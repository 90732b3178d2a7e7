"""Reads what can be seen on this host without the store."""

import os
import shutil
import stat
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from socket import gethostname
from zoneinfo import TZPATH

from jobrunner.crons import InvalidCron
from jobrunner.crons.zones import find_zone
from jobrunner.daemon.stopping import find_patience, short_patience
from jobrunner.doctor.facts import HostFacts, Platform, Service, StateFolder, Zones
from jobrunner.embedded.files import ServerFiles
from jobrunner.errors import IllegalTransition, ManifestError
from jobrunner.locate import Located
from jobrunner.manifest.spec import Manifest
from jobrunner.runner.cgroups.discovery import LIMITS, folder_name, held_by
from jobrunner.runner.openfiles import hard_limit_of, highest_limit
from jobrunner.state import RunningDaemon, read_daemon

Unit = tuple[Path, str]  # where a unit file may be, and what it should say


def read_host(
    located: Located,
    manifest: Manifest | None,
    invalid: ManifestError | None,
    zones: Iterable[str],
    units: Sequence[Unit],
) -> HostFacts:
    """`zones` are those that crons name; `units` the places of the manifest's unit.

    `manifest` is None while it is `invalid`.
    """
    daemon = _daemon_of(located.state_folder)
    service = _service(daemon, units)
    return HostFacts(
        uid=os.getuid(),
        is_embedded=located.address.is_embedded,
        folder=read_folder(located.state_folder),
        daemon=daemon,
        service=service,
        zones=read_zones(sorted(set(zones))),
        platform=_platform(manifest, daemon, service.environ, located.state_folder),
        invalid=invalid,
    )


def _daemon_of(folder: Path) -> RunningDaemon | None:
    try:
        return read_daemon(folder)
    except IllegalTransition:
        return None  # the check of the folder says whose it is


def read_folder(path: Path) -> StateFolder:
    """The folder; of one that does not exist yet, the disk it will be on."""
    usage = shutil.disk_usage(_nearest(path))
    try:
        status = path.stat()
    except OSError:
        return StateFolder(path, None, 0, False, usage.total, usage.free)
    rights = stat.S_IMODE(status.st_mode)
    return StateFolder(path, status.st_uid, rights, _has_socket(path), usage.total, usage.free)


def _nearest(path: Path) -> Path:
    return next(folder for folder in (path, *path.parents) if folder.exists())


def _has_socket(folder: Path) -> bool:
    try:
        return stat.S_ISSOCK(ServerFiles(folder).socket().stat().st_mode)
    except OSError:
        return False


def _service(daemon: RunningDaemon | None, units: Sequence[Unit]) -> Service:
    is_here = daemon is not None and daemon.host == gethostname()
    environ = _environ_of(daemon.pid) if daemon and is_here else None
    for path, text in units:
        try:
            return Service(environ, path, path.read_text("utf-8") == text)
        except OSError:
            continue
    return Service(environ, None)


def _platform(
    manifest: Manifest | None,
    daemon: RunningDaemon | None,
    environ: Mapping[str, str] | None,
    state_folder: Path,
) -> Platform:
    """As the daemon sees it, if it runs here; else as this process does."""
    pid = daemon.pid if daemon is not None and environ is not None else None
    files = highest_limit() if pid is None else hard_limit_of(pid)
    if manifest is None:
        return Platform(files, None, None)
    patience = find_patience(os.environ if environ is None else environ, pid)
    drain, longest = manifest.workers.drain, manifest.longest_stop()
    return Platform(
        files,
        manifest.workers.slots,
        short_patience(drain, longest, patience),
        _limits_in(manifest),
        None if pid is None else held_by(pid, folder_name(state_folder)),
    )


def _limits_in(manifest: Manifest) -> list[str]:
    """Those of whole jobs that tasks have."""
    given = [task.limits for task in manifest.tasks.values()]
    return [name for name in LIMITS if any(getattr(each, name) is not None for each in given)]


def _environ_of(pid: int) -> Mapping[str, str] | None:
    try:
        words = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    except OSError:
        return None  # another user's, another host's, or not Linux
    pairs = (word.decode(errors="replace").partition("=") for word in words if word)
    return {name: value for name, _, value in pairs}


def read_zones(named: list[str]) -> Zones:
    """Look the zones up, and find out which database they come from."""
    missing = [zone for zone in named if not _is_known(zone)]
    for folder in TZPATH:
        if (Path(folder) / "UTC").exists():
            return Zones(folder, _version_in(Path(folder)), named, missing)
    return Zones("the package tzdata", _package_version(), named, missing)


def _is_known(zone: str) -> bool:
    try:
        find_zone(zone)
    except InvalidCron:
        return False
    return True


def _version_in(folder: Path) -> str:
    """As the first line of tzdata.zi says: `# version 2025b`."""
    try:
        with (folder / "tzdata.zi").open(encoding="utf-8") as lines:
            return lines.readline().rpartition(" ")[2].strip() or "unknown"
    except OSError:
        return "unknown"


def _package_version() -> str:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("tzdata")
    except PackageNotFoundError:
        return "unknown: it is not installed"
