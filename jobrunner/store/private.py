"""Folders and files of this user alone: whose they are is asked of what was opened.

What somebody else planted (a link, a pipe, a second name of a file of ours) is not followed, read
or written; and no folder is closed to others that is not a state folder of ours.
"""

import errno
import os
import pwd
import re
import socket
import stat
import struct
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from jobrunner.errors import IllegalTransition
from jobrunner.manifest.trust import Guard, Untrusted, open_guarded, user_name

PRIVATE = 0o700
LARGEST_NOTE = 65536  # bytes
DEPTH = 4  # of folders in a state folder: data/appendonlydir, and room
# Of the system, whoever may own them: others need to enter them. Source: hier(7).
SYSTEM_FOLDERS = re.compile(
    "/(bin|boot|dev|etc|home|lib|lib64|media|mnt|opt|proc|root|run|sbin|srv|sys|tmp|usr|var)?"
    "|/usr/(bin|lib|local|sbin|share)"
    "|/var/(cache|lib|local|lock|log|mail|opt|run|spool|tmp)"
)


def make_private(folder: Path, own_file: str, environ: Mapping[str, str]) -> str | None:
    """Make the folder, or check an existing one; a warning when its rights had to be narrowed.

    `own_file` is what a state folder of ours holds. Raises IllegalTransition, OSError.
    """
    folder.mkdir(mode=PRIVATE, parents=True, exist_ok=True)
    with _opened_through_own_links(folder) as opened:
        status = os.fstat(opened)
        _refuse_others(folder, status)
        _refuse_shared(folder, status, environ)
        rights = stat.S_IMODE(status.st_mode)
        if not rights & ~PRIVATE:
            return None
        if not _is_empty_or_ours(opened, own_file):
            raise IllegalTransition(
                f"the state folder {folder} holds other things",
                why=f"it is open to others ({rights:04o}) and would be closed: a state folder is "
                "private",
                fix="name a folder of its own with JOBRUNNER_STATE; jobrunner makes it",
            )
        # First closed, then looked through: nobody can add anything meanwhile.
        os.fchmod(opened, PRIVATE)
        if rights & (stat.S_IWGRP | stat.S_IWOTH):
            _refuse_planted(folder, opened)
        return f"the state folder {folder} was open to others ({rights:04o}); it is private now"


def open_private(path: Path, flags: int) -> int:
    """A descriptor of a file of this user's, made with mode 0600 where `flags` make it.

    Raises IllegalTransition for what is not ours, OSError.
    """
    kept_out = os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
    try:
        opened = os.open(path, flags | kept_out, 0o600)
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.EMLINK, errno.ENXIO):
            raise _planted(path, "it is a link, or no regular file") from error
        raise
    status = os.fstat(opened)
    why = None
    if not stat.S_ISREG(status.st_mode):
        why = "it is no regular file"
    elif status.st_uid != os.geteuid():
        why = f"it belongs to {user_name(status.st_uid)}"
    elif status.st_nlink > 1:
        why = "it has another name elsewhere"
    if why is None:
        os.set_blocking(opened, True)
        return opened
    os.close(opened)
    raise _planted(path, why)


def read_private(path: Path) -> str:
    """The text of a note of this user's or root's, which nobody else can write.

    Raises OSError where there is none, also for one of somebody else's.
    """
    opened = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
    with open(opened, encoding="utf-8", errors="surrogateescape") as file:
        status = os.fstat(opened)
        is_ours = status.st_uid in {0, os.geteuid()} and stat.S_ISREG(status.st_mode)
        if not is_ours or status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
            raise FileNotFoundError(errno.ENOENT, "it is not ours", str(path))
        return file.read(LARGEST_NOTE)


def write_private(path: Path, text: str) -> None:
    """Put a note there, in place of whatever is there; never through a link. Raises OSError."""
    with _opened_folder(path.parent) as folder:
        if os.fstat(folder).st_uid != os.geteuid():
            raise PermissionError(errno.EPERM, "it is in a folder of another user", str(path))
    draft, name = tempfile.mkstemp(prefix=f".{path.name}-", dir=path.parent)
    try:
        with open(draft, "w", encoding="utf-8", errors="surrogateescape") as file:
            file.write(text)
        os.replace(name, path)
    except BaseException:
        with suppress(OSError):
            os.unlink(name)
        raise


def is_private_folder(folder: Path) -> bool:
    """Whether it is a folder of this user's, no link to one, that nobody else can enter."""
    try:
        status = os.lstat(folder)
    except OSError:
        return False
    is_closed = not status.st_mode & (stat.S_IRWXG | stat.S_IRWXO)
    return stat.S_ISDIR(status.st_mode) and status.st_uid == os.geteuid() and is_closed


def peer_uid(sock: socket.socket, path: str) -> int:
    """Who listens at the other end of a connected Unix socket. Raises OSError."""
    if not hasattr(socket, "SO_PEERCRED"):  # macOS: whose the socket's file is
        return os.stat(path).st_uid
    credentials = sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    _, uid, _ = struct.unpack("3i", credentials)
    return int(uid)


@contextmanager
def _opened_through_own_links(folder: Path) -> Iterator[int]:
    try:
        opened = open_guarded(folder, Guard.FILES)
    except Untrusted as error:
        raise _planted(folder, "it is a link of another user's") from error
    try:
        yield opened
    finally:
        os.close(opened)


@contextmanager
def _opened_folder(folder: Path) -> Iterator[int]:
    opened = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield opened
    finally:
        os.close(opened)


def _refuse_others(folder: Path, status: os.stat_result) -> None:
    if status.st_uid != os.geteuid():
        raise IllegalTransition(
            f"the state folder {folder} belongs to {user_name(status.st_uid)}",
            why=f"this process runs as {user_name(os.geteuid())}, and the folder is private",
            fix="run as its owner, or name another folder with JOBRUNNER_STATE",
        )


def _refuse_shared(folder: Path, status: os.stat_result, environ: Mapping[str, str]) -> None:
    """Not a home, a folder of the system, or one that many users share."""
    homes = [environ.get("HOME"), _home_of(os.geteuid())]
    if status.st_mode & stat.S_ISVTX:
        why = "it is shared: its sticky bit lets many users keep files there"
    elif any(home and _is_same(home, status) for home in homes):
        why = "it is the home folder"
    elif SYSTEM_FOLDERS.fullmatch(os.path.realpath(folder)):
        why = "it is a folder of the system"
    else:
        return
    raise IllegalTransition(
        f"{folder} cannot be the state folder",
        why=f"{why}, and a state folder is closed to others",
        fix="name a folder of its own with JOBRUNNER_STATE; jobrunner makes it",
    )


def _home_of(uid: int) -> str | None:
    try:
        return pwd.getpwuid(uid).pw_dir
    except KeyError:
        return None


def _is_same(path: str, status: os.stat_result) -> bool:
    try:
        return os.path.samestat(os.stat(path), status)
    except OSError:
        return False


def _is_empty_or_ours(opened: int, own_file: str) -> bool:
    if not os.listdir(opened):
        return True
    try:
        status = os.stat(own_file, dir_fd=opened, follow_symlinks=False)
    except OSError:
        return False
    return stat.S_ISREG(status.st_mode) and status.st_uid == os.geteuid()


def _refuse_planted(folder: Path, opened: int, depth: int = DEPTH) -> None:
    """Nothing in a folder that others could write is theirs, a link, or has a second name."""
    for name in os.listdir(opened):
        status = os.stat(name, dir_fd=opened, follow_symlinks=False)
        path = folder / name
        if status.st_uid != os.geteuid():
            raise _planted(path, f"it belongs to {user_name(status.st_uid)}")
        if stat.S_ISLNK(status.st_mode):
            raise _planted(path, "it is a link")
        if stat.S_ISREG(status.st_mode) and status.st_nlink > 1:
            raise _planted(path, "it has another name elsewhere")
        if stat.S_ISDIR(status.st_mode) and depth:
            flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
            inner = os.open(name, flags, dir_fd=opened)
            try:
                _refuse_planted(path, inner, depth - 1)
            finally:
                os.close(inner)


def _planted(path: Path, why: str) -> IllegalTransition:
    return IllegalTransition(
        f"{path} is not used: {why}",
        why="somebody else may have put it there, to have another file read or written",
        fix="if it is another user's daemon's, run as that user, e.g. with `sudo -u`; else look at "
        "it, and remove it",
    )
