"""The state folder of a namespace: where it is, whose it is, and which daemon runs in it.

One daemon has a folder at a time. It holds a lock on `daemon.lock`, which the kernel frees when
the process ends, however it ends; the file's text says who it is, and stays behind to tell
which manifest the folder belongs to.
"""

import fcntl
import json
import os
import pwd
import re
import time
from collections.abc import Mapping
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Self

import msgspec

from jobrunner.clock import rfc3339
from jobrunner.errors import IllegalTransition, UsageError
from jobrunner.store.private import make_private, open_private

LOCK_FILE = "daemon.lock"
# `read_daemon` of another process takes the lock for an instant; that is not a daemon.
LOCK_PATIENCE_S = 0.5
POLL_S = 0.01


class RunningDaemon(msgspec.Struct, frozen=True):
    """Who has the state folder; `manifest` is absolute, `started_at` in UTC."""

    pid: int
    host: str
    manifest: Path
    started_at: datetime


def state_folder(name: str, environ: Mapping[str, str]) -> Path:
    """Where the state of a namespace is kept; the folder may not exist yet.

    `$JOBRUNNER_STATE` is the folder itself. Under systemd it is in `$STATE_DIRECTORY`,
    otherwise in `$XDG_STATE_HOME/jobrunner` or `~/.local/state/jobrunner`. Raises UsageError when
    none of them says where, and the user has no home.
    """
    if own := environ.get("JOBRUNNER_STATE"):
        return expanded(own).absolute()
    if given := environ.get("STATE_DIRECTORY", "").partition(":")[0]:
        folder = Path(given)
        return folder if folder.name == name else folder / name
    return state_home(environ) / name


def state_home(environ: Mapping[str, str]) -> Path:
    """The folder of all namespaces of this user. Raises UsageError for one without a home."""
    if base := environ.get("XDG_STATE_HOME"):
        return Path(base, "jobrunner")
    try:
        home = environ.get("HOME") or pwd.getpwuid(os.getuid()).pw_dir
    except KeyError:
        raise _homeless() from None
    return Path(home, ".local", "state", "jobrunner")


def expanded(path: str) -> Path:
    """The path with `~` at its begin filled in. Raises UsageError for a user without a home."""
    try:
        return Path(path).expanduser()
    except RuntimeError:
        raise _homeless() from None


def _homeless() -> UsageError:
    return UsageError(
        "there is no place for the state: this user has no home",
        why=f"HOME is not set, and uid {os.getuid()} has no entry in passwd",
        fix="set JOBRUNNER_STATE to a folder of this user",
    )


def prepare_state_folder(folder: Path, environ: Mapping[str, str] | None = None) -> str | None:
    """Make the folder, or check an existing one; a warning when its rights had to be narrowed.

    Raises IllegalTransition when it cannot be made, belongs to another user, is for other things,
    or holds what others planted.
    """
    try:
        return make_private(folder, LOCK_FILE, os.environ if environ is None else environ)
    except OSError as error:
        raise IllegalTransition(
            f"the state folder {folder} cannot be made: {error.strerror}",
            fix="make it, or name another one with JOBRUNNER_STATE",
        ) from error


class DaemonLock:
    """The right to be the daemon of a state folder. Not inherited by started programs."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._descriptor: int | None = None

    def acquire(self, daemon: RunningDaemon) -> None:
        """Take the lock and write who has it.

        Raises IllegalTransition while another daemon runs in the folder, or when the folder
        belongs to another manifest that still exists.
        """
        descriptor = open_private(self._folder / LOCK_FILE, os.O_RDWR | os.O_CREAT)
        try:
            if not _lock_within(descriptor, LOCK_PATIENCE_S):
                raise _already_running(_read(descriptor), daemon)
            previous = _read(descriptor)
            if previous is not None and _is_other_manifest(previous, daemon):
                raise _belongs_to_other(self._folder, previous, daemon)
            _write(descriptor, daemon)
        except BaseException:
            os.close(descriptor)
            raise
        self._descriptor = descriptor

    def release(self) -> None:
        """Give the lock back. The text stays: the folder still belongs to its manifest."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self.release()


def read_daemon(folder: Path) -> RunningDaemon | None:
    """The daemon that runs in the folder now; None when none does.

    Raises IllegalTransition when the folder, or what says who runs there, is another user's.
    """
    try:
        descriptor = open_private(folder / LOCK_FILE, os.O_RDONLY)
    except FileNotFoundError:
        return None
    except PermissionError as error:
        raise IllegalTransition(
            f"the state folder {folder} belongs to another user",
            fix="run as the user of the daemon, e.g. with `sudo -u USER`",
        ) from error
    try:
        give_up_at = time.monotonic() + LOCK_PATIENCE_S
        while not _try_lock(descriptor, fcntl.LOCK_SH):
            found = _read(descriptor)
            # A daemon that has just taken the lock has not written yet who it is.
            if found is not None or time.monotonic() > give_up_at:
                return found
            time.sleep(POLL_S)
        return None
    finally:
        os.close(descriptor)


def holds_lock(folder: Path, pid: int) -> bool:
    """Whether this process has the folder's lock: what the file says is only a claim.

    Where the system does not tell (not Linux, or a process that may not be looked at), its owner
    has to do.
    """
    with suppress(FileNotFoundError, ProcessLookupError):
        descriptor = open_private(folder / LOCK_FILE, os.O_RDONLY)
        try:
            return _has_locked(pid, os.fstat(descriptor))
        finally:
            os.close(descriptor)
    return False


def _has_locked(pid: int, file: os.stat_result) -> bool:
    """Among the open files of the process is this one, locked. Source: proc_pid_fdinfo(5).

    Sandboxes and network file systems do not tell locks: there it has to be open for writing, as
    only a daemon opens it.
    """
    process = Path(f"/proc/{pid}")
    if not Path("/proc/self/fdinfo").exists():
        return True
    if process.stat().st_uid not in {0, os.geteuid()}:
        return False
    try:
        names = os.listdir(process / "fd")
    except PermissionError:
        return True  # of a program with rights of its own
    for name in names:
        with suppress(FileNotFoundError):
            if os.path.samestat(os.stat(process / "fd" / name), file):
                told = (process / "fdinfo" / name).read_text()
                flags = re.search(r"^flags:\s*([0-7]+)", told, re.MULTILINE)
                is_written = flags is not None and int(flags[1], 8) & os.O_ACCMODE == os.O_RDWR
                if is_written or re.search(r"^lock:.* WRITE ", told, re.MULTILINE):
                    return True
    return False


def _lock_within(descriptor: int, seconds: float) -> bool:
    give_up_at = time.monotonic() + seconds
    while not _try_lock(descriptor, fcntl.LOCK_EX):
        if time.monotonic() > give_up_at:
            return False
        time.sleep(POLL_S)
    return True


def _try_lock(descriptor: int, kind: int) -> bool:
    try:
        fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _read(descriptor: int) -> RunningDaemon | None:
    """What the file says; None for an empty or half-written one."""
    text = os.pread(descriptor, 65536, 0)
    try:
        fields = json.loads(text)
        return RunningDaemon(
            pid=int(fields["pid"]),
            host=str(fields["host"]),
            manifest=Path(fields["manifest"]),
            started_at=datetime.fromisoformat(fields["started_at"]),
        )
    except (ValueError, KeyError, TypeError):
        return None


def _write(descriptor: int, daemon: RunningDaemon) -> None:
    fields = {
        "pid": daemon.pid,
        "host": daemon.host,
        "manifest": str(daemon.manifest.absolute()),
        "started_at": rfc3339(daemon.started_at),
    }
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, json.dumps(fields).encode(), 0)


def _is_other_manifest(previous: RunningDaemon, daemon: RunningDaemon) -> bool:
    """Whether a manifest that still exists has the folder; one that was moved has lost it."""
    return previous.manifest.exists() and not _is_same_file(previous.manifest, daemon.manifest)


def _is_same_file(one: Path, other: Path) -> bool:
    return os.path.realpath(one) == os.path.realpath(other)


def _already_running(other: RunningDaemon | None, daemon: RunningDaemon) -> IllegalTransition:
    if other is None:
        return IllegalTransition(
            "a daemon is just being started in this state folder",
            fix="wait a moment, then try again",
        )
    if not _is_same_file(other.manifest, daemon.manifest):
        return _belongs_to_other(None, other, daemon)
    where = "" if other.host == daemon.host else f" on {other.host}"
    return IllegalTransition(
        f"the daemon of {daemon.manifest} is already running{where}: pid {other.pid}",
        why=f"it was started at {rfc3339(other.started_at)}; a state folder has one daemon",
        fix="stop it with `jobrunner stop`; for a changed manifest, `jobrunner reload` is enough",
    )


def _belongs_to_other(
    folder: Path | None, other: RunningDaemon, daemon: RunningDaemon
) -> IllegalTransition:
    running = f"whose daemon is running: pid {other.pid}" if folder is None else f"by {folder}"
    return IllegalTransition(
        f"{daemon.manifest} has the same name as {other.manifest}, {running}",
        why="the name decides where the state is kept, and two manifests cannot share it",
        fix=f"set another `name:` in {daemon.manifest}",
    )
