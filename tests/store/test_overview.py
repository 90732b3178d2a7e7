"""The overview: what `status` shows, read from a real server."""

from datetime import UTC, datetime, timedelta

from jobrunner import message
from jobrunner.message import Message
from jobrunner.model import JobState, Priority, Reason, new_job_id
from jobrunner.store.attempts import (
    Entry,
    Finish,
    HeldLock,
    Start,
    claim,
    ensure_groups,
    finish,
    start,
)
from jobrunner.store.connection import StoreConnection
from jobrunner.store.crons import pause_cron
from jobrunner.store.keys import Keys
from jobrunner.store.leases import DaemonEntry, WorkerEntry, announce, enlist
from jobrunner.store.overview import LiveCounts, Overview, QueueView, read_overview
from jobrunner.store.published import Published, PublishedCron, PublishedTask, publish
from jobrunner.store.requests import Command
from jobrunner.store.submission import Submission, submit

STARTED = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)


def overview(connection: StoreConnection, keys: Keys) -> Overview:
    return connection.run(read_overview(keys))


def declare(connection: StoreConnection, keys: Keys) -> None:
    """One task with a cron of another name."""
    task = PublishedTask("backup", "command", description="Dump the database")
    cron = PublishedCron("nightly", "backup", "0 2 * * *", "daily at 02:00", "Europe/Berlin")
    connection.run(publish(keys, Published({"backup": task}, {"nightly": cron})))


def submit_one(
    connection: StoreConnection, keys: Keys, task: str = "backup", **more: object
) -> str:
    job_id = new_job_id()
    text = message.encode(Message(task))
    connection.run(submit(keys, [Submission(job_id, task, text, **more)]))  # type: ignore[arg-type]
    return job_id


def claim_all(connection: StoreConnection, keys: Keys) -> list[Entry]:
    connection.run(ensure_groups(keys, ["default"]))
    worker = WorkerEntry("w1", "web-1", 4243, STARTED, "boot", 8, ["default"], "d1")
    connection.run(enlist(keys, worker))
    entries = connection.run(claim(keys, "w1", ["default"], 8)) or []
    return [entry for entry in entries if isinstance(entry, Entry)]


def pass_a_millisecond(connection: StoreConnection) -> None:
    """Two finishes are in order only when their instants differ."""
    seconds, micros = connection.execute(Command(("TIME",)))
    until = int(seconds) * 1_000_000 + int(micros) + 1000
    while int(seconds) * 1_000_000 + int(micros) < until:
        seconds, micros = connection.execute(Command(("TIME",)))


def end_all(
    connection: StoreConnection, keys: Keys, state: JobState, duration_ms: int = 100
) -> list[str]:
    entries = claim_all(connection, keys)
    reason = Reason.ERROR if state is JobState.FAILED else None
    ends = [Finish(each, "backup", state, reason, duration_ms=duration_ms) for each in entries]
    connection.run(finish(keys, "w1", ends))
    pass_a_millisecond(connection)
    return [entry.job_id for entry in entries]


def test_an_empty_namespace_has_nothing(connection: StoreConnection, keys: Keys) -> None:
    found = overview(connection, keys)

    assert found.name == keys.name
    assert abs(found.now - datetime.now(UTC)) < timedelta(seconds=5)
    shown = (found.daemons, found.workers, found.queues, found.tasks, found.crons, found.locks)
    assert not any(shown)


def test_declared_tasks_and_crons_are_there_before_anything_ran(
    connection: StoreConnection, keys: Keys
) -> None:
    declare(connection, keys)

    found = overview(connection, keys)

    assert [(task.name, task.kind, task.last) for task in found.tasks] == [
        ("backup", "command", None)
    ]
    [cron] = found.crons
    assert (cron.name, cron.task, cron.words) == ("nightly", "backup", "daily at 02:00")
    assert (cron.is_paused, cron.next_fire_at, cron.last) == (False, None, None)


def test_live_jobs_are_counted_by_state(connection: StoreConnection, keys: Keys) -> None:
    declare(connection, keys)
    for _ in range(3):
        submit_one(connection, keys)
    submit_one(connection, keys, delay=timedelta(hours=1))
    entries = claim_all(connection, keys)
    connection.run(start(keys, "w1", [Start(entries[0], "backup")]))
    submit_one(connection, keys, priority=Priority.HIGH)

    found = overview(connection, keys)

    assert found.tasks[0].counts == LiveCounts(scheduled=1, blocked=0, queued=3, running=1)
    assert found.crons[0].counts == found.tasks[0].counts
    assert found.queues == [QueueView("default", high=1, normal=0, low=0, claimed=3)]


def test_the_last_end_and_the_usual_duration_are_of_finished_jobs(
    connection: StoreConnection, keys: Keys
) -> None:
    declare(connection, keys)
    for duration_ms in (100, 300, 200):
        submit_one(connection, keys)
        end_all(connection, keys, JobState.COMPLETED, duration_ms)
    submit_one(connection, keys)
    [failed] = end_all(connection, keys, JobState.FAILED, 9000)

    [task] = overview(connection, keys).tasks

    assert task.last is not None
    assert (task.last.job_id, task.last.state) == (failed, JobState.FAILED)
    assert task.last.duration == timedelta(seconds=9)
    assert task.usual_duration == timedelta(milliseconds=200)


def test_the_holder_of_a_lock_is_told_with_its_task(
    connection: StoreConnection, keys: Keys
) -> None:
    declare(connection, keys)
    job_id = submit_one(connection, keys)
    [entry] = claim_all(connection, keys)
    lock = HeldLock("backup", 1, 60_000, "skip")
    connection.run(start(keys, "w1", [Start(entry, "backup", lock=lock)]))

    found = overview(connection, keys)

    assert found.tasks[0].lock_holder == job_id
    assert found.crons[0].lock_holder == job_id
    assert [holder.job_id for holder in found.locks[0].holders] == [job_id]


def test_jobs_of_a_task_that_left_the_manifest_are_shown_while_they_live(
    connection: StoreConnection, keys: Keys
) -> None:
    declare(connection, keys)
    submit_one(connection, keys, "gone")

    tasks = {task.name: task for task in overview(connection, keys).tasks}

    assert (tasks["gone"].kind, tasks["gone"].counts.queued) == ("", 1)


def test_a_paused_cron_says_so(connection: StoreConnection, keys: Keys) -> None:
    declare(connection, keys)
    connection.run(pause_cron(keys, "nightly"))

    assert overview(connection, keys).crons[0].is_paused


def test_daemons_and_workers_are_those_with_a_lease(
    connection: StoreConnection, keys: Keys
) -> None:
    daemon = DaemonEntry("d1", "web-1", 4242, "0.1.0", "/srv/jobs.yaml", STARTED, 1, "running")
    connection.run(announce(keys, daemon))
    claim_all(connection, keys)

    found = overview(connection, keys)

    assert found.daemons == [daemon]
    assert [worker.id for worker in found.workers] == ["w1"]
