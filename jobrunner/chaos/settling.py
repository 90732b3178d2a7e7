"""The end of a round: everything ends, and what is left is read as evidence."""

from contextlib import suppress
from functools import partial

from jobrunner.chaos.arena import Arena
from jobrunner.chaos.evidence import Evidence
from jobrunner.chaos.history import read_history
from jobrunner.chaos.site import Stuck, until
from jobrunner.model import Job
from jobrunner.store.audit import audit
from jobrunner.store.crons import pause_cron
from jobrunner.store.keyspace import Family, read_keyspace
from jobrunner.store.orphan import Kind, Orphan
from jobrunner.store.records import read_jobs

SETTLE_S = 90.0  # until the next job has ended, once nothing is done to anybody any more
QUIET_S = 20.0  # until nothing is left over of them
BUGS = ("Traceback", "never retrieved", "never awaited", "ResourceWarning", "RuntimeWarning")
PAGE = 500  # records read in one round trip


def settle(arena: Arena) -> Evidence:
    """Stop the clients, let every job end, and read what is left. Raises Stuck."""
    arena.load.stop()
    arena.ensure()
    for cron in arena.setting.declaration.crons:
        arena.run(pause_cron(arena.keys, cron))
    with suppress(Stuck):  # what is left is a violation, and told as such
        _end_all(arena)
        until(lambda: not _left_over(arena), QUIET_S, "nothing is left over")
    for site in arena.sites:
        arena.notes.problems += _complaints(site.logs())
    return read_evidence(arena)


def _left_over(arena: Arena) -> list[Orphan]:
    """What the audit finds, by the true clock: that of a scenario may still be ahead of it."""
    return [each for each in arena.run(audit(arena.keys)) if each.kind is not Kind.AHEAD]


def _end_all(arena: Arena) -> None:
    """Wait for as long as jobs end: a lock of one slot may have a long line. Raises Stuck."""
    left = _live_jobs(arena)
    while left:
        until(partial(_has_fewer, arena, left), SETTLE_S, "another job has ended")
        left = _live_jobs(arena)


def _has_fewer(arena: Arena, than: int) -> bool:
    return _live_jobs(arena) < than


def _live_jobs(arena: Arena) -> int:
    return sum(_live(arena).values())


def _complaints(log: str) -> list[str]:
    """Lines of daemons' logs that tell of a bug, whatever was killed."""
    return [line for line in log.splitlines() if any(text in line for text in BUGS)]


def read_evidence(arena: Arena) -> Evidence:
    """All that can be read now."""
    running = arena.execute("ZRANGE", arena.keys.running(), 0, -1)
    declaration = arena.setting.declaration
    return Evidence(
        history=read_history(arena.history_path),
        acknowledged=dict(arena.load.acknowledged),
        jobs=_jobs(arena),
        terms=declaration.terms,
        worker_slots=declaration.slots,
        fires=arena.notes.fires,
        orphans=[
            f"{orphan.kind} {orphan.key} {orphan.id} {orphan.detail}"
            for orphan in _left_over(arena)
        ],
        live=_live(arena),
        running=[member.decode() for member in running],
        may_be_gone=frozenset(arena.notes.may_be_gone),
    )


def _live(arena: Arena) -> dict[str, int]:
    """The store's counts of jobs that have not ended, by state and task."""
    flat = arena.execute("HGETALL", arena.keys.counts())
    counts = dict(zip(flat[::2], flat[1::2], strict=True))
    return {name.decode(): int(number) for name, number in counts.items() if int(number)}


def _jobs(arena: Arena) -> dict[str, Job]:
    """Every record of the namespace."""
    ids = arena.run(read_keyspace(arena.keys)).names(Family.RECORD)
    return {
        job.id: job
        for start in range(0, len(ids), PAGE)
        for job in arena.run(read_jobs(arena.keys, ids[start : start + PAGE]))
    }
