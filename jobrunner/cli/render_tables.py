"""Tables for people, as pure functions of values: lists of jobs, crons, workers, locks, queues.

`width` is the room there is, in cells.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from rich.console import RenderableType
from rich.text import Text

from jobrunner.cli.columns import Cell, Column, fitted_table
from jobrunner.cli.render import (
    STATE_STYLES,
    duration_text,
    job_state_text,
    outcome_text,
    relative_text,
    state_text,
)

if TYPE_CHECKING:  # each command has loaded the few of them that it shows
    from jobrunner.model import Job
    from jobrunner.store.leases import WorkerEntry
    from jobrunner.store.locks import LockRecord
    from jobrunner.store.overview import CronView, LastEnd, QueueView

QUIET = "dim"

JOB_COLUMNS = (
    Column("ID", 0),
    Column("TASK", 1, least=10),
    Column("STATE", 2, least=9),
    Column("CREATED", 4),
    Column("DUE", 3),
    Column("TOOK", 5, is_number=True),
    Column("TRY", 6, is_number=True),
)
HISTORY_COLUMNS = (
    Column("ID", 0),
    Column("STATE", 1, least=9),
    Column("FINISHED", 2),
    Column("TOOK", 3, is_number=True),
    Column("TRY", 5, is_number=True),
    Column("OUTCOME", 4, least=10),
)
CRON_COLUMNS = (
    Column("CRON", 0, least=10),
    Column("TASK", 4, least=8),
    Column("SCHEDULE", 2, least=14),
    Column("ZONE", 5),
    Column("NEXT", 1),
    Column("LAST", 3, least=9),
)
WORKER_COLUMNS = (
    Column("WORKER", 0),
    Column("HOST", 3, least=8),
    Column("PID", 2, is_number=True),
    Column("SLOTS", 4, is_number=True),
    Column("BUSY", 1, is_number=True),
    Column("UP", 6),
    Column("LEASE", 5),
    Column("QUEUES", 7, least=7),
)
LOCK_COLUMNS = (
    Column("LOCK", 0, least=10),
    Column("HOLDER", 1, least=12),
    Column("TASK", 5, least=8),
    Column("SINCE", 3),
    Column("LEASE", 4),
    Column("TOKEN", 6, is_number=True),
    Column("WAITING", 2, is_number=True),
)
QUEUE_COLUMNS = (
    Column("QUEUE", 0, least=10),
    Column("WAITING", 1, is_number=True),
    Column("HIGH", 3, is_number=True),
    Column("NORMAL", 4, is_number=True),
    Column("LOW", 5, is_number=True),
    Column("CLAIMED", 2, is_number=True),
)


def _table_or(
    nothing: str, columns: Sequence[Column], rows: Sequence[Sequence[Cell]], width: int
) -> RenderableType:
    return fitted_table(columns, rows, width) if rows else Text(nothing, style=QUIET)


def job_state(job: Job) -> Text:
    """The state in words and colour."""
    return Text(job_state_text(job), style=STATE_STYLES[job.state])


def last_end(last: LastEnd | None, now: datetime) -> Text:
    """`completed 2m ago`; `-` for None."""
    if last is None:
        return Text("-", style=QUIET)
    text = Text()
    text.append(state_text(last.state, last.reason), style=STATE_STYLES[last.state])
    return text.append(f" {relative_text(last.finished_at, now)}")


def took(job: Job, now: datetime) -> timedelta | None:
    """How long the job's latest attempt took, or has been running for."""
    if job.duration is not None or job.started_at is None:
        return job.duration
    return None if job.is_terminal else max(now - job.started_at, timedelta(0))


def jobs_table(jobs: Sequence[Job], now: datetime, width: int) -> RenderableType:
    """For `list`: in the order given."""
    rows = [
        (
            job.id,
            job.task,
            job_state(job),
            relative_text(job.created_at, now),
            "-" if job.is_terminal else relative_text(job.due_at, now),
            duration_text(took(job, now)),
            str(job.attempt or "-"),
        )
        for job in jobs
    ]
    return _table_or("no such jobs", JOB_COLUMNS, rows, width)


def history_table(jobs: Sequence[Job], now: datetime, width: int) -> RenderableType:
    """For `history`: how each went, and what it said in the end."""
    rows = [
        (
            job.id,
            job_state(job),
            relative_text(job.finished_at, now),
            duration_text(job.duration),
            str(job.attempt or "-"),
            outcome_text(job),
        )
        for job in jobs
    ]
    return _table_or("no finished jobs", HISTORY_COLUMNS, rows, width)


def crons_table(crons: Sequence[CronView], now: datetime, width: int) -> RenderableType:
    """For `crons`."""
    rows = [
        (
            cron.name,
            cron.task,
            cron.words,
            cron.timezone,
            next_fire_text(cron, now),
            last_end(cron.last, now),
        )
        for cron in crons
    ]
    return _table_or("no crons", CRON_COLUMNS, rows, width)


def next_fire_text(cron: CronView, now: datetime) -> Text:
    """`in 3m`, or why there is no next fire; one that is over is loud: nobody handles it."""
    if not cron.is_enabled:
        return Text("disabled", style=QUIET)
    if cron.is_paused:
        return Text("paused", style="bold yellow")
    is_over = cron.next_fire_at is not None and now - cron.next_fire_at > timedelta(seconds=1)
    return Text(relative_text(cron.next_fire_at, now), style="bold red" if is_over else "")


def workers_table(workers: Sequence[WorkerEntry], now: datetime, width: int) -> RenderableType:
    """For `workers`."""
    rows = [
        (
            worker.id,
            worker.host,
            str(worker.pid),
            str(worker.slots),
            str(worker.busy),
            duration_text(now - worker.started_at),
            lease_text(worker.lease_ends_at, now),
            ", ".join(worker.queues),
        )
        for worker in workers
    ]
    nothing = "no workers: nothing runs jobs; `jobrunner run` starts them"
    return _table_or(nothing, WORKER_COLUMNS, rows, width)


def lease_text(ends_at: datetime | None, now: datetime) -> Text:
    """`ends in 12s`; a lease that has ended is loud: its jobs are about to be rescued."""
    if ends_at is None or ends_at <= now:
        return Text(f"ended {relative_text(ends_at, now)}", style="bold red")
    return Text(f"ends {relative_text(ends_at, now)}")


def locks_table(locks: Sequence[LockRecord], now: datetime, width: int) -> RenderableType:
    """For `locks`: a row per holder."""
    rows = [row for lock in locks for row in _lock_rows(lock, now)]
    return _table_or("no locks are held", LOCK_COLUMNS, rows, width)


def _lock_rows(lock: LockRecord, now: datetime) -> list[tuple[Cell, ...]]:
    waiting = str(lock.waiting_count)
    if not lock.holders:
        return [(lock.name, Text("free", style=QUIET), "-", "-", "-", "-", waiting)]
    return [
        (
            lock.name,
            holder.job_id,
            holder.task,
            relative_text(holder.since, now),
            lease_text(holder.expires_at, now),
            str(holder.token),
            waiting,
        )
        for holder in lock.holders
    ]


def queues_table(queues: Sequence[QueueView], width: int) -> RenderableType:
    """For `queues`."""
    rows = [
        (
            queue.name,
            *(
                str(number)
                for number in (queue.waiting, queue.high, queue.normal, queue.low, queue.claimed)
            ),
        )
        for queue in queues
    ]
    return _table_or("no queues", QUEUE_COLUMNS, rows, width)
