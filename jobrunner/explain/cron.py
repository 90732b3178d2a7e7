"""Whether and when a cron fires, and what became of its last fire times."""

from collections.abc import Mapping
from datetime import datetime, timedelta

from jobrunner.clock import rfc3339
from jobrunner.explain.job import explain_job
from jobrunner.explain.model import (
    Answer,
    Code,
    Explanation,
    Kind,
    Sentence,
    joined,
    without_daemon,
)
from jobrunner.explain.words import state_words
from jobrunner.model import Job, JobState
from jobrunner.store.crons import LARGEST_SKEW
from jobrunner.store.facts import CronFacts

LATE_AFTER = timedelta(seconds=2)  # a daemon that lives handles a fire time in far less
AT_BOOT = "@reboot"
TOLD_FOR = timedelta(days=1)  # after a cron was set back


def explain_cron(facts: CronFacts) -> Explanation:
    """One sentence on when it fires next and how it went last, and the facts behind it."""
    answer = _next(facts)
    can_fire = answer.code not in (Code.DISABLED, Code.PAUSED)
    if can_fire and not facts.around.daemons:
        answer = without_daemon(answer)
    name = facts.cron.name
    sentence = joined(
        [
            (f"cron '{name}' (task {facts.cron.task}) ", *answer.sentence),
            _ahead(facts),
            _last(facts),
            _wait(facts),
        ]
    )
    known = {**_schedule(facts), **_jobs(facts)}
    return Explanation(name, Kind.CRON, answer.code, sentence, known, facts.around.now, answer.fix)


def explain_missing_fire(facts: CronFacts, fire_time: datetime) -> Explanation:
    """Why there is no job of a fire time."""
    subject = f"{facts.cron.name}@{rfc3339(fire_time)}"
    answer = _missing(facts, fire_time)
    return Explanation(
        subject,
        Kind.FIRE,
        answer.code,
        (f"fire time {subject} ", *answer.sentence),
        {"fire_time": fire_time, **_schedule(facts)},
        facts.around.now,
        answer.fix,
    )


def _missing(facts: CronFacts, fire_time: datetime) -> Answer:
    cron, handled, now = facts.cron, facts.record.handled, facts.around.now
    if fire_time > now:
        to_come: Sentence = ("is not due until ", fire_time, ", in ", fire_time - now)
        fix = f"`jobrunner next {cron.name}` lists the coming fire times"
        return Answer(Code.NOT_FIRED_YET, to_come, fix=fix)
    if handled is not None and fire_time > handled:
        late: Sentence = ("was not handled yet: the last one handled is that of ", handled)
        answer = Answer(Code.FIRE_LATE, late, fix="the daemon's log says what keeps it")
        return answer if facts.around.daemons else without_daemon(answer)
    sentence = (
        "has no record: the cron does not ask for this time, or was paused or disabled then, "
        "or the time is in a row of misfires, or its record was deleted after its retention",
    )
    fix = f"`jobrunner list --task {cron.task}` prints the jobs and skips that are known"
    return Answer(Code.NO_RECORD, sentence, fix=fix)


def _next(facts: CronFacts) -> Answer:
    cron, at, now = facts.cron, facts.record.next_fire_at, facts.around.now
    if not cron.is_enabled:
        sentence = ("is disabled: its manifest says `enabled: false`, so it never fires",)
        fix = "remove `enabled: false` and run `jobrunner reload`"
        return Answer(Code.DISABLED, sentence, fix=fix)
    if facts.record.is_paused:
        sentence = ("is paused: its fire times make no jobs until it is resumed",)
        return Answer(Code.PAUSED, sentence, fix=f"`jobrunner resume {cron.name}` lets it fire")
    if cron.schedule == AT_BOOT:
        return Answer(Code.FIRES_AT_BOOT, ("fires once after each boot of a machine",))
    if at is None:
        return _without_next(facts)
    if now - at > LATE_AFTER:
        late: Sentence = ("was to fire at ", at, ", ", now - at, " ago, and was not handled yet")
        return Answer(Code.FIRE_LATE, late, fix="the daemon's log says what keeps it")
    wait = max(at - now, timedelta(0))
    words: Sentence = ("fires next at ", at, ", in ", wait, f" ({cron.words} {cron.timezone})")
    return Answer(Code.FIRES, words)


def _without_next(facts: CronFacts) -> Answer:
    cron = facts.cron
    if not facts.around.daemons:
        return Answer(Code.FIRE_LATE, ("waits for a daemon to schedule it",))
    sentence = (f"has no fire time to come ({cron.words} {cron.timezone})",)
    fix = f"correct its expression '{cron.schedule}', if it should fire"
    return Answer(Code.NEVER_FIRES, sentence, fix=fix)


def _ahead(facts: CronFacts) -> Sentence:
    """What a clock that was ahead has to do with it."""
    record, now = facts.record, facts.around.now
    if record.handled is not None and record.handled > now + LARGEST_SKEW:
        why = "had their jobs before their time" if facts.around.daemons else "count as handled"
        return (
            "its fire times up to ",
            record.handled,
            f" {why}: the store's clock was ahead",
        )
    if record.set_back_at is None or not timedelta(0) <= now - record.set_back_at < TOLD_FOR:
        return ()
    was: Sentence = (" from ", record.set_back_from) if record.set_back_from else ()
    return ("it was set back at ", record.set_back_at, *was, ", since the store's clock was ahead")


def _last(facts: CronFacts) -> Sentence:
    """How its last end was, be it a skip; nothing before the first."""
    record = facts.record
    if record.last_id is None or record.last_state is None:
        return () if facts.record.job else ("it has not fired yet",)
    if facts.last_skip is not None and facts.last_skip.id == record.last_id:
        return ("its last fire time was skipped", *_at(facts.last_skip), _skip_words(facts))
    state = str(record.last_state)
    if record.last_state is JobState.CANCELLED:
        state = "was cancelled"
    elif record.last_reason is not None:
        state += f" ({record.last_reason})"
    at: Sentence = (" at ", record.last_finished_at) if record.last_finished_at else ()
    return (f"its last job, {record.last_id}, {state}", *at)


def _at(job: Job) -> Sentence:
    return (" at ", job.finished_at) if job.finished_at else ()


def _skip_words(facts: CronFacts) -> str:
    skip = facts.last_skip
    if skip is None:
        return ""
    return f" ({skip.reason}: {skip.detail})" if skip.detail else f" ({skip.reason})"


def _wait(facts: CronFacts) -> Sentence:
    """Its oldest job that waits, or what runs."""
    if facts.oldest is not None:
        return explain_job(facts.oldest).sentence
    running = next(iter(facts.live), None)
    return (f"job {running.id} {state_words(running)}",) if running else ()


def _schedule(facts: CronFacts) -> Mapping[str, object]:
    cron, record = facts.cron, facts.record
    return {
        "task": cron.task,
        "schedule": cron.schedule,
        "words": cron.words,
        "timezone": cron.timezone,
        "enabled": cron.is_enabled,
        "paused": record.is_paused,
        "next_fire_at": record.next_fire_at,
        "last_handled": record.handled,
        "set_back_at": record.set_back_at,
        "set_back_from": record.set_back_from,
    }


def _jobs(facts: CronFacts) -> Mapping[str, object]:
    record, skip = facts.record, facts.last_skip
    return {
        "made_last": record.job,
        "made_last_state": facts.made_last.state if facts.made_last else None,
        "ended_last": record.last_id,
        "ended_last_state": record.last_state,
        "ended_last_reason": record.last_reason,
        "ended_last_at": record.last_finished_at,
        "waiting": [job.id for job in facts.live if job.state is not JobState.RUNNING],
        "running": [job.id for job in facts.live if job.state is JobState.RUNNING],
        "last_skip": skip.id if skip else None,
        "last_skip_reason": skip.reason if skip else None,
        "last_skip_detail": skip.detail if skip else None,
    }
