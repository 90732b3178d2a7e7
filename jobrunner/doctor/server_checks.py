"""Checks of the server: is it fit to keep jobs?"""

from jobrunner.doctor.facts import ServerReport
from jobrunner.doctor.finding import Finding, Level, ok, problem, size_text, warning
from jobrunner.store import checks
from jobrunner.store.room import NEARLY_FULL

SLOW_MS = 10.0  # a job costs a few round trips; on one network one takes well below 1 ms
MUCH_OF_MACHINE = 0.7  # of its memory: rewriting the append-only file may need half as much again

_LEVELS = {
    checks.Level.OK: Level.OK,
    checks.Level.UNKNOWN: Level.WARNING,
    checks.Level.WARNING: Level.WARNING,
    checks.Level.REFUSAL: Level.PROBLEM,
}


def fitness(report: ServerReport) -> list[Finding]:
    """What the daemon asks at its start, too: version, role, eviction, persistence, clock."""
    return [_finding(found) for found in checks.judge(report.facts)]


def _finding(found: checks.ServerFinding) -> Finding:
    level = _LEVELS[found.level]
    if found.level is not checks.Level.UNKNOWN:
        return Finding(found.check, level, found.what, found.why, found.fix)
    why = "managed servers often do not"
    return Finding(found.check, level, found.what, why, "look it up where the server is managed")


def fsync(report: ServerReport) -> Finding:
    """Does the server write to disk as often as the manifest wants?"""
    if report.fsync is None or report.durability is None:
        return ok("fsync", f"not compared: the server says {report.fsync or 'nothing'}")
    if report.facts.info.get("aof_enabled") != "1" or report.fsync == report.durability:
        return ok("fsync", f"appendfsync is {report.fsync}")
    if report.fsync == "always":
        return ok("fsync", "appendfsync is always, which is more than the manifest asks for")
    return problem(
        "fsync",
        f"appendfsync is {report.fsync}, and store.durability {report.durability}",
        why="a crash of the machine loses more than the manifest allows",
        fix="restart the daemon, which starts its server anew"
        if report.is_embedded
        else f"set appendfsync to {report.durability} at the server",
    )


def program(report: ServerReport) -> Finding:
    """Is the embedded server's program the newest that there is?"""
    if not report.is_embedded:
        return ok("program", "the server's own updates are up to whoever manages it")
    if report.no_program is not None:
        error = report.no_program
        return problem("program", error.what, error.why or "", error.fix or "")
    standing = report.standing
    if standing is None:
        return ok("program", "not compared: the manifest is invalid")
    others = "".join(f"; not used: {why}" for why in standing.chosen.passed_over)
    if not standing.is_outdated:
        return ok("program", f"{standing.running or 'the server'} is what would be started{others}")
    old = f"{standing.running or 'a program'}{', whose file is gone' if standing.is_gone else ''}"
    return warning(
        "program",
        f"the embedded server runs {old}; there is {standing.chosen}{others}",
        why="it lacks what was mended since",
        fix="restart the daemon: `jobrunner stop`, then `jobrunner run --upgrade-server`",
    )


def saves(report: ServerReport) -> Finding:
    """Did the server's last writes to disk succeed?"""
    info = report.facts.info
    names = {
        "aof_last_write_status": "a write of the append-only file",
        "aof_last_bgrewrite_status": "a rewrite of the append-only file",
        "rdb_last_bgsave_status": "a snapshot",
    }
    failed = [what for name, what in names.items() if info.get(name, "ok") != "ok"]
    if not failed:
        return ok("saves", "the server's last writes to disk succeeded")
    return problem(
        "saves",
        f"the last time, {' and '.join(failed)} failed",
        why="the server refuses writes, or its file grows without end",
        fix="make room on the server's disk, and read its log (embedded: server.log in the state "
        "folder)",
    )


def memory(report: ServerReport) -> Finding:
    """Is there memory left for jobs?"""
    info = report.facts.info
    used = int(info.get("used_memory", 0))
    limit, machine = int(info.get("maxmemory", 0)), int(info.get("total_system_memory", 0))
    if limit and used > NEARLY_FULL * limit:
        return problem(
            "memory",
            f"{size_text(used)} of maxmemory {size_text(limit)} are used",
            why="a full server refuses submits and results",
            fix="raise maxmemory, or shorten `retention` in the manifest",
        )
    if machine and used > MUCH_OF_MACHINE * machine:
        return warning(
            "memory",
            f"{size_text(used)} of the machine's {size_text(machine)} are used",
            why="rewriting the append-only file needs memory, too",
            fix="shorten `retention` in the manifest, or use a larger machine",
        )
    of = f" of maxmemory {size_text(limit)}" if limit else ""
    return ok("memory", f"{size_text(used)}{of} are used")


def latency(report: ServerReport) -> Finding:
    """How long does a round trip take?"""
    text = f"a round trip takes {report.latency_ms:.1f} ms"
    if report.latency_ms <= SLOW_MS:
        return ok("latency", text)
    return warning(
        "latency",
        text,
        why="each job waits for several of them",
        fix="move server and daemon closer together, or look for what keeps the server busy: "
        "`redis-cli --latency`, `SLOWLOG GET`",
    )


def room(report: ServerReport) -> Finding:
    """Can the append-only file be rewritten where the embedded server writes it?"""
    used = int(report.facts.info.get("aof_current_size", 0))
    if report.disk_free is None:
        return ok("room", "the server's disk is not on this host, or not known")
    if report.disk_free > used:
        return ok("room", f"{size_text(report.disk_free)} are free for {size_text(used)} of data")
    return warning(
        "room",
        f"{size_text(report.disk_free)} are free, and the store's file has {size_text(used)}",
        why="while it is rewritten, both the old and the new file need room",
        fix="make room on the disk of the state folder, or shorten `retention`",
    )


SERVER_CHECKS = (program, fsync, saves, memory, latency, room)
