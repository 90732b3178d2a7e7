"""Crons in the store: which fire time was handled last, pause, and the job each fire time makes.

`handled` in the cron's hash is the fence: `fire.lua` makes the job of a fire time only when it is
later, and moves it in the same step. So any number of schedulers may race, and one that was
killed in between has either handled the fire time or not.

The store's clock alone decides what is due: `fire.lua` refuses what it has not reached. Where
`handled` is ahead of it by more than LARGEST_SKEW, that clock was ahead once and was set back. Each
script that reads `handled` sets it back then, to now; fire times that had their jobs before their
time (by their records, and for a day by `made_until`) do not get a second one.
"""

import re
from collections.abc import Sequence
from datetime import datetime, timedelta

import msgspec

from jobrunner.clock import from_ms, rfc3339, to_ms
from jobrunner.model import JobState, Priority, Reason
from jobrunner.store.damage import UNREADABLE, Readers, damaged_fields, mended
from jobrunner.store.decoding import text_of, whole
from jobrunner.store.keys import Keys
from jobrunner.store.records import fields_of, state_of
from jobrunner.store.requests import Argument, Command, Operation, Pipeline, Script

MILLISECOND = timedelta(milliseconds=1)
# As in handled.lua. Clocks that are synchronised are set by less; a wait for it is hardly noticed.
LARGEST_SKEW = timedelta(seconds=5)
FIRES_PER_CALL = 100  # of the script, 3 ms of the server's time: a long row must not hold up others


class CronRecord(msgspec.Struct, frozen=True):
    """What the store knows of a cron; all None for one that was never seen."""

    name: str
    schedule: str | None = None  # expression and zone for which `handled` is good
    handled: datetime | None = None  # last handled fire time
    set_back_at: datetime | None = None  # when `handled` was set back, last
    set_back_from: datetime | None = None
    next_fire_at: datetime | None = None
    is_paused: bool = False
    job: str | None = None  # id of the job made last
    last_id: str | None = None  # the job that ended last
    last_state: JobState | None = None
    last_reason: Reason | None = None
    last_finished_at: datetime | None = None
    last_duration: timedelta | None = None


class Fire(msgspec.Struct, frozen=True):
    """A fire time to be handled: its job, or with `skip` the record of why there is none."""

    cron: str
    fire_time: datetime
    task: str
    message: bytes
    queue: str
    priority: Priority
    delay: timedelta = timedelta(0)  # jitter
    overlap: str = "allow"
    previous: str = ""  # id of the cron's previous job, as the caller knows it
    skip: Reason | None = None
    detail: str = ""
    first: datetime | None = None  # of the row of skipped fire times
    after: datetime | None = None  # the fire time that must be handled before this one

    @property
    def job_id(self) -> str:
        return fire_id(self.cron, self.fire_time)

    @property
    def spare_id(self) -> str:
        """For the record of a row whose last fire time has a job, most often a backfill's."""
        return f"{self.job_id}+skipped"


def fire_id(cron: str, fire_time: datetime) -> str:
    """The id of a fire time's one job."""
    return f"{cron}@{rfc3339(fire_time)}"


def boot_id_of(cron: str, boot: str) -> str:
    """The id of an `@reboot` cron's one job of a boot."""
    return f"{cron}@boot-{boot[:8]}"


_OF_CRON = re.compile(r"[^@]*@(?:\d{4}-\d\d-\d\dT|boot-)", re.ASCII)


def is_of_cron(job_id: str) -> bool:
    """Whether a job's id has a form that only the jobs and records of crons have."""
    return _OF_CRON.match(job_id) is not None


class Fired(msgspec.Struct, frozen=True):
    """`what`: the state of the made job, or `handled`, `paused`, `changed`, `moved`, `early`,
    `taken` or `set_back` (`fire.lua`).

    `previous` is the id of the cron's previous job, or with `moved` and `set_back` the instant
    that goes with it, ms.
    """

    what: str
    previous: str


def fire(keys: Keys, fires: Sequence[Fire]) -> Operation[list[Fired]]:
    """Handle fire times in order, in one round trip. `changed` ones are to be sent again."""
    replies = yield Pipeline(
        [
            _fire_script(keys, fires[start : start + FIRES_PER_CALL])
            for start in range(0, len(fires), FIRES_PER_CALL)
        ]
    )
    return [
        Fired(text_of(reply[0]), text_of(reply[1]) if len(reply) > 1 else "")
        for portion in replies
        for reply in portion
    ]


def _fire_script(keys: Keys, fires: Sequence[Fire]) -> Script:
    names = [
        keys.counts(),
        keys.queues(),
        keys.last_job(),
        keys.scheduled(),
        keys.blocked(),
        keys.done(JobState.SKIPPED),
        keys.cancelling(),
    ]
    args: list[Argument] = [len(fires), keys.wake_channel()]
    for item in fires:
        job_id = item.job_id
        _add_names(names, keys, item, job_id)
        _add_args(args, item, job_id)
    return Script("fire", [*names, keys.full(), keys.tally()], args)


def _add_names(names: list[str], keys: Keys, item: Fire, job_id: str) -> None:
    names += (
        keys.cron(item.cron),
        keys.job(job_id),
        keys.queue(item.queue, item.priority),
        keys.task_done(item.task),
    )
    if item.skip:
        names.append(keys.job(item.spare_id))
    elif item.previous and item.overlap != "allow":
        names += (keys.job(item.previous), keys.watchers(item.previous))


def _add_args(args: list[Argument], item: Fire, job_id: str) -> None:
    args += (
        job_id,
        item.task,
        item.message,
        item.queue,
        item.priority,
        item.cron,
        to_ms(item.fire_time),
        round(item.delay / MILLISECOND),
        item.overlap,
        item.previous,
        item.skip or "",
        item.detail,
        item.spare_id if item.skip else "",
        to_ms(item.first) if item.first else "",
        to_ms(item.after) if item.after else "",
    )


def fire_states(
    keys: Keys, cron: str, fire_times: Sequence[datetime]
) -> Operation[list[JobState | None]]:
    """The state of each fire time's job; None where there is none."""
    names = [keys.job(fire_id(cron, fire_time)) for fire_time in fire_times]
    replies = yield Pipeline([Command(("HGET", name, "state")) for name in names])
    return [state_of(state) for state in replies]


def read_crons(keys: Keys, names: Sequence[str]) -> Operation[list[CronRecord]]:
    """The records, in the order of the names."""
    if not names:
        return []
    replies = yield Pipeline([Command(("HGETALL", keys.cron(name))) for name in names])
    return [_record_of(name, fields_of(flat)) for name, flat in zip(names, replies, strict=True)]


def _record_of(name: str, fields: dict[str, str]) -> CronRecord:
    """What cannot be read is as what was never written."""
    try:
        return _exact_record_of(name, fields)
    except UNREADABLE:
        return _exact_record_of(name, mended(fields, damaged_fields(fields, _READERS, {}), {}))


def _exact_record_of(name: str, fields: dict[str, str]) -> CronRecord:
    duration = fields.get("last_duration_ms")
    state, reason = fields.get("last_state"), fields.get("last_reason")
    return CronRecord(
        name=name,
        schedule=fields.get("schedule"),
        handled=_instant(fields, "handled"),
        set_back_at=_instant(fields, "set_back_at"),
        set_back_from=_instant(fields, "set_back_from"),
        next_fire_at=_instant(fields, "next"),
        is_paused="paused" in fields,
        job=fields.get("job"),
        last_id=fields.get("last_id"),
        last_state=JobState(state) if state else None,
        last_reason=Reason(reason) if reason else None,
        last_finished_at=_instant(fields, "last_finished_at"),
        last_duration=timedelta(milliseconds=whole(duration)) if duration else None,
    )


def _instant(fields: dict[str, str], name: str) -> datetime | None:
    text = fields.get(name)
    return _instant_of(text) if text else None


def _instant_of(text: str) -> datetime:
    return from_ms(whole(text))


_READERS: Readers = {
    "last_state": JobState,
    "last_reason": Reason,
    "last_duration_ms": lambda text: timedelta(milliseconds=whole(text)),
    **dict.fromkeys(
        ("handled", "next", "last_finished_at", "set_back_at", "set_back_from"), _instant_of
    ),
}


class Enrolment(msgspec.Struct, frozen=True):
    """A cron as the scheduler takes it up: its name, and its schedule as it is now."""

    cron: str
    schedule: str


class Enrolled(msgspec.Struct, frozen=True):
    """After `since`, fire times are not handled yet; `set_back_from` if that was set back now."""

    since: datetime
    set_back_from: datetime | None = None


def enrol(keys: Keys, enrolments: Sequence[Enrolment]) -> Operation[list[Enrolled]]:
    """Take up crons.

    A cron with an unchanged schedule goes on after the last handled fire time; a new or changed
    one begins now, by the store's clock.
    """
    replies = yield Pipeline(
        [Script("enrol", [keys.cron(item.cron)], [item.schedule]) for item in enrolments]
    )
    return [Enrolled(from_ms(since), from_ms(was) if was else None) for since, was in replies]


def note_next_fires(keys: Keys, fires: dict[str, datetime | None]) -> Operation[None]:
    """Write each cron's next fire time, for `status` to show."""
    args: list[Argument] = [to_ms(at) if at else "" for at in fires.values()]
    yield Script("foresee", [keys.cron(cron) for cron in fires], args)


def pause_cron(keys: Keys, cron: str) -> Operation[None]:
    """From now on fire times of the cron make no jobs."""
    yield Script("pause", [keys.cron(cron)], [])


def resume_cron(keys: Keys, cron: str) -> Operation[None]:
    """Fire times after this instant make jobs again; those within the pause do not."""
    yield Script("resume", [keys.cron(cron)], [])


def has_booted(keys: Keys, cron: str, boot_id: str) -> Operation[bool]:
    """Whether an `@reboot` cron has fired for this boot of a machine."""
    known: int = yield Command(("SISMEMBER", keys.cron_boots(cron), boot_id))
    return bool(known)


def note_boot(keys: Keys, cron: str, boot_id: str) -> Operation[None]:
    """Note that an `@reboot` cron has fired for this boot."""
    yield Command(("SADD", keys.cron_boots(cron), boot_id), is_optional=True)
