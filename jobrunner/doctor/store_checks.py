"""Checks of what the namespace holds: daemons, workers, queues, and whether all fits together."""

from collections import Counter
from collections.abc import Sequence

from jobrunner.doctor.facts import StoreReport
from jobrunner.doctor.finding import Finding, counted, listed, ok, problem, warning
from jobrunner.store.leases import LEASE_TTL, RENEW_EVERY, WorkerEntry
from jobrunner.store.orphan import Kind, Orphan

RESCUE_TAKES = LEASE_TTL * RENEW_EVERY * 2  # a rescuer's tick, and one that it missed
LOCKS = frozenset({Kind.STALE_LOCK})
COUNTS = frozenset({Kind.WRONG_COUNT})
DAMAGED = frozenset({Kind.WRONG_TYPE, Kind.DAMAGED})
REPAIR = "`jobrunner doctor --repair` shows them and mends them"


def keys(report: StoreReport) -> Finding:
    """Is all that the namespace holds as jobrunner writes it?"""
    damaged = [o for o in report.orphans if o.kind in DAMAGED]
    if report.hidden:
        return not_looked_at("keys", report.hidden)
    if not damaged:
        return ok("keys", "all keys are as jobrunner writes them")
    told = [f"'{key}' {what}" for key, what in _damages(damaged).items()]
    return problem(
        "keys",
        f"something else has written to the store: {listed(told)}",
        why="what depends on these keys does not work, or works as if they were not there",
        fix=REPAIR,
    )


def _damages(orphans: Sequence[Orphan]) -> dict[str, str]:
    """What is wrong with each key, in a few words."""
    found: dict[str, str] = {}
    for orphan in orphans:
        is_type = orphan.kind is Kind.WRONG_TYPE
        found.setdefault(orphan.key, orphan.detail if is_type else f"holds {orphan.id[:40]!r}")
    return found


def crons(report: StoreReport) -> Finding:
    """Are crons silent since a clock was ahead?"""
    ahead = [o for o in report.orphans if o.kind is Kind.AHEAD]
    if report.hidden:
        return not_looked_at("crons", report.hidden)
    if not ahead:
        return ok("crons", "no cron was handled ahead of the store's clock")
    told = [f"'{orphan.id}' {orphan.detail}" for orphan in ahead]
    return problem(
        "crons",
        f"{counted(len(ahead), 'cron')} handled ahead of the store's clock: {listed(told)}",
        why="this clock was ahead, or was set back; until then the cron would not fire",
        fix=f"start a daemon, which sets it back, or {REPAIR}",
    )


def daemons(report: StoreReport) -> Finding:
    """Does any daemon serve this store?"""
    known = [daemon for daemon in report.daemons if not daemon.damaged_key]
    if known:
        hosts = sorted({daemon.host for daemon in known})
        return ok("daemons", f"{counted(len(known), 'daemon')} on {listed(hosts)}")
    if report.daemons:
        return warning(
            "daemons",
            f"not known: the key '{report.daemons[0].damaged_key}' is damaged",
            why="it tells which daemons there are",
            fix=REPAIR,
        )
    return problem(
        "daemons",
        "no daemon serves this store",
        why="crons do not fire, and what is queued waits",
        fix="start one with `jobrunner run`",
    )


def reload(report: StoreReport) -> Finding:
    """Is the manifest on disk the one that runs?"""
    if report.on_disk is None or not report.daemons:
        return ok("reload", "not compared: no valid manifest, or no daemon that runs it")
    running, on_disk = report.running, report.on_disk
    changed = [
        f"{kind} '{name}'"
        for kind, before, after in (
            ("task", running.tasks, on_disk.tasks),
            ("cron", running.crons, on_disk.crons),
        )
        for name in sorted(before.keys() | after.keys())
        if before.get(name) != after.get(name)
    ]
    if not changed and running.digest == on_disk.digest:
        return ok("reload", "the daemon runs the manifest as it is")
    return warning(
        "reload",
        f"the manifest differs from what runs: {listed(changed) or 'see its text'}",
        why="the daemon keeps what it read at its start or last reload",
        fix="`jobrunner reload`",
    )


def workers(report: StoreReport) -> Finding:
    """Are there workers whose jobs nobody took back?"""
    late = [worker.id for worker in report.workers if _is_late(report, worker)]
    lost = sorted({*late, *report.dead_workers})
    if not lost:
        return ok("workers", f"{counted(len(report.workers), 'worker')}, none lost")
    return problem(
        "workers",
        f"{counted(len(lost), 'worker')} lost and not rescued: {listed(lost)}",
        why="the jobs that they had go back to their queues when a daemon rescues them",
        fix="start a daemon; one that runs does it within 20 s",
    )


def _is_late(report: StoreReport, worker: WorkerEntry) -> bool:
    return worker.lease_ends_at is None or report.now - worker.lease_ends_at > RESCUE_TAKES


def served(report: StoreReport) -> Finding:
    """Do jobs wait in queues that no worker serves?"""
    served_queues = {queue for worker in report.workers for queue in worker.queues}
    idle = [view for view in report.queues if view.waiting and view.name not in served_queues]
    if not idle:
        return ok("queues", f"{counted(len(report.queues), 'queue')}; all with jobs are served")
    names = listed([view.name for view in idle])
    return problem(
        "queues",
        f"{counted(sum(view.waiting for view in idle), 'job')} in queues no worker serves: {names}",
        why="they wait until a daemon has the queue in `workers.queues` or in a task",
        fix="start a daemon whose manifest has that queue, or cancel the jobs",
    )


def tasks(report: StoreReport) -> Finding:
    """Do jobs wait whose task no daemon has published?"""
    unknown = {
        task: number
        for task, number in report.live_by_task.items()
        if number and task not in report.running.tasks
    }
    if not unknown:
        return ok("tasks", "every task with waiting jobs is known to a daemon")
    return warning(
        "tasks",
        f"{counted(sum(unknown.values()), 'job')} of unknown tasks: {listed(sorted(unknown))}",
        why="no daemon has published these tasks, so nobody runs the jobs",
        fix="declare the tasks in the manifest and reload, or cancel the jobs",
    )


def times(report: StoreReport) -> Finding:
    """Do jobs wait for a time that a wrong clock may have given them?"""
    if not report.far_off:
        return ok("times", "no job is due later than in a year, or was made in the future")
    return warning(
        "times",
        f"{counted(len(report.far_off), 'job')} due absurdly late: {listed(report.far_off)}",
        why="a clock that was ahead has made them, or they are due later than in a year",
        fix="if that is not meant: `jobrunner cancel` them, and submit them again",
    )


def locks(report: StoreReport) -> Finding:
    """Are locks held by jobs that cannot have them?"""
    return _orphaned(report, "locks", "lock", [o for o in report.orphans if o.kind in LOCKS])


def records(report: StoreReport) -> Finding:
    """Do records, queues and indexes fit together?"""
    found = [o for o in report.orphans if o.kind not in LOCKS | COUNTS | DAMAGED | {Kind.AHEAD}]
    return _orphaned(report, "records", "record, entry or member", found)


def counts(report: StoreReport) -> Finding:
    """Do the counts that `status` shows agree with the records?"""
    if not report.is_counted:
        return warning(
            "counts",
            "the counts were not compared with the jobs",
            why="so many jobs wait that counting them would hold up the server",
            fix="ask again when fewer jobs wait",
        )
    found = [o for o in report.orphans if o.kind in COUNTS]
    return _orphaned(report, "counts", "count", found)


def not_looked_at(check: str, why: str) -> Finding:
    """In place of a check for which the store's user has not the right."""
    return warning(
        check,
        "not looked at: the store's user may not",
        why=why,
        fix="ask as the daemon's user; docs/acl.md says what each role may",
    )


def _orphaned(report: StoreReport, check: str, noun: str, orphans: list[Orphan]) -> Finding:
    if report.hidden:
        return not_looked_at(check, report.hidden)
    if not orphans:
        return ok(check, f"no orphaned {noun}")
    by_kind = Counter(orphan.kind for orphan in orphans)
    kinds = ", ".join(f"{number} {kind}" for kind, number in sorted(by_kind.items()))
    return problem(
        check,
        f"{len(orphans)} orphaned: {kinds}",
        why=f"no job's record explains them, or a job has lost its place: {_named(orphans)}",
        fix=REPAIR,
    )


def _named(orphans: list[Orphan]) -> str:
    return listed(list(dict.fromkeys(orphan.job_id or orphan.id for orphan in orphans)))


STORE_CHECKS = (keys, daemons, reload, workers, served, tasks, crons, times, locks, records, counts)
