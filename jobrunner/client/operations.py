"""What clients do, each once, as operations that both the sync and the async client perform."""

import time
from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from typing import Any

import msgspec

from jobrunner import message
from jobrunner.client.catalog import Catalog
from jobrunner.client.outage import was_cut_off
from jobrunner.client.request import JobRequest
from jobrunner.clock import Clock, SystemClock
from jobrunner.errors import IllegalTransition, StoreUnavailable, UsageError
from jobrunner.message import Message
from jobrunner.params import as_text, check_arguments, secret_names
from jobrunner.store.cancelling import cancel
from jobrunner.store.failures import ReplyError
from jobrunner.store.keys import Keys
from jobrunner.store.logs import LogLine, read_log
from jobrunner.store.patience import GIVE_UP_AFTER_S
from jobrunner.store.published import PublishedTask
from jobrunner.store.records import job_not_found
from jobrunner.store.removal import delete_jobs
from jobrunner.store.requests import Command, Operation, Pipeline
from jobrunner.store.settling import Settled
from jobrunner.store.submission import Submission, Submitted, submit

SHORTEST_REFUSED = 8  # characters; a shorter secret may stand in a key by chance
DURABLE_WITHIN = timedelta(seconds=5)  # `everysec` writes each second; a busy disk needs more


class Operations(msgspec.Struct, frozen=True):
    """The operations of one client on one namespace."""

    keys: Keys
    catalog: Catalog
    clock: Clock

    @classmethod
    def of(cls, name: str) -> "Operations":
        """For the namespace of that name."""
        keys, clock = Keys(name), SystemClock()
        return cls(keys, Catalog(keys, clock), clock)

    def submit(
        self, requests: Sequence[JobRequest], *, durable: bool = False
    ) -> Operation[list[Submitted]]:
        """Make jobs; one script call per 500. Safe to repeat with the same requests.

        All are checked before the first is made. With `durable` it returns when the server has
        them on disk. Raises JobNotFound, InvalidArguments, UsageError, StoreUnavailable.
        """
        submissions = []
        tasks: dict[str, PublishedTask] = {}
        today = self.clock.now().astimezone()
        for request in requests:
            name = request.target or request.task
            if name not in tasks:
                tasks[name] = yield from self.catalog.task(request.task, request.target)
            submissions.append(_submission(request, tasks[name], today))
        submitted = yield from submit(self.keys, submissions)
        if durable and submitted:
            yield from _confirm_durable(self.keys, submitted)
        return submitted

    def cancel(self, job_id: str) -> Operation[bool]:
        """Cancel a job; whether it has ended now. If not, its worker has been told."""
        settlement = yield from cancel(self.keys, job_id)
        return settlement.what is Settled.SETTLED

    def delete(self, job_id: str) -> Operation[None]:
        """Raises JobNotFound, and IllegalTransition for a job that has not ended."""
        [outcome] = yield from delete_jobs(self.keys, [job_id])
        if outcome == "gone":
            raise job_not_found(job_id)
        if outcome != "deleted":
            raise IllegalTransition(
                f"cannot delete job {job_id}: it is {outcome}",
                why="only a job that has ended can be deleted",
                fix=f"`jobrunner cancel {job_id}` ends it first",
            )

    def logs(self, job_id: str, tail: int | None) -> Operation[list[LogLine]]:
        """The output so far. Raises JobNotFound."""
        page = yield from read_log(self.keys, job_id, tail=tail)
        if not page.lines and not (yield Command(("EXISTS", self.keys.job(job_id)))):
            raise job_not_found(job_id)
        return page.lines


def _submission(request: JobRequest, task: PublishedTask, today: date) -> Submission:
    arguments: dict[str, Any] = {}
    if task.params or request.params:
        arguments = check_arguments(
            task.name, task.params, request.params, from_text=request.from_text, today=today
        )
    secrets = secret_names(task.params, arguments)
    if secrets:
        _refuse_as_name(request, {name: as_text(arguments[name]) for name in secrets})
    body = Message(task.name, arguments, labels=dict(request.labels), secrets=secrets)
    text = message.encode(body)
    message.check_size(len(text), task.most_arguments)
    return Submission(
        request.id,
        task.name,
        text,
        queue=request.queue or task.queue,
        priority=request.priority_or(task.priority),
        delay=request.delay_duration(),
        due_at=request.at,
        key=request.key,
        after=request.after,
    )


def _refuse_as_name(request: JobRequest, secrets: Mapping[str, str]) -> None:
    """Keys and ids are shown to everybody, and name keys of the store. Raises UsageError."""
    for word, text in (("key", request.key or ""), ("id", request.id)):
        for name, secret in secrets.items():
            if len(secret) >= SHORTEST_REFUSED and secret in text:
                raise UsageError(
                    f"the {word} of the job holds the value of its secret parameter {name!r}",
                    why="keys and ids are shown wherever the job is",
                    fix=f"make the {word} from something that is no secret",
                )


def _confirm_durable(keys: Keys, submitted: Sequence[Submitted]) -> Operation[None]:
    """Wait until all that was written so far is in the server's append-only file.

    WAITAOF waits for the writes of its own connection, and this may be another one than that of
    the submit: so a write that changes nothing goes before it.
    """
    within_ms = DURABLE_WITHIN // timedelta(milliseconds=1)
    ids = ", ".join(job.id for job in submitted[:3]) + (", …" if len(submitted) > 3 else "")
    waiting = Command(("WAITAOF", 1, 0, within_ms), block_ms=within_ms)
    try:
        _, (on_disk, _) = yield Pipeline([Command(("INCRBY", keys.tokens(), 0)), waiting])
    except ReplyError as error:
        raise StoreUnavailable(
            f"submitted {ids}, but the server does not confirm writes to its disk",
            why=f"it says: {error}",
            fix="set `appendonly yes` at the server (7.2 or newer), or submit without durable",
        ) from error
    if not on_disk:
        raise StoreUnavailable(
            f"submitted {ids}, but they were not on the server's disk after "
            f"{DURABLE_WITHIN.total_seconds():g} s",
            why="its append-only file is not written that fast",
            fix="look at the server's disk; repeating the submit with the same id is safe",
        )


class Repeats:
    """When a submit is repeated: after a loss in mid-flight, a few times, since it is idempotent.

    A server that was never reached, or refuses, is reported at once; so is one that has not
    answered for as long as a command waits.
    """

    PAUSES_S = (0.0, 0.1, 0.3, 1.0)  # a server that is restarted needs about a second

    def __init__(self) -> None:
        self._pauses = list(self.PAUSES_S)
        self._began_at = time.monotonic()

    def pause_after(self, error: StoreUnavailable) -> float:
        """Seconds to wait before the next try. Raises the error when there is none."""
        is_first = len(self._pauses) == len(self.PAUSES_S)
        took_s = time.monotonic() - self._began_at
        if not self._pauses or took_s >= GIVE_UP_AFTER_S or (is_first and not was_cut_off(error)):
            raise error
        return self._pauses.pop(0)
