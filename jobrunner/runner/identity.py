"""The user and groups that a command runs as."""

import grp
import os
import pwd
import sys
from dataclasses import dataclass
from pathlib import Path

from jobrunner.manifest.spec import Task
from jobrunner.runner.failures import CannotStart

LARGEST_ID = 0xFFFF_FFFE  # the next one means "do not change it" to the system
CAPABILITIES = {"CAP_SETGID": 6, "CAP_SETUID": 7}  # that it takes to become another user


@dataclass(frozen=True, slots=True)
class Identity:
    """Numeric ids, and the variables that go with the user."""

    uid: int
    gid: int
    groups: list[int]  # supplementary ones
    variables: dict[str, str]


@dataclass(frozen=True, slots=True)
class _Account:
    """A user, known to the system or by its number alone."""

    uid: int
    gid: int
    name: str
    home: str = "/"
    shell: str = "/bin/sh"
    is_known: bool = False


def identity_of(task: Task) -> Identity | None:
    """Whom the task asks for; None when that is the daemon's own user and group.

    Raises CannotStart for an unknown name, and for another user when the daemon may not become one;
    OSError when no descriptor is free to look.
    """
    if task.user is None and task.group is None:
        return None
    # Without one the system says that there is no such user, and that a user has no groups.
    os.close(os.open(os.devnull, os.O_RDONLY))
    account = _account(task.user) if task.user is not None else None
    uid = account.uid if account else os.geteuid()
    own_gid = account.gid if account else os.getegid()
    gid = _gid(task.group) if task.group is not None else own_gid
    if (uid, gid) == (os.geteuid(), os.getegid()):
        return None
    if (missing := _missing_right()) is not None:
        raise CannotStart(
            f"cannot run as user {task.user or uid}, group {task.group or gid}",
            why=missing,
            fix="start the daemon as root, or remove user and group",
        )
    if account is None:
        return Identity(uid, gid, os.getgroups(), {})
    groups = os.getgrouplist(account.name, gid) if account.is_known else [gid]
    return Identity(uid, gid, groups, _variables(account))


def _missing_right() -> str | None:
    """Why the daemon cannot become another user; None when it can, as far as can be told."""
    try:
        status = Path("/proc/self/status").read_text() if sys.platform == "linux" else ""
    except OSError:
        status = ""
    for line in status.splitlines():
        if line.startswith("CapEff:"):
            held = int(line.split()[1], 16)
            missing = [name for name, bit in CAPABILITIES.items() if not held >> bit & 1]
            if missing and os.geteuid() == 0:
                return f"the daemon is root without {' and '.join(missing)}"
            return "the daemon is not root" if missing else None
    return None if os.geteuid() == 0 else "the daemon is not root"


def _variables(account: _Account) -> dict[str, str]:
    name = account.name
    return {"HOME": account.home, "USER": name, "LOGNAME": name, "SHELL": account.shell}


def _account(user: str) -> _Account:
    """Raises CannotStart when there is none of that name, or no such number can be."""
    try:
        found = pwd.getpwuid(_number(user)) if user.isdecimal() else pwd.getpwnam(user)
    except KeyError:
        if user.isdecimal():
            return _without_entry(_number(user))
        raise CannotStart(f"there is no user {user!r}", fix=_fix_for(user)) from None
    shell = found.pw_shell or "/bin/sh"
    return _Account(found.pw_uid, found.pw_gid, found.pw_name, found.pw_dir, shell, is_known=True)


def _without_entry(uid: int) -> _Account:
    """A number that no account has, as in containers: never with the daemon's own groups."""
    if uid == os.geteuid():
        return _Account(uid, os.getegid(), str(uid))
    return _Account(uid, uid, str(uid))


def _fix_for(user: str) -> str:
    name, colon, group = user.partition(":")
    if colon:
        return f"write `user: {name}` and `group: {group}`"
    return "correct `user`, or add the user"


def _gid(group: str) -> int:
    try:
        return _number(group) if group.isdecimal() else grp.getgrnam(group).gr_gid
    except KeyError:
        raise CannotStart(
            f"there is no group {group!r}", fix="correct `group`, or add the group"
        ) from None


def _number(text: str) -> int:
    """Raises CannotStart for one that the system would not take for a user or group."""
    number = int(text)
    if number > LARGEST_ID:
        raise CannotStart(
            f"{text} is no number of a user or group", fix=f"give one from 0 to {LARGEST_ID}"
        )
    return number
