"""Decisions about jobs: retries, misfires, jitter and fair shares. Values in, decision out."""

import hashlib
from datetime import datetime, timedelta
from itertools import islice
from typing import TYPE_CHECKING

import msgspec

from jobrunner.crons import Cron, FireSpan, fire_span, fire_times

if TYPE_CHECKING:
    from jobrunner.manifest.spec import CronSpec, Retry

RESOLUTION = timedelta(microseconds=1)  # of a datetime
ONE_SECOND = timedelta(seconds=1)  # fire times are whole seconds: at most one lies within it
# Of one cron per decision: some 10 ms of the scheduler's time, so that a row of misfires that is
# caught up neither floods memory nor makes the fire times of other crons late.
FIRES_AT_ONCE = 200
FAIR_SHARE = 10  # one claim in so many goes to a lower priority first, so that none starves


class Failure(msgspec.Struct, frozen=True):
    """How an attempt failed: the exit code of a command, or the names of an exception.

    `exceptions` has the class and its base classes, short and qualified: `OutOfStock`,
    `shop.jobs.OutOfStock`, `LookupError`. A timeout has neither; a signal is 128 + its number.
    """

    exit_code: int | None = None
    exceptions: tuple[str, ...] = ()


def should_retry(retry: "Retry", attempts_counted: int, failure: Failure) -> bool:
    """Whether another attempt follows, after `attempts_counted` that count (this one included).

    A list in `retry` restricts failures of its own kind only: `exit_codes` does not forbid the
    retry of a timeout, which has no exit code.
    """
    if attempts_counted >= retry.attempts:
        return False
    if failure.exit_code is not None:
        return retry.exit_codes is None or failure.exit_code in retry.exit_codes
    if failure.exceptions:
        return retry.exceptions is None or not set(retry.exceptions).isdisjoint(failure.exceptions)
    return True


def retry_delay(retry: "Retry", attempt: int, random: float) -> timedelta:
    """The time from the end of failed attempt number `attempt` (from 1) to the start of the next.

    With jitter, `random` (0 to 1) picks a delay between zero and the computed one, so that jobs
    that failed together do not come back together. Source: "full jitter" in "Exponential Backoff
    And Jitter", AWS Architecture Blog, 2015.
    """
    delay = retry.delay // RESOLUTION * _growth(retry, attempt)
    capped = min(delay, retry.max_delay // RESOLUTION) * RESOLUTION
    return capped * random if retry.jitter else capped


def _growth(retry: "Retry", attempt: int) -> int:
    """A whole number of any size: attempt 1000 would overflow a float or a timedelta."""
    growth: dict[str, int] = {"fixed": 1, "linear": attempt, "exponential": 1 << (attempt - 1)}
    return growth[retry.backoff]


class MisfireDecision(msgspec.Struct, frozen=True):
    """The fire times that make jobs, oldest first, and the row of those that are skipped.

    With `is_partial` more of them may make jobs: decide again once these are handled.
    """

    fire: list[datetime]
    skipped: FireSpan | None = None
    is_partial: bool = False


def decide_misfire(
    cron: Cron, spec: "CronSpec", last_handled: datetime, now: datetime
) -> MisfireDecision:
    """What becomes of the fire times later than `last_handled`, up to and including `now`.

    Those noticed within `grace` always fire. The older ones are misfires: `skip` fires none; `once`
    fires the latest, unless one within grace fires anyway and takes its place; `all` fires the
    newest of them, as `catch_up` allows. What does not fire is older than what does, so one record
    can tell it. Time grows with the days since `last_handled`, memory with nothing.
    """
    skipped_until = _skipped_until(cron, spec, last_handled, now)
    fire = list(islice(fire_times(cron, skipped_until, now), FIRES_AT_ONCE + 1))
    return MisfireDecision(
        fire[:FIRES_AT_ONCE],
        fire_span(cron, last_handled, skipped_until),
        is_partial=len(fire) > FIRES_AT_ONCE,
    )


def is_prompt(spec: "CronSpec", due: datetime, now: datetime) -> bool:
    """Whether `due`, the cron's first fire time after the last handled one, is within grace.

    Then it fires whatever the misfire policy says, and `decide_misfire` would fire it first.
    """
    return now - due <= spec.grace


def _skipped_until(cron: Cron, spec: "CronSpec", last_handled: datetime, now: datetime) -> datetime:
    """The instant after which every fire time makes a job."""
    stale_until = max(last_handled, now - spec.grace - RESOLUTION)
    if spec.misfire == "all":
        oldest = max(last_handled, now - spec.catch_up.window - RESOLUTION)
        return _before_newest(cron, min(oldest, stale_until), stale_until, spec.catch_up.count)
    if spec.misfire == "skip" or any(True for _ in fire_times(cron, stale_until, now)):
        return stale_until
    missed = fire_span(cron, last_handled, stale_until)
    return missed.last - RESOLUTION if missed else stale_until


def _before_newest(cron: Cron, since: datetime, until: datetime, count: int) -> datetime:
    """The instant after which the newest `count` fire times up to `until` begin.

    `since` when there are no more. Found by halves: counting a span is cheap, listing it is not.
    """
    if _count(cron, since, until) <= count:
        return since
    early, late = since, until  # more than `count` are later than `early`, no more than `late`
    while late - early > ONE_SECOND:
        middle = early + (late - early) / 2
        if _count(cron, middle, until) > count:
            early = middle
        else:
            late = middle
    return late


def _count(cron: Cron, since: datetime, until: datetime) -> int:
    span = fire_span(cron, since, until)
    return span.count if span else 0


def jitter_delay(cron_name: str, fire_time: datetime, jitter: timedelta) -> timedelta:
    """How much later than its fire time a job is due: 0 up to `jitter`, in whole milliseconds.

    Decided by a hash, so that all daemons agree, and spread over crons and fire times.
    """
    if not jitter:
        return timedelta(0)
    digest = hashlib.sha256(f"{cron_name}\0{fire_time.timestamp():.0f}".encode()).digest()
    milliseconds = jitter // timedelta(milliseconds=1)
    chosen = int.from_bytes(digest[:8], "big") % (milliseconds + 1)
    return timedelta(milliseconds=chosen)


def fair_share(free: int, claimed: int) -> tuple[int, int]:
    """How many of the next `free` claims try (low, normal) first, after `claimed` claims.

    Every tenth claim does, for low and normal in turn. What one of the two cannot use belongs to
    the other, then to the jobs of higher priority: a share is a right, not an idle slot.
    """
    before, after = claimed // FAIR_SHARE, (claimed + free) // FAIR_SHARE
    normal = after // 2 - before // 2
    return after - before - normal, normal
