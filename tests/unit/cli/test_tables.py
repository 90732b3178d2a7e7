"""Tables and cards: what each row says, at 80 columns and in a pipe."""

import io
from datetime import UTC, timedelta

from rich.cells import cell_len
from rich.console import Console, RenderableType

from jobrunner.cli.render_job import job_card
from jobrunner.cli.render_tables import (
    crons_table,
    history_table,
    jobs_table,
    locks_table,
    queues_table,
    workers_table,
)
from jobrunner.model import Job, JobError, JobState, Reason
from jobrunner.store.locks import LockHolder, LockRecord
from jobrunner.store.overview import QueueView
from tests.unit.cli.values import MINUTE, NOW, a_cron, a_job, a_worker, an_end

CRON_JOB = "nightly-backup@2026-11-21T01:00:00Z"


def shown(renderable: RenderableType, width: int = 80) -> list[str]:
    console = Console(file=io.StringIO(), width=width, color_system=None, highlight=False)
    with console.capture() as capture:
        console.print(renderable)
    return [line.rstrip() for line in capture.get().splitlines()]


def card(job: Job, **secrets: frozenset[str]) -> str:
    return "\n".join(shown(job_card(job, NOW, UTC, **secrets)))


def test_a_list_tells_state_age_and_duration() -> None:
    jobs = [
        a_job(duration=timedelta(seconds=4.2), attempt=1),
        a_job(id=CRON_JOB, state=JobState.RUNNING, started_at=NOW - 3 * MINUTE, attempt=2),
        a_job(id="p3f9x2mq7pab", state=JobState.SCHEDULED, due_at=NOW + 5 * MINUTE),
    ]

    lines = shown(jobs_table(jobs, NOW, 100), 100)

    assert [line.split() for line in lines] == [
        ["ID", "TASK", "STATE", "CREATED", "DUE", "TOOK", "TRY"],
        ["k3f9x2mq7pab", "backup", "completed", "2m", "ago", "-", "4.2s", "1"],
        [CRON_JOB, "backup", "running", "2m", "ago", "-", "3m00s", "2"],
        ["p3f9x2mq7pab", "backup", "scheduled", "2m", "ago", "in", "5m", "-", "-"],
    ]


def test_a_list_keeps_whole_ids_at_80_columns() -> None:
    job = a_job(id=CRON_JOB, task="a-task-with-quite-a-long-name", attempt=1)

    lines = shown(jobs_table([job], NOW, 80))

    assert lines[1].startswith(CRON_JOB)
    assert max(cell_len(line) for line in lines) <= 80


def test_a_cancel_that_is_not_answered_yet_is_told() -> None:
    job = a_job(state=JobState.RUNNING, cancel_requested=True)

    assert "running, cancelling" in shown(jobs_table([job], NOW, 100), 100)[1]


def test_history_ends_with_error_detail_or_result() -> None:
    jobs = [
        a_job(error=JobError("exit", "it ended\nwith 3"), state=JobState.FAILED),
        a_job(state=JobState.SKIPPED, reason=Reason.LOCKED, detail="p3f9x2mq7pab"),
        a_job(result={"rows": 3}, finished_at=NOW),
        a_job(),
    ]

    lines = shown(history_table(jobs, NOW, 100), 100)

    assert lines[1].endswith("it ended with 3")
    assert "skipped (locked)" in lines[2]
    assert lines[2].endswith("p3f9x2mq7pab")
    assert lines[3].endswith('{"rows": 3}')
    assert lines[4].endswith("-")


def test_crons_tell_schedule_zone_next_and_last() -> None:
    lines = shown(crons_table([a_cron(last=an_end())], NOW, 120), 120)

    assert lines[1] == (
        "nightly-backup  backup  daily at 02:00  Europe/Berlin  in 3m  completed 2m ago"
    )


def test_a_worker_without_lease_is_told() -> None:
    workers = [a_worker(), a_worker(id="w2", lease_ends_at=NOW - MINUTE)]

    lines = shown(workers_table(workers, NOW, 120), 120)

    assert "ends in 12s" in lines[1]
    assert "ended 1m ago" in lines[2]


def test_locks_have_a_row_for_each_holder() -> None:
    holders = [
        LockHolder(job_id, "backup", "w1", 17, NOW - MINUTE, NOW + MINUTE)
        for job_id in ("k3f9x2mq7pab", "p3f9x2mq7pab")
    ]
    locks = [LockRecord("backup", holders, ["q1"]), LockRecord("free", [], ["q1", "q2"])]

    lines = shown(locks_table(locks, NOW, 120), 120)

    assert [line.split()[:2] for line in lines[1:]] == [
        ["backup", "k3f9x2mq7pab"],
        ["backup", "p3f9x2mq7pab"],
        ["free", "free"],
    ]
    assert lines[3].endswith("2")


def test_queues_tell_what_waits_by_priority() -> None:
    lines = shown(queues_table([QueueView("web", 1, 2, 3, 4)], 80))

    assert lines[1].split() == ["web", "6", "1", "2", "3", "4"]


def test_an_empty_table_says_so() -> None:
    assert shown(jobs_table([], NOW, 80)) == ["no such jobs"]
    assert shown(queues_table([], 80)) == ["no queues"]
    assert shown(locks_table([], NOW, 80)) == ["no locks are held"]
    assert "`jobrunner run` starts them" in shown(workers_table([], NOW, 80))[0]


def test_a_card_tells_why_a_job_failed() -> None:
    job = a_job(
        state=JobState.FAILED,
        reason=Reason.TIMEOUT,
        attempt=3,
        error=JobError("timeout", "it ran longer than 2h", traceback="Traceback …\nhere"),
        started_at=NOW - 2 * MINUTE,
        finished_at=NOW - MINUTE,
        duration=MINUTE,
    )

    text = card(job)

    assert "state     failed (timeout)" in text
    assert "error     timeout: it ran longer than 2h" in text
    assert "finished  2026-11-21 11:59:00 UTC (1m ago)" in text
    assert "took      1m00s" in text
    assert text.endswith("Traceback …\nhere")


def test_a_card_tells_only_what_there_is() -> None:
    labels = [line.split()[0] for line in card(a_job(state=JobState.QUEUED)).splitlines()]

    assert labels == ["job", "task", "state", "created", "queue"]


def test_the_values_of_secret_parameters_are_masked() -> None:
    job = a_job(arguments={"day": "2026-11-21", "token": "s3cret", "rows": 3})

    text = card(job, secrets=frozenset({"token"}))

    assert "arguments  day=2026-11-21 token=*** rows=3" in text
    assert "s3cret" not in text
