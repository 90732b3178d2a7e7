"""Asking `jobrunner why` in tests: its answers without the instants, which differ each time."""

import json
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from msgspec.structs import replace

from jobrunner.store.leases import DaemonEntry, announce
from jobrunner.store.published import Published, PublishedCron, PublishedTask, publish
from tests.store.factories import Store
from tests.unit.cli.conftest import Invoke

DAEMON = DaemonEntry(
    "d1", "web-1", 4242, "0.1.0", "/srv/jobs.yaml", datetime(2026, 11, 21, tzinfo=UTC), 1, "running"
)
DEMO = PublishedTask("demo", "command", timeout_s=60)
OTHER = PublishedTask("other", "command")
NIGHTLY = PublishedCron("nightly", "demo", "0 2 * * *", "daily at 02:00", "Europe/Berlin")


@dataclass(frozen=True)
class Answer:
    code: str
    sentence: str  # with `T` for each instant and `D` for each duration
    facts: dict[str, Any]
    fix: str | None
    exit_code: int


def serve(store: Store, *crons: PublishedCron, state: str = "running") -> None:
    """As a daemon does: it is present, and has published tasks and crons."""
    store.run(announce(store.keys, replace(DAEMON, state=state)))
    tasks = {task.name: task for task in (DEMO, OTHER)}
    store.run(publish(store.keys, Published(tasks, {cron.name: cron for cron in crons})))


def answers(invoke: Invoke, subject: str, *args: str) -> list[Answer]:
    """What `why` says of the subject, in its order."""
    outcome = invoke("why", subject, "--json", *args)
    assert outcome.stderr == ""
    return [
        Answer(each["code"], timeless(each["sentence"]), each["facts"], each["fix"], outcome.code)
        for each in json.loads(outcome.stdout)
    ]


def answer(invoke: Invoke, subject: str, *args: str) -> Answer:
    [only] = answers(invoke, subject, *args)
    return only


def says(invoke: Invoke, job_id: str, code: str, about: str) -> Answer:
    """The answer on a job of task `demo`; fails unless it has this code, and this to say of it."""
    said = answer(invoke, job_id)
    assert (said.code, said.sentence) == (code, f"job {job_id} (demo) {about}")
    return said


def timeless(text: str) -> str:
    text = re.sub(r"(\d{4}-\d\d-\d\d )?\d\d:\d\d:\d\d\b(?!Z)", "T", text)
    return re.sub(r"\b\d+(\.\d+)?(ms|s|m\d\ds|h\d\dm|d\d\dh)\b", "D", text)
