"""JSON of our values, as docs/json.md promises it: names, order and units are stable."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from jobrunner.clock import from_ms, rfc3339

if TYPE_CHECKING:  # each command has loaded the few of them that it shows
    from jobrunner.errors import Problem
    from jobrunner.model import Job, JobError, LeftProcess, Usage
    from jobrunner.store.leases import DaemonEntry, WorkerEntry
    from jobrunner.store.locks import LockRecord
    from jobrunner.store.logs import LogLine
    from jobrunner.store.overview import CronView, LastEnd, Overview, QueueView, TaskView
    from jobrunner.store.stats import Percentiles, Stats

Json = dict[str, Any]


def instant_json(instant: datetime | None) -> str | None:
    """RFC 3339 in UTC."""
    return None if instant is None else rfc3339(instant)


def milliseconds(duration: timedelta | None) -> int | None:
    """Whole milliseconds, rounded down."""
    return None if duration is None else duration // timedelta(milliseconds=1)


def job_json(job: Job) -> Json:
    """The fields of a job that other programs may rely on, in their documented order."""
    return {
        "id": job.id,
        "task": job.task,
        "state": job.state,
        "reason": job.reason,
        "attempt": job.attempt,
        "queue": job.queue,
        "priority": job.priority,
        "cron": job.cron,
        "fire_time": instant_json(job.fire_time),
        "created_at": instant_json(job.created_at),
        "due_at": instant_json(job.due_at),
        "started_at": instant_json(job.started_at),
        "finished_at": instant_json(job.finished_at),
        "duration_ms": milliseconds(job.duration),
        "result": job.result,
        "error": _error_json(job.error),
        "last_stderr": job.last_stderr,
        "worker": job.worker,
        "lock": job.lock,
        "progress": job.progress,
        "usage": _usage_json(job.usage),
        "left": _left_json(job.left),
    }


def _usage_json(usage: Usage | None) -> Json | None:
    if usage is None:
        return None
    return {
        "cpu_ms": usage.cpu_ms,
        "memory_bytes": usage.memory_bytes,
        "read_bytes": usage.read_bytes,
        "write_bytes": usage.write_bytes,
    }


def _left_json(left: list[LeftProcess] | None) -> list[Json] | None:
    if left is None:
        return None
    return [{"pid": each.pid, "name": each.name, "killed": each.is_gone} for each in left]


def _error_json(error: JobError | None) -> Json | None:
    if error is None:
        return None
    return {
        "type": error.type,
        "message": error.message,
        "exit_code": error.exit_code,
        "traceback": error.traceback,
    }


def log_line_json(line: LogLine) -> Json:
    return {
        "at": _at_ms(line.at_ms),
        "stream": line.stream,
        "attempt": line.attempt,
        "text": line.text,
    }


def _at_ms(milliseconds_since_epoch: int) -> str:
    return rfc3339(from_ms(milliseconds_since_epoch))


def problem_json(problem: Problem) -> Json:
    where = problem.where
    return {
        "file": where.file if where else None,
        "line": where.line if where else None,
        "column": where.column if where else None,
        "what": problem.what,
        "why": problem.why,
        "fix": problem.fix,
    }


def check_json(
    file: str,
    counts: tuple[int, int] | None,
    problems: Sequence[Problem],
    left_out: int = 0,
    notes: Sequence[Problem] = (),
) -> Json:
    """`counts` of tasks and crons; None when the manifest is not valid."""
    tasks, crons = counts or (None, None)
    return {
        "file": file,
        "valid": not problems,
        "tasks": tasks,
        "crons": crons,
        "problems": [problem_json(problem) for problem in problems],
        "left_out": left_out,
        "notes": [problem_json(note) for note in notes],
    }


def overview_json(overview: Overview) -> Json:
    return {
        "daemons": [daemon_json(daemon) for daemon in overview.daemons],
        "workers": [worker_json(worker) for worker in overview.workers],
        "queues": [queue_json(queue) for queue in overview.queues],
        "tasks": [task_json(task) for task in overview.tasks],
        "crons": [cron_json(cron) for cron in overview.crons],
        "locks": [lock_json(lock) for lock in overview.locks],
    }


def daemon_json(daemon: DaemonEntry) -> Json:
    return {
        "id": daemon.id,
        "host": daemon.host,
        "pid": daemon.pid,
        "version": daemon.version,
        "manifest": daemon.manifest,
        "state": daemon.state,
        "started_at": instant_json(daemon.started_at),
        "generation": daemon.generation,
    }


def worker_json(worker: WorkerEntry) -> Json:
    return {
        "id": worker.id,
        "host": worker.host,
        "pid": worker.pid,
        "daemon": worker.daemon,
        "slots": worker.slots,
        "busy": worker.busy,
        "queues": worker.queues,
        "started_at": instant_json(worker.started_at),
        "lease_ends_at": instant_json(worker.lease_ends_at),
    }


def queue_json(queue: QueueView) -> Json:
    return {
        "name": queue.name,
        "waiting": queue.waiting,
        "high": queue.high,
        "normal": queue.normal,
        "low": queue.low,
        "claimed": queue.claimed,
    }


def task_json(task: TaskView) -> Json:
    return {
        "name": task.name,
        "kind": task.kind,
        "description": task.description,
        "last": _last_json(task.last),
        **_activity_json(task),
    }


def cron_json(cron: CronView) -> Json:
    return {
        "name": cron.name,
        "task": cron.task,
        "schedule": cron.schedule,
        "words": cron.words,
        "timezone": cron.timezone,
        "description": cron.description,
        "enabled": cron.is_enabled,
        "paused": cron.is_paused,
        "next": instant_json(cron.next_fire_at),
        "last": _last_json(cron.last),
        **_activity_json(cron),
    }


def _activity_json(row: TaskView | CronView) -> Json:
    return {
        "usual_duration_ms": milliseconds(row.usual_duration),
        "scheduled": row.counts.scheduled,
        "blocked": row.counts.blocked,
        "queued": row.counts.queued,
        "running": row.counts.running,
        "lock_holder": row.lock_holder,
    }


def _last_json(last: LastEnd | None) -> Json | None:
    if last is None:
        return None
    return {
        "id": last.job_id,
        "state": last.state,
        "reason": last.reason,
        "finished_at": instant_json(last.finished_at),
        "duration_ms": milliseconds(last.duration),
    }


def lock_json(lock: LockRecord) -> Json:
    return {
        "name": lock.name,
        "holders": [
            {
                "job": holder.job_id,
                "task": holder.task,
                "worker": holder.worker,
                "token": holder.token,
                "since": instant_json(holder.since),
                "expires_at": instant_json(holder.expires_at),
            }
            for holder in lock.holders
        ],
        "waiting": list(lock.waiting),
        "waiting_count": lock.waiting_count,
    }


def submitted_json(job_id: str, task: str, state: str | None) -> Json:
    """`state` is null when an idempotency key named an earlier job."""
    return {"id": job_id, "task": task, "state": state}


def jobs_json(jobs: Sequence[Job]) -> list[Json]:
    return [job_json(job) for job in jobs]


def stats_json(stats: Stats) -> Json:
    """`task` is null for all tasks together."""
    return {
        "task": stats.task,
        "window": stats.window,
        "since": instant_json(stats.since),
        "submitted": stats.submitted,
        "completed": stats.completed,
        "failed": stats.failed,
        "skipped": stats.skipped,
        "cancelled": stats.cancelled,
        "rate_per_s": round(stats.rate_per_s, 6),
        "wait_ms": _percentiles_json(stats.wait),
        "duration_ms": _percentiles_json(stats.duration),
    }


def _percentiles_json(times: Percentiles) -> Json:
    return {
        "p50": milliseconds(times.p50),
        "p95": milliseconds(times.p95),
        "p99": milliseconds(times.p99),
    }
