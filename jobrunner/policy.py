"""Decisions about jobs: retries, misfires, jitter and fair shares. Values in, decision out."""

import hashlib
from collections import deque
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from jobrunner.crons import Cron, FireSpan, fire_span, fire_times

if TYPE_CHECKING:
    from jobrunner.manifest.spec import CronSpec, Retry

RESOLUTION = timedelta(microseconds=1)  # of a datetime
FAIR_SHARE = 10  # one claim in so many goes to a lower priority first, so that none starves


@dataclass(frozen=True, slots=True)
class Failure:
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


@dataclass(frozen=True, slots=True)
class MisfireDecision:
    """The fire times that make jobs, oldest first, and the row of those that are skipped."""

    fire: list[datetime]
    skipped: FireSpan | None = None


def decide_misfire(
    cron: Cron, spec: "CronSpec", last_handled: datetime, now: datetime
) -> MisfireDecision:
    """What becomes of the fire times later than `last_handled`, up to and including `now`.

    Those noticed within `grace` always fire. The older ones are misfires: `skip` fires none; `once`
    fires the latest, unless one within grace fires anyway and takes its place; `all` fires the
    newest of them, as `catch_up` allows. What does not fire is older than what does, so one record
    can tell it. Time and memory grow with the days since `last_handled` and with what fires, not
    with what is skipped.
    """
    stale_until = max(last_handled, now - spec.grace - RESOLUTION)
    fresh = list(fire_times(cron, stale_until, now))
    caught_up = _caught_up(cron, spec, last_handled, stale_until, now, has_fresh=bool(fresh))
    skipped_until = caught_up[0] - RESOLUTION if caught_up else stale_until
    skipped = fire_span(cron, last_handled, skipped_until)
    return MisfireDecision([*caught_up, *fresh], skipped)


def _caught_up(
    cron: Cron,
    spec: "CronSpec",
    since: datetime,
    until: datetime,
    now: datetime,
    *,
    has_fresh: bool,
) -> list[datetime]:
    """The misfires that fire all the same."""
    if spec.misfire == "all":
        window_start = now - spec.catch_up.window - RESOLUTION
        return _newest(cron, max(since, window_start), until, spec.catch_up.count)
    if spec.misfire == "skip" or has_fresh:
        return []
    missed = fire_span(cron, since, until)
    return [missed.last] if missed else []


def _newest(cron: Cron, since: datetime, until: datetime, count: int) -> list[datetime]:
    """The last `count` fire times, oldest first, reaching back only as far as needed."""
    reach = timedelta(minutes=1)
    while until - reach > since and not _has(cron, until - reach, until, count):
        reach *= 2
    return list(deque(fire_times(cron, max(since, until - reach), until), maxlen=count))


def _has(cron: Cron, since: datetime, until: datetime, count: int) -> bool:
    span = fire_span(cron, since, until)
    return span is not None and span.count >= count


def jitter_delay(cron_name: str, fire_time: datetime, jitter: timedelta) -> timedelta:
    """How much later than its fire time a job is due: 0 up to `jitter`, in whole milliseconds.

    Decided by a hash, so that all daemons agree, and spread over crons and fire times.
    """
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
