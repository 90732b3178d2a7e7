"""The user and groups that a command runs as."""

import grp
import os
import pwd
from dataclasses import dataclass

from jobrunner.manifest.spec import Task
from jobrunner.runner.failures import CannotStart


@dataclass(frozen=True, slots=True)
class Identity:
    """Numeric ids, and the variables that go with the user."""

    uid: int
    gid: int
    groups: list[int]  # supplementary ones
    variables: dict[str, str]


def identity_of(task: Task) -> Identity | None:
    """Whom the task asks for; None when that is the daemon's own user and group.

    Raises CannotStart for an unknown name, and for another user when the daemon is not root.
    """
    if task.user is None and task.group is None:
        return None
    account = _account(task.user) if task.user is not None else None
    uid = account.pw_uid if account else os.geteuid()
    own_gid = account.pw_gid if account else os.getegid()
    gid = _gid(task.group) if task.group is not None else own_gid
    if (uid, gid) == (os.geteuid(), os.getegid()):
        return None
    if os.geteuid() != 0:
        raise CannotStart(
            f"cannot run as user {task.user or uid}, group {task.group or gid}",
            why="the daemon is not root",
            fix="start the daemon as root, or remove user and group",
        )
    if account is None:
        return Identity(uid, gid, os.getgroups(), {})
    groups = os.getgrouplist(account.pw_name, gid)
    return Identity(uid, gid, groups, _variables(account))


def _variables(account: pwd.struct_passwd) -> dict[str, str]:
    name = account.pw_name
    shell = account.pw_shell or "/bin/sh"
    return {"HOME": account.pw_dir, "USER": name, "LOGNAME": name, "SHELL": shell}


def _account(user: str) -> pwd.struct_passwd:
    try:
        return pwd.getpwuid(int(user)) if user.isdecimal() else pwd.getpwnam(user)
    except KeyError:
        raise CannotStart(
            f"there is no user {user!r}", fix="correct `user`, or add the user"
        ) from None


def _gid(group: str) -> int:
    try:
        return int(group) if group.isdecimal() else grp.getgrnam(group).gr_gid
    except KeyError:
        raise CannotStart(
            f"there is no group {group!r}", fix="correct `group`, or add the group"
        ) from None
