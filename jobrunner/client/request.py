"""What a program asks for: a job of a task, when, in which queue, under which key."""

import re
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any, Literal, TypedDict

import msgspec

from jobrunner.errors import UsageError, quoted
from jobrunner.manifest.naming import NAME_RULE, is_valid_name
from jobrunner.manifest.units import parse_duration
from jobrunner.model import ID_LENGTH, Priority, new_job_id
from jobrunner.store.crons import is_of_cron
from jobrunner.store.records import job_not_found

Duration = str | int | float | timedelta  # "90s", "5m", "2h", "1d", or a number of seconds
PriorityName = Priority | Literal["high", "normal", "low"]

# An id is part of keys and of file names; "@" in front means `@last`.
_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:@+-]{0,199}")
LONGEST_KEY = 512  # bytes; it is kept as long as its job
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")


class ManyOptions(TypedDict, total=False):
    """What `submit_many` accepts besides task and parameters; None is "not given"."""

    delay: Duration | None  # by the store's clock; not together with `at` or `after`
    at: datetime | None  # aware
    queue: str | None  # default: the task's
    priority: PriorityName | None  # default: the task's
    after: str | None  # begin when this job has completed


class SubmitOptions(ManyOptions, total=False):
    """What `submit` accepts besides."""

    key: str | None  # idempotency: a later submit with this key gives the first job back
    id: str | None  # default: a new one


# One of each per job: a structure is made in a fraction of the time of a frozen dataclass.
class JobRequest(msgspec.Struct, frozen=True, gc=False):
    """A job to be made. Its id is made here, once, so that a submit can be repeated safely.

    `from_text` says that the parameters are texts from a command line. `target` is the function of
    a `kiq` (module:function), whose task the manifest may name otherwise; `labels` are taskiq's.
    Raises UsageError for a value that no job can have.
    """

    task: str
    params: Mapping[str, Any] = {}  # a new one for each, as msgspec has it
    delay: Duration | None = None
    at: datetime | None = None
    key: str | None = None
    queue: str | None = None
    priority: PriorityName | None = None
    after: str | None = None
    id: str = msgspec.field(default_factory=new_job_id)
    target: str = ""
    labels: Mapping[str, Any] = {}
    from_text: bool = False

    def __post_init__(self) -> None:
        _check_id(self.id)
        if self.queue is not None or self.key is not None or self.after is not None:
            _check_names(self)
        if self.at is not None and self.at.tzinfo is None:
            raise UsageError(
                f"`at` has no time zone: {self.at}",
                why="its instant depends on where it is read",
                fix="give an aware datetime, e.g. `datetime(…, tzinfo=ZoneInfo('Europe/Berlin'))`",
            )

    @classmethod
    def of(
        cls, task: str, params: Mapping[str, Any] | None, options: SubmitOptions
    ) -> "JobRequest":
        """As the arguments of `submit` say."""
        return cls(task, params or {}, **_given(options))

    @classmethod
    def of_many(
        cls, task: str, params: Iterable[Mapping[str, Any]], options: ManyOptions
    ) -> "list[JobRequest]":
        """As the arguments of `submit_many` say."""
        given = _given(options)
        return [cls(task, each or {}, **given) for each in params]

    def delay_duration(self) -> timedelta | None:
        """Raises UsageError for what is not a duration."""
        return duration_of("delay", self.delay)

    def priority_or(self, default: Priority) -> Priority:
        """Raises UsageError for a priority that does not exist."""
        if self.priority is None:
            return default
        try:
            return Priority(self.priority)
        except ValueError as error:
            raise UsageError(
                f"no priority {quoted(self.priority)}", fix=f"use one of {', '.join(Priority)}"
            ) from error


def _given(options: ManyOptions | SubmitOptions) -> dict[str, Any]:
    return {name: value for name, value in options.items() if value is not None}


def duration_of(name: str, value: Duration | None) -> timedelta | None:
    """Raises UsageError for what is not a duration."""
    try:
        return None if value is None else parse_duration(value)
    except ValueError as error:
        raise UsageError(f"`{name}` cannot be used: {error}") from error


def seconds_of(timeout: Duration | None) -> float | None:
    """A timeout in seconds. Raises UsageError for what is not a duration."""
    duration = duration_of("timeout", timeout)
    return None if duration is None else duration.total_seconds()


def _check_names(request: JobRequest) -> None:
    """The names and texts that a caller may choose. Raises UsageError."""
    queue, key, after = request.queue, request.key, request.after
    if queue and not (isinstance(queue, str) and is_valid_name(queue)):
        raise UsageError(
            f"{quoted(queue)} cannot be a queue", why=NAME_RULE, fix="correct the queue's name"
        )
    if key and not (isinstance(key, str) and _is_key(key)):
        raise UsageError(
            f"{quoted(key)} cannot be the key of a job",
            why=f"a key is UTF-8 text of at most {LONGEST_KEY} bytes without control characters",
            fix="shorten it, or use a digest of it",
        )
    if after and not (isinstance(after, str) and _ID.fullmatch(after)):
        raise job_not_found(after)


def _is_key(key: str) -> bool:
    try:
        return len(key.encode()) <= LONGEST_KEY and not _CONTROL.search(key)
    except UnicodeEncodeError:
        return False


def _check_id(job_id: str) -> None:
    # Almost every id is one of ours, and these two cost a third of the expression.
    if len(job_id) == ID_LENGTH and job_id.isalnum() and job_id.isascii():
        return
    if is_of_cron(job_id):
        raise UsageError(
            f"{quoted(job_id)} cannot be the id of a submitted job",
            why="such ids are those of the jobs that crons make: who takes one silences its cron",
            fix="leave the id out, or use `key`; `jobrunner backfill` makes a cron's jobs",
        )
    if not _ID.fullmatch(job_id):
        raise UsageError(
            f"{quoted(job_id)} cannot be the id of a job",
            why="an id begins with a letter or digit, has only those and . _ : @ + - after it, "
            "and at most 200 of them",
            fix="leave the id out to get a new one, or use `key` for a text of your own",
        )
