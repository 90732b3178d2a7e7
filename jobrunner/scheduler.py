"""The scheduler's loop: fire times make jobs, due jobs go to their queues.

Any number of daemons run it at the same time. What a fire time does is decided by `fire.lua`,
whose fence is the cron's last handled fire time; this loop only proposes. Killed between two
fire times, the next one goes on after the last handled one. It sleeps until the next due instant
and is woken when an earlier one arrives; an instant that was missed (a lost wake-up, a clock that
was set, a machine that was suspended) is found by the next tick, after five seconds at most. What
"now" means is read from the clock once per tick, so that a jump never replays old fire times as if
they were live: they are misfires, and the cron's misfire policy decides. A tick handles a bounded
number of fire times per cron, so that a long row of them is caught up over several ticks.
"""

import asyncio
import heapq
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from itertools import pairwise

from jobrunner import message
from jobrunner.clock import Clock, from_ms, rfc3339, to_ms
from jobrunner.crons import Cron, NeverFires, next_fire
from jobrunner.errors import IllegalTransition, InvalidArguments, JobNotFound, StoreUnavailable
from jobrunner.lateness import LateFires
from jobrunner.log import EventLog
from jobrunner.manifest.spec import CronSpec, Overlap, Task
from jobrunner.message import Message
from jobrunner.model import JobState, Reason
from jobrunner.params import check_arguments
from jobrunner.policy import MisfireDecision, decide_misfire, jitter_delay
from jobrunner.store.backoff import Backoff
from jobrunner.store.cancelling import cancel
from jobrunner.store.connection import AsyncStoreConnection
from jobrunner.store.crons import (
    Enrolment,
    Fire,
    enrol,
    fire,
    has_booted,
    note_boot,
    note_next_fires,
    read_crons,
)
from jobrunner.store.due import promote_due
from jobrunner.store.keys import Keys
from jobrunner.store.submission import Submission, submit

PROMPT = timedelta(milliseconds=1)  # the shortest sleep while a batch of due jobs is left
IDLE = timedelta(hours=1)  # with nothing due; the clock's longest sleep is far shorter
# A schedule of its own: a cron that is enabled again begins anew and catches nothing up.
DISABLED = "disabled"


@dataclass(frozen=True, slots=True)
class ScheduledCron:
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


@dataclass(slots=True)
class _Progress:
    """How far a cron is, as this daemon knows."""

    handled: datetime
    previous: str  # id of its last job


class Scheduler:
    """Crons and due jobs of one daemon."""

    def __init__(
        self, keys: Keys, connection: AsyncStoreConnection, clock: Clock, wake: asyncio.Event
    ) -> None:
        self._keys = keys
        self._connection = connection
        self._clock = clock
        self._wake = wake
        self._crons: dict[str, ScheduledCron] = {}
        self._progress: dict[str, _Progress] = {}
        self._due: list[tuple[datetime, str]] = []  # heap of next fire times
        self._turn = asyncio.Lock()  # a reload must not change the crons under a tick
        self._backoff = Backoff()
        self._late = LateFires(clock)

    async def take_up(self, crons: Sequence[ScheduledCron]) -> None:
        """Schedule these crons from now on, and no others. Raises StoreUnavailable."""
        timed = {item.name: item for item in crons if not item.cron.is_reboot}
        async with self._turn:
            await self._see_off(timed)
            progress = await self._enrol(list(timed.values()))
            self._crons, self._progress, self._due = timed, progress, []
            for name, item in timed.items():
                if item.spec.enabled:
                    self._push_next(name)
            await self._note_next(timed)
        self._wake.set()

    async def _see_off(self, coming: Mapping[str, ScheduledCron]) -> None:
        """Fire what a schedule that goes still asked for: its successor begins now."""
        now, staying = self._clock.now(), _unchanged(self._crons, coming)
        while leaving := {name for at, name in self._due if at <= now} - staying:
            self._due = [(at, name) for at, name in self._due if name not in leaving]
            heapq.heapify(self._due)
            await self._handle(sorted(leaving), now)

    async def _enrol(self, crons: Sequence[ScheduledCron]) -> dict[str, _Progress]:
        now = self._clock.now()
        enrolments = [Enrolment(item.name, item.schedule, now) for item in crons]
        since = await self._connection.run(enrol(self._keys, enrolments))
        records = await self._connection.run(read_crons(self._keys, [i.name for i in crons]))
        return {
            record.name: _Progress(handled, record.job or "")
            for record, handled in zip(records, since, strict=True)
        }

    async def fire_at_boot(self, crons: Sequence[ScheduledCron], boot_id: str) -> None:
        """Make the jobs of `@reboot` crons, once per boot of this machine.

        The job first: killed before the note, it is made again under the same id, which does
        nothing.
        """
        run = self._connection.run
        for item in crons:
            if not (item.spec.enabled and item.cron.is_reboot):
                continue
            if await run(has_booted(self._keys, item.name, boot_id)):
                continue
            [record] = await run(read_crons(self._keys, [item.name]))
            if not record.is_paused:
                await run(submit(self._keys, [self._boot_job(item, boot_id)]))
            await run(note_boot(self._keys, item.name, boot_id))

    def _boot_job(self, item: ScheduledCron, boot_id: str) -> Submission:
        return Submission(
            f"{item.name}@boot-{boot_id[:8]}",
            item.spec.task,
            self._message(item, self._clock.now()),
            item.task.queue,
            item.task.priority,
            cron=item.name,
        )

    async def run(self, stopping: asyncio.Event) -> None:
        """Tick until stopped. `wake`, given to the constructor, ends a sleep."""
        while not stopping.is_set():
            self._wake.clear()
            try:
                wake_at = await self.tick(self._clock.now())
            except StoreUnavailable as error:
                EventLog().warning("could not schedule", error=error)
                delay = self._backoff.next_delay()
                self._late.lose_store(until=self._clock.now() + timedelta(seconds=delay))
                await asyncio.sleep(delay)
                continue
            self._backoff.reset()
            await self._clock.sleep_until(wake_at, self._wake)

    async def tick(self, now: datetime) -> datetime:
        """Handle what is due; returns when the next thing will be."""
        async with self._turn:
            self._late.look(now)
            await self._handle(self._pop_due(now), now)
            self._late.tell()
        promotion = await self._connection.run(promote_due(self._keys))
        if promotion.is_more_due:
            return now + PROMPT
        instants = [now + IDLE]
        if self._due:
            instants.append(self._due[0][0])
        if promotion.next_due_at is not None:
            # By the store's clock: ours may be ahead, and must not make a hot loop of it.
            instants.append(now + (promotion.next_due_at - promotion.at))
        return min(instants)

    async def _handle(self, names: Sequence[str], now: datetime) -> None:
        """Fire the fire times of these crons, which were taken out of the heap, up to `now`."""
        if not names:
            return
        try:
            moved: Sequence[str] = names
            while moved:
                moved = await self._propose(moved, now)
        except StoreUnavailable:
            # What is not noted as handled is proposed again by the next tick.
            self._push_back(names, now)
            raise
        for name in names:
            self._push_next(name)
        await self._note_next(names)

    async def _propose(self, names: Sequence[str], now: datetime) -> list[str]:
        """Decide about these crons; returns those to decide again, as others were faster."""
        decisions = {name: self._decide(name, now) for name in names}
        fires = [item for name in names for item in self._fires_of(name, decisions[name])]
        moved = await self._fire(fires)
        for name, decision in decisions.items():
            handled = decision.fire[-1] if decision.is_partial else now
            progress = self._progress[name]
            progress.handled = moved.get(name) or max(progress.handled, handled)
        return list(moved)

    def _decide(self, name: str, now: datetime) -> MisfireDecision:
        item = self._crons[name]
        return decide_misfire(item.cron, item.spec, self._progress[name].handled, now)

    def _pop_due(self, now: datetime) -> list[str]:
        names = []
        while self._due and self._due[0][0] <= now:
            names.append(heapq.heappop(self._due)[1])
        return names

    def _push_back(self, names: Sequence[str], at: datetime) -> None:
        for name in names:
            heapq.heappush(self._due, (at, name))

    def _push_next(self, name: str) -> None:
        try:
            at = next_fire(self._crons[name].cron, self._progress[name].handled)
        except NeverFires:
            return
        heapq.heappush(self._due, (at, name))

    async def _note_next(self, names: Mapping[str, object] | Sequence[str]) -> None:
        now = self._clock.now()
        at = {name: instant for instant, name in self._due}
        upcoming = {name: at.get(name) for name in names}
        for name, instant in upcoming.items():
            if instant is not None and instant <= now:
                upcoming[name] = None  # missed while no daemon ran; the next tick handles it
        await self._connection.run(note_next_fires(self._keys, upcoming))

    def _fires_of(self, name: str, decision: MisfireDecision) -> list[Fire]:
        item = self._crons[name]
        fires = [self._fire_of(item, fire_time) for fire_time in decision.fire]
        if decision.skipped is not None:
            span = decision.skipped
            detail = f"{span.count} fire times from {rfc3339(span.first)} to {rfc3339(span.last)}"
            row = self._fire_of(item, span.last)
            row = replace(row, skip=Reason.MISFIRE, detail=detail, first=span.first)
            fires.insert(0, row)
        return fires[:1] + [
            replace(fire, after=before.fire_time) for before, fire in pairwise(fires)
        ]

    def _fire_of(self, item: ScheduledCron, fire_time: datetime) -> Fire:
        task = item.task
        return Fire(
            item.name,
            fire_time,
            item.spec.task,
            self._message(item, fire_time),
            task.queue,
            task.priority,
            delay=jitter_delay(item.name, fire_time, item.spec.jitter),
            overlap=item.spec.overlap,
        )

    def _message(self, item: ScheduledCron, fire_time: datetime) -> bytes:
        """The job's message, with arguments as of the fire time's day in the cron's zone."""
        today = fire_time.astimezone(item.cron.zone).date()
        arguments = dict(item.spec.params)
        try:
            arguments = check_arguments(
                item.spec.task, item.task.param_specs(), arguments, from_text=False, today=today
            )
        except InvalidArguments as error:
            # The worker checks again and fails the job for it, where people look for it.
            EventLog().warning("found bad arguments", cron=item.name, error=error)
        body = Message(item.spec.task, arguments, cron=item.name, fire_time=to_ms(fire_time))
        return message.encode(body)

    async def _fire(self, fires: Sequence[Fire]) -> dict[str, datetime]:
        """Propose fire times, in order per cron; again for those that saw an old previous job.

        Returns the crons to be decided again, with their last handled fire time.
        """
        pending, moved = list(fires), dict[str, datetime]()
        while pending:
            replies = await self._connection.run(fire(self._keys, self._with_previous(pending)))
            again = []
            for item, reply in zip(pending, replies, strict=True):
                if reply.what == "moved":
                    moved[item.cron] = from_ms(int(reply.previous))
                elif reply.what == "changed":
                    self._progress[item.cron].previous = reply.previous
                    again.append(item)
                else:
                    await self._after_fire(item, reply.what, reply.previous)
            pending = [item for item in again if item.cron not in moved]
        return moved

    def _with_previous(self, fires: Sequence[Fire]) -> list[Fire]:
        """Several fire times of one cron follow one another: each one's job precedes the next."""
        chained = []
        previous = {item.cron: self._progress[item.cron].previous for item in fires}
        for item in fires:
            chained.append(replace(item, previous=previous[item.cron]))
            if item.skip is None:
                previous[item.cron] = item.job_id
        return chained

    async def _after_fire(self, item: Fire, what: str, previous: str) -> None:
        log = EventLog()
        fields = {"cron": item.cron, "fire_time": rfc3339(item.fire_time)}
        if what in ("handled", "paused"):
            log.debug("left a fire time alone", why=what, **fields)
            return
        if what == JobState.SKIPPED:
            log.info("skipped a fire time", reason=item.skip or Reason.OVERLAP, **fields)
            return
        self._progress[item.cron].previous = item.job_id
        self._late.note(item.cron, item.fire_time)
        log.info("fired", job_id=item.job_id, task=item.task, **fields)
        if what == JobState.BLOCKED and item.overlap == Overlap.REPLACE:
            await self._replace(previous)

    async def _replace(self, job_id: str) -> None:
        try:
            await self._connection.run(cancel(self._keys, job_id, Reason.REPLACED))
        except (IllegalTransition, JobNotFound):
            return  # it has ended meanwhile, which is what was wanted
        EventLog().info("replaced job", job_id=job_id)


def _unchanged(before: Mapping[str, ScheduledCron], after: Mapping[str, ScheduledCron]) -> set[str]:
    """Names of the crons that keep their schedule."""
    both = before.keys() & after.keys()
    return {name for name in both if before[name].schedule == after[name].schedule}
