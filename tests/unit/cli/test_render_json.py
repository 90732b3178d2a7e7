"""JSON: exactly the documented fields, in their order."""

import json
import re
from datetime import timedelta
from pathlib import Path

import pytest

from jobrunner.cli import render_json
from jobrunner.cli.render_json import Json
from jobrunner.errors import Location, Problem
from jobrunner.model import JobError, JobState, Reason
from jobrunner.store.locks import LockHolder, LockRecord
from jobrunner.store.logs import LogLine, Stream
from jobrunner.store.overview import QueueView
from tests.unit.cli.values import (
    NOW,
    a_cron,
    a_daemon,
    a_job,
    a_task,
    a_worker,
    an_end,
    an_overview,
)

DOCUMENT = Path(__file__).parents[3] / "docs" / "json.md"

JOB = render_json.job_json(a_job(error=JobError("exit", "it ended with 3", 3)))
EXAMPLES: dict[str, Json] = {
    "Job": JOB,
    "Error": JOB["error"],
    "Line": render_json.log_line_json(LogLine(1, Stream.STDOUT, "hello", 1)),
    "Problem": render_json.problem_json(Problem(Location("jobs.yaml", 1, 2), "bad")),
    "Status": render_json.overview_json(an_overview()),
    "Daemon": render_json.daemon_json(a_daemon()),
    "Worker": render_json.worker_json(a_worker()),
    "Queue": render_json.queue_json(QueueView("default", 1, 2, 3, 4)),
    "Task": render_json.task_json(a_task()),
    "Cron": render_json.cron_json(a_cron()),
    "Last": render_json.cron_json(a_cron(last=an_end()))["last"],
    "Lock": render_json.lock_json(LockRecord("backup", [], [])),
    "Submitted": render_json.submitted_json("k3f9x2mq7pab", "backup", "queued"),
}


@pytest.mark.parametrize("name", EXAMPLES)
def test_the_document_lists_exactly_the_fields_in_their_order(name: str) -> None:
    section = DOCUMENT.read_text().split(f"\n## {name}\n")[1].split("\n## ")[0]
    documented = re.findall(r"^\| `(\w+)` \|", section, re.MULTILINE)

    assert documented == list(EXAMPLES[name])


def test_a_job_has_the_fields_other_programs_rely_on() -> None:
    fields = (
        "id task state reason attempt queue priority cron fire_time created_at due_at started_at "
        "finished_at duration_ms result error last_stderr worker lock progress usage left"
    )

    assert list(JOB) == fields.split()


def test_instants_are_rfc_3339_in_utc_and_durations_whole_milliseconds() -> None:
    job = a_job(
        state=JobState.FAILED,
        reason=Reason.TIMEOUT,
        started_at=NOW,
        finished_at=NOW + timedelta(milliseconds=1500),
        duration=timedelta(microseconds=1_499_999),
    )

    found = json.loads(json.dumps(render_json.job_json(job)))

    assert (found["state"], found["reason"]) == ("failed", "timeout")
    assert found["started_at"] == "2026-11-21T12:00:00Z"
    assert found["finished_at"] == "2026-11-21T12:00:01.500Z"
    assert found["duration_ms"] == 1499
    assert found["due_at"] is None


def test_a_lock_tells_its_holders_and_who_waits() -> None:
    holder = LockHolder("k3f9x2mq7pab", "backup", "w1", 17, NOW, NOW + timedelta(minutes=2))

    found = render_json.lock_json(LockRecord("backup", [holder], ["p1", "p2"]))

    assert found == {
        "name": "backup",
        "holders": [
            {
                "job": "k3f9x2mq7pab",
                "task": "backup",
                "worker": "w1",
                "token": 17,
                "since": "2026-11-21T12:00:00Z",
                "expires_at": "2026-11-21T12:02:00Z",
            }
        ],
        "waiting": ["p1", "p2"],
        "waiting_count": 2,
    }
