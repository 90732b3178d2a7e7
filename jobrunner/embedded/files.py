"""The embedded server's files: data, log, lock, and the socket, which may have to be elsewhere."""

import fcntl
import os
import stat
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

# What `sun_path` holds without its final zero byte.
LONGEST_SOCKET_PATH = 107 if sys.platform == "linux" else 103  # bytes
LONGEST_RUNTIME_FOLDER = 60  # bytes, which leaves room for `/jobrunner-<uid>-<random>/server.sock`


class ServerFiles:
    """The files of one state folder (which exists, mode 0700)."""

    def __init__(self, state_folder: Path) -> None:
        self._folder = state_folder.absolute()
        self.data = self._folder / "data"
        self.log = self._folder / "server.log"
        self.lock_path = self._folder / "server.lock"
        self._note = self._folder / "server.socket"  # the socket's path, when it is elsewhere

    def socket(self) -> Path:
        """Where the socket is, or will be at the next start."""
        inside = self._folder / "server.sock"
        if len(os.fsencode(inside)) <= LONGEST_SOCKET_PATH:
            return inside
        noted = self._noted_socket()
        return inside if noted is None else noted

    def new_socket(self) -> Path:
        """Where to put the socket, with no old one in the way. Makes a short folder if needed."""
        path = self.socket()
        if len(os.fsencode(path)) > LONGEST_SOCKET_PATH:
            path = _private_runtime_folder() / "server.sock"
            self._note.write_text(str(path))
        path.unlink(missing_ok=True)  # the lock says that nobody listens on it
        return path

    def remove_socket(self) -> None:
        """Remove the socket of a server that has ended, and its folder if that was elsewhere."""
        noted = self._noted_socket()
        if noted is not None:
            with suppress(OSError):  # litter in a temporary folder is no reason to fail a stop
                noted.unlink(missing_ok=True)
                noted.parent.rmdir()
        self._note.unlink(missing_ok=True)

    @contextmanager
    def lock(self) -> Iterator[int]:
        """The open lock file, not locked yet; `flock` it. Not inherited unless asked for."""
        descriptor = os.open(self.lock_path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            yield descriptor
        finally:
            os.close(descriptor)

    def prepare(self, log_limit: int) -> None:
        """Make the data folder and the log; a log longer than `log_limit` bytes is set aside."""
        self.data.mkdir(mode=0o700, exist_ok=True)
        self.log.touch(mode=0o600)
        if self.log.stat().st_size > log_limit:
            self.log.replace(self.log.with_suffix(".log.1"))
            self.log.touch(mode=0o600)

    def log_since(self, start: int) -> list[str]:
        """The lines of the log from the byte `start` on, without times and warnings."""
        with self.log.open("rb") as log:
            log.seek(start)
            lines = log.read().decode(errors="replace").splitlines()
        return [_message(line) for line in lines if line.strip() and " WARNING " not in line]

    def _noted_socket(self) -> Path | None:
        """The socket in a runtime folder, as long as that folder is still ours alone."""
        try:
            noted = Path(self._note.read_text())
        except FileNotFoundError:
            return None
        return noted if _is_private(noted.parent) else None


def is_locked(descriptor: int) -> bool:
    """Whether another process holds the lock of an open file. Takes no lock that outlasts it.

    Unlocked, and not just closed: a process that another thread forks meanwhile has the file open
    until it executes its program, and would keep the lock.
    """
    if not try_lock(descriptor):
        return True
    fcntl.flock(descriptor, fcntl.LOCK_UN)
    return False


def try_lock(descriptor: int) -> bool:
    """Take the lock of an open file; False when another process holds it."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _private_runtime_folder() -> Path:
    """A new folder with a random name and a short path that only we can enter.

    New each time, because a foreseeable name in a folder for everybody could be taken
    by somebody else.
    """
    runtime = os.environ.get("XDG_RUNTIME_DIR", "")
    is_short = len(os.fsencode(runtime)) < LONGEST_RUNTIME_FOLDER
    base = runtime if runtime and is_short and os.path.isdir(runtime) else "/tmp"
    return Path(tempfile.mkdtemp(prefix=f"jobrunner-{os.getuid()}-", dir=base))


def _is_private(folder: Path) -> bool:
    try:
        status = folder.lstat()
    except OSError:
        return False
    return (
        stat.S_ISDIR(status.st_mode)
        and status.st_uid == os.getuid()
        and not status.st_mode & (stat.S_IRWXG | stat.S_IRWXO)
    )


def _message(line: str) -> str:
    """`4810:M 21 Nov 2026 03:35:19.104 # Failed …` without pid and time."""
    _, sign, message = line.partition(" # ")
    if not sign:
        _, sign, message = line.partition(" * ")
    return message if sign else line
