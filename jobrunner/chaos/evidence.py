"""What a round is judged by: the history, what clients were told, and what the store says."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from jobrunner.chaos.history import Effect, History
from jobrunner.model import Job


@dataclass(frozen=True, slots=True)
class Terms:
    """What the manifest says of a task, as far as the rules ask for it."""

    lock: str | None = None
    slots: int = 1  # of the lock
    attempts: int = 1  # of the retry policy
    max_lost: int = 3


@dataclass(frozen=True, slots=True)
class FireSpan:
    """The fire times (aware, UTC) of a cron that a round covers, found without jobrunner."""

    cron: str
    fire_times: Sequence[datetime]


@dataclass(frozen=True, slots=True)
class Evidence:
    """All of it, read once nothing moves any more."""

    history: History
    acknowledged: Mapping[str, str]  # job id -> task, of each submit that returned
    jobs: Mapping[str, Job]
    terms: Mapping[str, Terms]  # by task
    worker_slots: int
    fires: Sequence[FireSpan] = ()
    orphans: Sequence[str] = ()  # what the store's audit found
    live: Mapping[str, int] = field(default_factory=dict)  # the store's counts, by state and task
    running: Sequence[str] = ()  # members of `running`
    # Writes that the server lost by a crash, within what its durability promises.
    may_be_gone: frozenset[str] = frozenset()

    def terms_of(self, job_id: str) -> Terms:
        """Those of the job's task, also when the job was deleted; else the defaults."""
        job = self.jobs.get(job_id)
        task = job.task if job else self.acknowledged.get(job_id, "")
        return self.terms.get(task, Terms())


@dataclass(frozen=True, slots=True)
class Span:
    """One attempt, from its first line to its last."""

    job: str
    fence: int
    pid: int
    worker: int
    first: int
    last: int
    kind: str  # of the last line


def spans_of(effects: Sequence[Effect]) -> list[Span]:
    """The attempts of one job in the order of their starts."""
    attempts: dict[tuple[int, int], list[Effect]] = {}
    for effect in effects:
        attempts.setdefault((effect.fence, effect.pid), []).append(effect)
    return [
        Span(own[0].job, fence, pid, own[0].worker, own[0].place, own[-1].place, own[-1].kind)
        for (fence, pid), own in attempts.items()
    ]
