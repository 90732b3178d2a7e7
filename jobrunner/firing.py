"""What a cron's fire times are to the store: which job each makes, or the record of why none."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import msgspec
from msgspec.structs import replace

from jobrunner import message
from jobrunner.clock import rfc3339, to_ms
from jobrunner.crons import Cron, FireSpan, NeverFires, next_fire
from jobrunner.errors import InvalidArguments
from jobrunner.log import EventLog
from jobrunner.manifest.spec import CronSpec, Task
from jobrunner.message import Message
from jobrunner.model import Reason
from jobrunner.params import check_arguments
from jobrunner.policy import MisfireDecision, jitter_delay
from jobrunner.store.crons import Fire, boot_id_of, has_booted, note_boot, read_crons
from jobrunner.store.keys import Keys
from jobrunner.store.requests import Operation
from jobrunner.store.submission import Submission, submit

# A schedule of its own: a cron that is enabled again begins anew and catches nothing up.
DISABLED = "disabled"


class ScheduledCron(msgspec.Struct, frozen=True):
    """A cron of the manifest with its parsed schedule and its task."""

    name: str
    spec: CronSpec
    cron: Cron
    task: Task

    @property
    def schedule(self) -> str:
        """What must not change for the last handled fire time to stay good."""
        if not self.spec.enabled:
            return DISABLED
        return f"{self.cron.expression} {self.cron.timezone}"

    def fires(self, decision: MisfireDecision, previous: str) -> list[Fire]:
        """What was decided, oldest first; each of a row is to follow the one before it.

        `previous` is the id of the cron's last job; each job precedes the next.
        """
        fires = []
        if decision.skipped is not None:
            fires.append(self._skip(decision.skipped, previous))
        for fire_time in decision.fire:
            if not fires:
                fires.append(self._fire(fire_time, previous, None))
                continue
            before = fires[-1]
            known = previous if before.skip else before.job_id
            fires.append(self._fire(fire_time, known, before.fire_time))
        return fires

    def boot_job(self, boot_id: str, now: datetime) -> Submission:
        """The one job of an `@reboot` cron for a boot of this machine."""
        return Submission(
            boot_id_of(self.name, boot_id),
            self.spec.task,
            self._message(now),
            self.task.queue,
            self.task.priority,
            cron=self.name,
        )

    def _skip(self, span: FireSpan, previous: str) -> Fire:
        """The record of a row of skipped fire times."""
        detail = f"{span.count} fire times from {rfc3339(span.first)} to {rfc3339(span.last)}"
        row = self._fire(span.last, previous, None)
        return replace(row, skip=Reason.MISFIRE, detail=detail, first=span.first)

    def _fire(self, fire_time: datetime, previous: str, after: datetime | None) -> Fire:
        return Fire(
            self.name,
            fire_time,
            self.spec.task,
            self._message(fire_time),
            self.task.queue,
            self.task.priority,
            delay=jitter_delay(self.name, fire_time, self.spec.jitter),
            overlap=self.spec.overlap,
            previous=previous,
            after=after,
        )

    def _message(self, fire_time: datetime) -> bytes:
        """The job's message, with arguments as of the fire time's day in the cron's zone."""
        arguments = self._arguments(fire_time) if self.task.params or self.spec.params else {}
        # The manifest's own secrets stay out of the store: the worker fills them in.
        open_ones = {k: v for k, v in arguments.items() if not self._is_secret(k)}
        body = Message(
            self.spec.task, open_ones, cron=self.name, fire_time=to_ms(fire_time), secrets=[]
        )
        return message.encode(body)

    def _is_secret(self, param: str) -> bool:
        declared = self.task.params.get(param)
        return declared is not None and declared.secret

    def _arguments(self, fire_time: datetime) -> dict[str, Any]:
        today = fire_time.astimezone(self.cron.zone).date()
        given = dict(self.spec.params)
        try:
            return check_arguments(
                self.spec.task, self.task.param_specs(), given, from_text=False, today=today
            )
        except InvalidArguments as error:
            # The worker checks again and fails the job for it, where people look for it.
            EventLog().warning("found bad arguments", cron=self.name, error=error)
            return given


def fire_for_boot(keys: Keys, item: ScheduledCron, boot_id: str, now: datetime) -> Operation[None]:
    """Make the job of an `@reboot` cron, unless it was made for this boot.

    The job first: killed before the note, it is made again under the same id, which does nothing.
    """
    if (yield from has_booted(keys, item.name, boot_id)):
        return
    [record] = yield from read_crons(keys, [item.name])
    if not record.is_paused:
        yield from submit(keys, [item.boot_job(boot_id, now)])
    yield from note_boot(keys, item.name, boot_id)


def skip_taken(item: Fire) -> Fire:
    """No client gives a job the id of a fire time; what did so must not silence a cron unnoticed.

    The fire time gets the record of a skipped one, under its spare id.
    """
    EventLog().warning(
        "found another's job under the id of a fire time; skips it",
        cron=item.cron,
        fire_time=rfc3339(item.fire_time),
        job_id=item.job_id,
    )
    return replace(item, skip=Reason.TAKEN, detail=item.job_id)


def unchanged(before: Mapping[str, ScheduledCron], after: Mapping[str, ScheduledCron]) -> set[str]:
    """Names of the crons that keep their schedule."""
    both = before.keys() & after.keys()
    return {name for name in both if before[name].schedule == after[name].schedule}


def due_after(item: ScheduledCron, handled: datetime) -> datetime | None:
    """The fire time that comes next; None when none does."""
    try:
        return next_fire(item.cron, handled) if item.spec.enabled else None
    except NeverFires:
        return None
