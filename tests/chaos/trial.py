"""Evidence made of lines: what the tests of the rules judge."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from jobrunner.chaos.evidence import Evidence, Terms
from jobrunner.chaos.history import read_history
from jobrunner.chaos.invariants import check
from jobrunner.model import Job, JobState, Priority, Reason

NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)
SECOND = timedelta(seconds=1)
TERMS = {
    "work": Terms(max_lost=3),
    "flaky": Terms(attempts=2, max_lost=3),
    "one": Terms(lock="one"),
    "two": Terms(lock="two", slots=2),
}


def a_job(job_id: str = "a", task: str = "work", **fields: Any) -> Job:
    """One that its first attempt has completed."""
    usual: dict[str, Any] = {
        "state": JobState.COMPLETED,
        "queue": "default",
        "priority": Priority.NORMAL,
        "created_at": NOON,
        "attempt": 1,
    }
    return Job(job_id, task, **{**usual, **fields})


def failed(reason: Reason, job_id: str = "a", task: str = "work", **fields: Any) -> Job:
    return a_job(job_id, task, state=JobState.FAILED, reason=reason, **fields)


@dataclass
class Trial:
    """Judges histories; lines are those of the file."""

    path: Path
    acknowledged: Mapping[str, str] = field(default_factory=lambda: {"a": "work"})

    def evidence(self, lines: Sequence[str], *jobs: Job, **others: Any) -> Evidence:
        self.path.write_text("".join(line + "\n" for line in lines))
        usual: dict[str, Any] = {"acknowledged": self.acknowledged, "worker_slots": 8}
        return Evidence(
            read_history(self.path),
            jobs={job.id: job for job in jobs},
            terms=TERMS,
            **{**usual, **others},
        )

    def broken(self, lines: Sequence[str], *jobs: Job, **others: Any) -> list[str]:
        """The rules that are broken, each as often as it is."""
        return [violation.rule for violation in check(self.evidence(lines, *jobs, **others))]


ONCE = ["start a 1 1 100 10", "beat a 1 1 100 10", "end a 1 1 100 10"]
CUT = ONCE[:2]
AGAIN = ["start a 2 2 101 11", "end a 2 2 101 11"]
ERROR = ["start a 1 1 100 10", "error a 1 1 100 10"]
KILL = "fault kill-worker 10"
