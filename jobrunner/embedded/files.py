"""The embedded server's files: data, log, lock, and the socket, which may have to be elsewhere."""

import fcntl
import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from jobrunner.errors import IllegalTransition, StoreUnavailable
from jobrunner.store.private import (
    is_private_folder,
    open_private,
    read_private,
    write_private,
)

# What `sun_path` holds without its final zero byte.
LONGEST_SOCKET_PATH = 107 if sys.platform == "linux" else 103  # bytes
SOCKET_NAME = "server.sock"
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
        inside = self._folder / SOCKET_NAME
        if len(os.fsencode(inside)) <= LONGEST_SOCKET_PATH:
            return inside
        noted = self._noted_socket()
        return inside if noted is None else noted

    def new_socket(self) -> Path:
        """Where to put the socket, with no old one in the way. Makes a short folder if needed."""
        path = self.socket()
        if len(os.fsencode(path)) > LONGEST_SOCKET_PATH:
            path = _private_runtime_folder() / SOCKET_NAME
            write_private(self._note, str(path))
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
        descriptor = open_private(self.lock_path, os.O_RDWR | os.O_CREAT)
        try:
            yield descriptor
        finally:
            os.close(descriptor)

    def prepare(self, log_limit: int) -> None:
        """Make the data folder and the log; a log longer than `log_limit` bytes is set aside."""
        self.data.mkdir(mode=0o700, exist_ok=True)
        if not is_private_folder(self.data):
            raise IllegalTransition(
                f"{self.data} is not used: it is not a private folder of this user",
                why="the server would read and write what others have put there",
                fix=f"look at it; if it is yours, `chmod 700 {self.data}`",
            )
        with self.open_log() as log:
            is_too_long = os.fstat(log.fileno()).st_size > log_limit
        if is_too_long:
            self.log.replace(self.log.with_suffix(".log.1"))

    def open_log(self) -> BinaryIO:
        """The log, to append to."""
        return open(open_private(self.log, os.O_WRONLY | os.O_APPEND | os.O_CREAT), "ab")

    def log_since(self, start: int) -> list[str]:
        """The lines of the log from the byte `start` on, without times and warnings."""
        with open(open_private(self.log, os.O_RDONLY), "rb") as log:
            log.seek(start)
            lines = log.read().decode(errors="replace").splitlines()
        return [_message(line) for line in lines if line.strip() and " WARNING " not in line]

    def _noted_socket(self) -> Path | None:
        """The socket in a runtime folder, as long as that folder is still ours alone."""
        try:
            noted = Path(read_private(self._note))
        except OSError:
            return None
        is_ours = noted.name == SOCKET_NAME and is_private_folder(noted.parent)
        return noted if is_ours else None


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
    base = runtime if is_short and is_private_folder(Path(runtime or ".")) else "/tmp"
    try:
        return Path(tempfile.mkdtemp(prefix=f"jobrunner-{os.getuid()}-", dir=base))
    except OSError as error:
        raise StoreUnavailable(
            f"the embedded server's socket has no place: {base} cannot be written to",
            why="the state folder's own path is too long for a socket, which may have "
            f"{LONGEST_SOCKET_PATH} bytes",
            fix="set JOBRUNNER_STATE to a folder with a shorter path, or XDG_RUNTIME_DIR",
        ) from error


def _message(line: str) -> str:
    """`4810:M 21 Nov 2026 03:35:19.104 # Failed …` without pid and time."""
    _, sign, message = line.partition(" # ")
    if not sign:
        _, sign, message = line.partition(" * ")
    return message if sign else line
