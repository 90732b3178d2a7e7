"""Checks of this host: manifest, state folder, disk, time zones, daemon and systemd."""

from collections.abc import Sequence

from jobrunner.doctor.facts import HostFacts
from jobrunner.doctor.finding import Finding, counted, listed, ok, problem, size_text, warning
from jobrunner.errors import Problem
from jobrunner.runner.openfiles import MORE_FILES, files_for, slots_within
from jobrunner.store.private import PRIVATE

LITTLE_ROOM = 512 * 2**20  # bytes: output, results and the server's file all grow
NO_ROOM = 64 * 2**20


def manifest(facts: HostFacts) -> Finding:
    """Can the manifest on disk be run?"""
    if facts.invalid is None:
        return _remarks(facts.remarks)
    return problem(
        "manifest",
        f"the manifest has {counted(len(facts.invalid.problems), 'problem')}",
        why="no daemon can be started or reloaded with it",
        fix="`jobrunner validate` tells them all, with their places",
    )


def _remarks(remarks: Sequence[Problem]) -> Finding:
    """Of a good manifest, what may not be meant: the first of it."""
    if not remarks:
        return ok("manifest", "the manifest is valid")
    first, more = remarks[0], len(remarks) - 1
    place = f" ({first.where})" if first.where else ""
    others = f"; `jobrunner validate` tells {more} more" if more else ""
    return warning(
        "manifest", f"{first.what}{place}", why=first.why or "", fix=f"{first.fix}{others}"
    )


def folder(facts: HostFacts) -> Finding:
    """Is the state folder the daemon's own, and closed to others?"""
    state = facts.folder
    if state.owner is None:
        return ok("folder", f"the state folder {state.path} is made by the first `jobrunner run`")
    if state.owner != facts.uid:
        return problem(
            "folder",
            f"the state folder {state.path} belongs to uid {state.owner}, this user is {facts.uid}",
            why="only its owner can run the daemon in it, and reach the embedded server",
            fix="run jobrunner as its owner, e.g. with `sudo -u`",
        )
    if state.rights & ~PRIVATE:
        return problem(
            "folder",
            f"the state folder {state.path} has the rights {state.rights:04o}",
            why="others could reach the store's socket and submit jobs as this user",
            fix=f"`chmod 700 {state.path}`",
        )
    return ok("folder", f"{state.path} is private")


def socket(facts: HostFacts) -> Finding:
    """Is the embedded server's socket there while the daemon runs?"""
    if not facts.is_embedded:
        return ok("socket", "not needed: the manifest names a server in store.url")
    if facts.folder.has_socket:
        return ok("socket", "the embedded server's socket is where it should be")
    if facts.daemon is None:
        return ok("socket", "not needed: the embedded server runs with the daemon")
    return problem(
        "socket",
        "the embedded server's socket is gone while the daemon runs",
        why="somebody removed it, or cleaned up the runtime folder; nobody can connect any more",
        fix="stop the daemon and start it again",
    )


def disk(facts: HostFacts) -> Finding:
    """Is there room on the disk of the state folder?"""
    free, size = facts.folder.disk_free, facts.folder.disk_size
    text = f"{size_text(free)} of {size_text(size)} are free on the disk of the state folder"
    fix = "make room there, or shorten `retention` in the manifest"
    if free < NO_ROOM:
        return problem("disk", text, "a store that cannot write refuses submits and results", fix)
    if free < LITTLE_ROOM:
        return warning("disk", text, "output and history of jobs need room", fix)
    return ok("disk", text)


def zones(facts: HostFacts) -> Finding:
    """Does the time zone database know the zones that crons name?"""
    found = facts.zones
    where = f"{found.source}, version {found.version}"
    if not found.missing:
        return ok("zones", f"{counted(len(found.named), 'time zone')} of crons found in {where}")
    return problem(
        "zones",
        f"no time zone {listed(found.missing)} in {where}",
        why="crons of these zones cannot be computed",
        fix="correct the names, or install tzdata: `pip install tzdata`, or the system's package",
    )


def daemon(facts: HostFacts) -> Finding:
    """Does a daemon run in the state folder of this host?"""
    if facts.daemon is not None:
        return ok("daemon", f"runs on {facts.daemon.host} as pid {facts.daemon.pid}")
    if not facts.is_embedded:
        return ok("daemon", "none runs on this host; those of the store are told below")
    return problem(
        "daemon",
        "no daemon runs",
        why="crons do not fire, and submits are refused",
        fix="start it with `jobrunner run`, or as a service: `jobrunner systemd --install`",
    )


def systemd(facts: HostFacts) -> Finding:
    """Does systemd watch the daemon, by the unit that this version would write?"""
    service = facts.service
    if service.unit is not None and not service.is_current:
        return warning(
            "systemd",
            f"the unit {service.unit} is not what `jobrunner systemd` prints",
            why="it was changed by hand, or written by another version or for other settings",
            fix="keep changes in a drop-in; `jobrunner systemd --install --force` writes it anew",
        )
    environ = service.environ
    if environ is None or "INVOCATION_ID" not in environ:
        what = "is not run by systemd" if service.unit is None else "does not run as its unit now"
        return ok("systemd", f"the daemon {what}")
    missing = [name for name in ("NOTIFY_SOCKET", "WATCHDOG_USEC") if name not in environ]
    if missing:
        return warning(
            "systemd",
            f"systemd runs the daemon without {' and '.join(missing)}",
            why="it does not see when the daemon is ready, or hangs",
            fix="use the unit of `jobrunner systemd`: Type=notify and WatchdogSec=",
        )
    return ok("systemd", "systemd watches the daemon")


def files(facts: HostFacts) -> Finding:
    """May a worker open as many files as its slots need?"""
    allowed, wanted = facts.platform.open_files, facts.platform.slots
    if wanted is None:
        return ok("files", f"a process may open {allowed} files")
    slots = slots_within(wanted, allowed)
    if slots == wanted:
        return ok("files", f"a worker may open {allowed} files, enough for {wanted} slots")
    return warning(
        "files",
        f"a worker may open {allowed} files, enough for {slots} of {wanted} slots",
        why=f"{wanted} slots need {files_for(wanted)}; the daemon uses {slots}",
        fix=f"{MORE_FILES}, or lower `workers.slots`",
    )


def stop(facts: HostFacts) -> Finding:
    """Does the platform wait for running jobs when it stops the daemon?"""
    short = facts.platform.short_stop
    if short is None:
        return ok("stop", "nothing is known to kill the daemon before `workers.drain` is over")
    return warning("stop", short.what, short.why, short.fix)


def limits(facts: HostFacts) -> Finding:
    """Do limits hold for whole jobs?"""
    wanted, whole = facts.platform.limits, facts.platform.whole
    if not wanted:
        return ok("limits", "no task limits its memory, processor time or processes")
    if whole is None:
        return ok("limits", "whether limits hold for whole jobs is told while the daemon runs")
    lacking = [f"limits.{name}" for name in wanted if name not in whole]
    if not lacking:
        return ok("limits", f"limits hold for whole jobs: {', '.join(wanted)}")
    return warning(
        "limits",
        f"{listed(lacking)} hold for each process of a job by itself",
        why="the daemon can make no control group here that counts them for all together",
        fix="run it by the unit of `jobrunner systemd`, which has Delegate=yes; or as root where "
        "/sys/fs/cgroup can be written",
    )


HOST_CHECKS = (manifest, folder, socket, disk, zones, daemon, systemd, files, stop, limits)
