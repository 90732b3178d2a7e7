"""Whose word a manifest is: who may write a file, found out by the descriptor that is read from.

A manifest says which programs run and where the store is. So whoever can write it, a file that it
includes, a module that it imports, or a folder on the way there, decides what its reader runs. A
path is walked one name at a time, each opened in the folder opened before: what was checked is what
is read, whatever is renamed meanwhile.
"""

import errno
import grp
import os
import pwd
import stat
import struct
from collections import deque
from contextlib import suppress
from enum import StrEnum
from pathlib import Path

from jobrunner.errors import UsageError

TRUST_VARIABLE = "JOBRUNNER_TRUST"
MOST_LINKS = 40  # as the kernel has it
ACL = "system.posix_acl_access"
ACL_OTHERS = frozenset({2, 8})  # entries for a named user, a named group; acl(5)
ACL_MASK, ACL_WRITE = 0x10, 2


class Guard(StrEnum):
    """Whose files are read: anybody's; the reader's and root's; those which, by no folder on the
    way either, others can write; the reader's own only."""

    NONE = "none"
    FILES = "files"
    FOLDERS = "folders"
    OWN = "own"


class Untrusted(UsageError):
    """A file that somebody else may write."""


def open_guarded(path: str | Path, guard: Guard) -> int:
    """A descriptor to read from, of a file that the guard lets pass. Raises Untrusted, OSError."""
    if guard is Guard.NONE:
        # A pipe that nobody writes to must not hold its reader up.
        return os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    return _Walk(os.path.abspath(path), guard).open()


def read_guarded(path: str | Path, guard: Guard, most: int) -> bytes:
    """What a file holds, up to `most` + 1 bytes. Raises Untrusted, and OSError for no file, too.

    Never waits for a writer: some files below /proc look regular and have one.
    """
    opened = open_guarded(path, guard)
    try:
        _check_regular(opened)
        parts, left = [], most + 1
        while left > 0 and (part := os.read(opened, left)):
            parts.append(part)
            left -= len(part)
        return b"".join(parts)
    finally:
        os.close(opened)


def _check_regular(opened: int) -> None:
    """Raises OSError for a folder, pipe, socket or device."""
    mode = os.fstat(opened).st_mode
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
    if not stat.S_ISREG(mode):
        raise OSError(errno.EINVAL, "it is not a regular file")


def check_folder(path: Path, guard: Guard) -> None:
    """Nobody else may write the folder, or one on the way. Raises Untrusted, OSError."""
    if guard is Guard.FOLDERS:
        os.close(_Walk(str(path.absolute()), guard).open())


def others_who_write(status: os.stat_result, descriptor: int | None, *, root: bool) -> str | None:
    """Who else may write this file or folder, as "belongs to …"; None when nobody may.

    `root` says whether root may; `descriptor`, of the open file, is asked for its access list.
    """
    own = {os.geteuid(), *([0] if root else [])}
    if status.st_uid not in own:
        return f"belongs to {user_name(status.st_uid)}"
    own.add(0)  # who may write everything, whatever the mode says
    if status.st_mode & stat.S_IWOTH:
        return "may be written by everybody"
    if status.st_mode & stat.S_IWGRP:
        if _has_others(status.st_gid, own):
            return f"may be written by the members of {_group_name(status.st_gid)}"
        if descriptor is not None and _lists_others(descriptor):
            return "may be written by others, as its access list says"
    return None


def user_name(uid: int) -> str:
    try:
        return f"user {pwd.getpwuid(uid).pw_name}"
    except KeyError:
        return f"uid {uid}"


class _Walk:
    """One path, opened name by name."""

    def __init__(self, path: str, guard: Guard) -> None:
        self._path = path
        self._guard = guard
        self._links = 0
        folder, name = os.path.split(path)
        # Below FOLDERS only the file counts, and the links that lead to it.
        self._start = self._at = "/" if guard is Guard.FOLDERS else folder
        names = path.split("/") if guard is Guard.FOLDERS else [name]
        self._names = deque(each for each in names if each not in ("", "."))

    def open(self) -> int:
        # To pass through a folder one need not be able to list it.
        is_passed = getattr(os, "O_PATH", os.O_RDONLY)
        folder = os.open(self._start, is_passed | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            if self._guard is Guard.FOLDERS:
                self._check(folder, is_last_folder=len(self._names) <= 1)
            while self._names:
                opened = self._next(folder, self._names.popleft())
                os.close(folder)
                folder = opened
            return folder
        except BaseException:
            os.close(folder)
            raise

    def _next(self, folder: int, name: str) -> int:
        before, self._at = self._at, os.path.join(self._at, name)
        flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
        try:
            opened = os.open(name, flags, dir_fd=folder)
        except OSError as error:
            if error.errno not in (errno.ELOOP, errno.EMLINK):
                raise
            self._at = before
            return self._follow(folder, name)
        try:
            # A folder in which others may make files is no place to look for modules.
            self._check(opened, is_last_folder=len(self._names) <= 1)
        except BaseException:
            os.close(opened)
            raise
        return opened

    def _follow(self, folder: int, name: str) -> int:
        """Go on where a link leads; the folder it stands in, or the root, stays open for that."""
        self._links += 1
        if self._links > MOST_LINKS:
            raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), self._path)
        status, target = _read_link(folder, name)
        if status.st_uid not in {0, os.geteuid()}:  # its mode means nothing
            raise _untrusted(self._path, f"a link to it belongs to {user_name(status.st_uid)}")
        self._names.extendleft(
            reversed([each for each in target.split("/") if each not in ("", ".")])
        )
        if target.startswith("/"):
            self._at = "/"
            return os.open("/", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        return os.dup(folder)

    def _check(self, opened: int, *, is_last_folder: bool) -> None:
        status = os.fstat(opened)
        is_folder = stat.S_ISDIR(status.st_mode)
        if is_folder and self._guard is not Guard.FOLDERS:
            return
        who = others_who_write(status, opened, root=self._guard is not Guard.OWN)
        if who is None:
            return
        is_sticky = is_folder and status.st_mode & stat.S_ISVTX and not is_last_folder
        if is_sticky and status.st_uid in {0, os.geteuid()}:
            return  # others may make files there, but rename none of ours
        is_on_the_way = is_folder and self._at != self._path
        raise _untrusted(
            self._path, f"the folder {self._at} {who}" if is_on_the_way else f"it {who}"
        )


def _read_link(folder: int, name: str) -> tuple[os.stat_result, str]:
    """Whose a link is, and where it leads: of the same link where the system can tell."""
    if not hasattr(os, "O_PATH"):
        status = os.stat(name, dir_fd=folder, follow_symlinks=False)
        return status, os.readlink(name, dir_fd=folder)
    link = os.open(name, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=folder)
    try:
        return os.fstat(link), os.readlink("", dir_fd=link)
    finally:
        os.close(link)


def _untrusted(path: str, who: str) -> Untrusted:
    return Untrusted(
        f"{path} is not trusted: {who}",
        why="a manifest says which programs run and where the store is: who can write it, or what "
        "it reads, decides what this user runs",
        fix="make it yours with `chown` and `chmod go-w`; or, if you trust all who can write it, "
        f"say --trust or set {TRUST_VARIABLE}=1",
    )


def _has_others(gid: int, own: set[int]) -> bool:
    """Whether a group has other members; as everybody's first group it counts as well."""
    with suppress(KeyError):
        for name in grp.getgrgid(gid).gr_mem:
            with suppress(KeyError):
                if pwd.getpwnam(name).pw_uid not in own:
                    return True
    return any(user.pw_gid == gid and user.pw_uid not in own for user in pwd.getpwall())


def _group_name(gid: int) -> str:
    try:
        return f"group {grp.getgrgid(gid).gr_name}"
    except KeyError:
        return f"gid {gid}"


def _lists_others(descriptor: int) -> bool:
    """Whether an access control list lets somebody named write. Format: posix_acl_xattr, Linux."""
    if not hasattr(os, "getxattr"):
        return False
    try:
        listed = os.getxattr(descriptor, ACL)[4:]
    except OSError:
        return False  # none, or a file system without
    entries = [entry[:2] for entry in struct.iter_unpack("<HHI", listed[: len(listed) // 8 * 8])]
    mask = next((rights for tag, rights in entries if tag == ACL_MASK), ACL_WRITE)
    return any(tag in ACL_OTHERS and rights & mask & ACL_WRITE for tag, rights in entries)
