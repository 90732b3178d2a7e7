"""Values with valid defaults, for the tests of what is shown."""

from datetime import UTC, datetime, timedelta
from typing import Any

from jobrunner.model import Job, JobState, Priority
from jobrunner.store.leases import DaemonEntry, WorkerEntry
from jobrunner.store.overview import CronView, LastEnd, Overview, TaskView

NOW = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


def a_job(**changes: Any) -> Job:
    fields: dict[str, Any] = {
        "id": "k3f9x2mq7pab",
        "task": "backup",
        "state": JobState.COMPLETED,
        "queue": "default",
        "priority": Priority.NORMAL,
        "created_at": NOW - 2 * MINUTE,
    }
    return Job(**{**fields, **changes})


def an_end(**changes: Any) -> LastEnd:
    fields: dict[str, Any] = {
        "job_id": "k3f9x2mq7pab",
        "state": JobState.COMPLETED,
        "reason": None,
        "finished_at": NOW - 2 * MINUTE,
        "duration": timedelta(seconds=4.2),
    }
    return LastEnd(**{**fields, **changes})


def a_cron(**changes: Any) -> CronView:
    fields: dict[str, Any] = {
        "name": "nightly-backup",
        "task": "backup",
        "schedule": "0 2 * * *",
        "words": "daily at 02:00",
        "timezone": "Europe/Berlin",
        "next_fire_at": NOW + 3 * MINUTE,
    }
    return CronView(**{**fields, **changes})


def a_task(**changes: Any) -> TaskView:
    return TaskView(**{"name": "backup", "kind": "command", **changes})


def a_daemon(**changes: Any) -> DaemonEntry:
    fields: dict[str, Any] = {
        "id": "d1",
        "host": "web-1",
        "pid": 4242,
        "version": "0.1.0",
        "manifest": "/srv/shop/jobs.yaml",
        "started_at": NOW - 300 * MINUTE,
        "generation": 1,
        "state": "running",
    }
    return DaemonEntry(**{**fields, **changes})


def a_worker(**changes: Any) -> WorkerEntry:
    fields: dict[str, Any] = {
        "id": "w1",
        "host": "web-1",
        "pid": 4243,
        "started_at": NOW - 300 * MINUTE,
        "pid_space": "b",
        "slots": 64,
        "queues": ["default"],
        "daemon": "d1",
        "lease_ends_at": NOW + timedelta(seconds=12),
    }
    return WorkerEntry(**{**fields, **changes})


def an_overview(**changes: Any) -> Overview:
    fields: dict[str, Any] = {
        "name": "shop",
        "now": NOW,
        "daemons": [a_daemon()],
        "workers": [a_worker()],
        "queues": [],
        "tasks": [],
        "crons": [],
        "locks": [],
    }
    return Overview(**{**fields, **changes})
