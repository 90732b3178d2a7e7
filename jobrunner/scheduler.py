"""The scheduler's loop: fire times make jobs, due jobs go to their queues.

Any number of daemons run it at the same time. What a fire time does is decided by `fire.lua`,
whose fence is the cron's last handled fire time; this loop only proposes. Killed between two
fire times, the next one goes on after the last handled one. It sleeps until the next due instant
and is woken when an earlier one arrives; an instant that was missed (a lost wake-up, a clock that
was set, a machine that was suspended) is found by the next tick, after five seconds at most. What
"now" means is asked of the store, once per tick: all daemons go by its clock, whatever their own
say, and a jump never replays old fire times as if they were live. They are misfires, and the cron's
misfire policy decides. When that clock is set back, all crons are taken up anew: what they have
handled may be far ahead of it, and is set back with it (`store/crons.py`).

A tick handles a bounded number of fire times and is followed by the next one at once, with due jobs
promoted in between. So of thousands of crons with the same fire time the first jobs run while the
others are still made, and nothing else in the daemon is held up. Crons take turns by their fire
times, then by name; one with a long row to catch up waits after each piece for those due by then.
"""

import asyncio
import heapq
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TypeVar

from msgspec.structs import replace

from jobrunner.clock import Clock, StoreClock, from_ms, rfc3339
from jobrunner.errors import IllegalTransition, JobNotFound, StoreFull, StoreUnavailable
from jobrunner.firing import ScheduledCron, due_after, fire_for_boot, skip_taken, unchanged
from jobrunner.lateness import LateFires
from jobrunner.log import EventLog
from jobrunner.manifest.spec import Overlap
from jobrunner.model import JobState, Reason
from jobrunner.policy import MisfireDecision, decide_misfire, is_prompt
from jobrunner.store.backoff import Backoff
from jobrunner.store.cancelling import cancel
from jobrunner.store.connection import AsyncStoreConnection
from jobrunner.store.crons import (
    Enrolment,
    Fire,
    enrol,
    fire,
    note_next_fires,
    read_crons,
)
from jobrunner.store.damage import told
from jobrunner.store.decoding import read_time
from jobrunner.store.due import Promotion, promote_due
from jobrunner.store.failures import DamagedKey, ReplyError
from jobrunner.store.keys import Keys

T = TypeVar("T")
PROMPT = timedelta(milliseconds=1)  # the shortest sleep while a batch of due jobs is left
LOOK_FOR_ROOM = timedelta(seconds=1)  # while the store is too full for more jobs
IDLE = timedelta(hours=1)  # with nothing due; the clock's longest sleep is far shorter
# Per tick, and per round trip: the jobs of the first begin some milliseconds after their fire time,
# while those of the next are prepared, and nothing else in the daemon waits longer than that.
FIRES_PER_TICK = 50
CRONS_PER_TRIP = 100  # that are taken up
DAMAGED_FOR = timedelta(seconds=5)  # until a cron whose keys are damaged is looked at again
SET_BACK = timedelta(seconds=1)  # a clock that drifts, or is slewed, goes back by far less


@dataclass(slots=True)
class _Progress:
    """How far a cron is, as this daemon knows."""

    handled: datetime
    previous: str  # id of its last job
    due: datetime | None  # the first fire time after `handled`; None: there is none, or not known
    held_until: datetime | None = None  # since what it needs is damaged

    def reach(self, handled: datetime) -> None:
        self.handled, self.due, self.held_until = handled, None, None


class Scheduler:
    """Crons and due jobs of one daemon."""

    def __init__(
        self, keys: Keys, connection: AsyncStoreConnection, clock: Clock, wake: asyncio.Event
    ) -> None:
        self._keys = keys
        self._connection = connection
        self._clock = StoreClock(clock)
        self._wake = wake
        self._crons: dict[str, ScheduledCron] = {}
        self._progress: dict[str, _Progress] = {}
        # A heap by when to look at a cron. One that catches up is behind others of that instant.
        self._due: list[tuple[datetime, bool, str]] = []
        self._fired: list[str] = []  # crons whose next fire time is not looked for yet
        self._must_begin = False  # anew, since the store's clock was set back
        self._delayed_until: datetime | None = None  # the first that a fire of this tick put off
        self._at_boot: list[tuple[ScheduledCron, str]] = []  # to be fired for this boot
        self._is_full = False  # the store, when jobs were to be made last
        self._turn = asyncio.Lock()  # a reload must not change the crons under a tick
        self._backoff = Backoff()
        self._late = LateFires(self._clock)
        self._log = EventLog()

    async def take_up(self, crons: Sequence[ScheduledCron]) -> None:
        """Schedule these crons from now on, and no others. Raises StoreUnavailable."""
        timed = {item.name: item for item in crons if not item.cron.is_reboot}
        async with self._turn:
            self._clock.note(await self._connection.run(read_time()))
            await self._see_off(timed)
            await self._begin(timed)
        self._wake.set()

    async def _begin(self, timed: dict[str, ScheduledCron]) -> None:
        progress = await self._enrol(list(timed.values()))
        self._crons, self._progress, self._due, self._fired = timed, progress, [], []
        for name in timed:
            self._push(name, self._clock.now())
        for names in _portions(list(timed), CRONS_PER_TRIP):
            await self._note_next(names)

    async def _see_off(self, coming: Mapping[str, ScheduledCron]) -> None:
        """Fire what a schedule that goes still asked for: its successor begins now."""
        now, staying = self._clock.now(), unchanged(self._crons, coming)
        self._look_ahead(len(self._fired), now)
        while leaving := {name for at, _, name in self._due if at <= now} - staying:
            portion = set(sorted(leaving)[:FIRES_PER_TICK])
            self._due = [entry for entry in self._due if entry[2] not in portion]
            heapq.heapify(self._due)
            await self._handle({name: self._decide(name, now) for name in sorted(portion)}, now)
            self._look_ahead(len(self._fired), now)

    async def _enrol(self, crons: Sequence[ScheduledCron]) -> dict[str, _Progress]:
        progress = dict[str, _Progress]()
        for portion in _portions(crons, CRONS_PER_TRIP):
            enrolments = [Enrolment(item.name, item.schedule) for item in portion]
            enrolled = await self._connection.run(enrol(self._keys, enrolments))
            records = await self._connection.run(read_crons(self._keys, [i.name for i in portion]))
            for item, record, begin in zip(portion, records, enrolled, strict=True):
                due = due_after(item, begin.since)
                progress[item.name] = _Progress(begin.since, record.job or "", due)
                if begin.set_back_from is not None:
                    self._tell_set_back(item.name, begin.set_back_from)
        return progress

    def _tell_set_back(self, cron: str, before: datetime) -> None:
        self._log.warning(
            "set back a cron that was handled ahead of the store's clock",
            cron=cron,
            handled=rfc3339(before),
            why="the clock was ahead then, or another program has written it",
        )

    async def fire_at_boot(self, crons: Sequence[ScheduledCron], boot_id: str) -> None:
        """Make the jobs of `@reboot` crons, once per boot; of a full store, in a later tick."""
        reboots = [item for item in crons if item.spec.enabled and item.cron.is_reboot]
        self._at_boot = [(item, boot_id) for item in reboots]
        try:
            await self._fire_at_boot()
        except StoreFull as error:
            self._note_full(error)

    async def _fire_at_boot(self) -> None:
        while self._at_boot:
            item, boot_id = self._at_boot[0]
            firing = fire_for_boot(self._keys, item, boot_id, self._clock.now())
            try:
                await self._connection.run(firing)
            except DamagedKey as error:
                self._log.error("could not fire at boot", cron=item.name, error=error)
            del self._at_boot[0]

    async def run(self, stopping: asyncio.Event) -> None:
        """Tick until stopped. `wake`, given to the constructor, ends a sleep."""
        while not stopping.is_set():
            self._wake.clear()
            try:
                wake_at = await self.tick()
            except (StoreUnavailable, ReplyError) as error:
                if isinstance(error, ReplyError):
                    told.tell_error("schedule", error)
                else:
                    self._log.warning("could not schedule", error=error)
                delay = self._backoff.next_delay()
                self._late.lose_store(until=self._clock.now() + timedelta(seconds=delay))
                await asyncio.sleep(delay)
                continue
            self._backoff.reset()
            await self._clock.sleep_until(wake_at, self._wake)

    async def tick(self) -> datetime:
        """Handle what is due; returns when the next thing will be, by the store's clock."""
        async with self._turn:
            promotion = await self._connection.run(promote_due(self._keys))
            now = promotion.at
            await self._hear(now)
            try:
                await self._fire_due(now)
            except StoreFull as error:
                # What waits goes on: only that makes room.
                self._note_full(error)
            else:
                self._is_full = False
            return self._wake_at(promotion)

    async def _hear(self, now: datetime) -> None:
        """Go by the time that the store has told."""
        was_set = self._clock.note(now)
        self._late.look(now)
        if was_set < -SET_BACK:
            seconds = round(-was_set.total_seconds(), 1)
            self._log.warning(
                "found the store's clock set back; takes up all crons", seconds=seconds
            )
            self._must_begin = True
        if self._must_begin:
            await self._begin(self._crons)
            self._must_begin = False

    def _wake_at(self, promotion: Promotion) -> datetime:
        now, delayed_until = promotion.at, self._delayed_until
        self._delayed_until = None
        if promotion.is_more_due:
            return now + PROMPT
        if self._fired and not self._is_full:
            return now
        instants = [now + IDLE]
        if self._is_full:
            instants.append(now + LOOK_FOR_ROOM)
        elif self._due:
            instants.append(self._due[0][0])
        instants += [at for at in (promotion.next_due_at, delayed_until) if at is not None]
        return min(instants)

    async def _fire_due(self, now: datetime) -> None:
        await self._fire_at_boot()
        await self._handle(self._decide_due(now), now)
        if not self._is_due(now):
            # Only now, as it takes as long as firing: no job waits for another cron's future,
            # nor for the lines about those that were late.
            await self._note_next(self._look_ahead(CRONS_PER_TRIP, now))
            self._late.tell()

    def _note_full(self, error: StoreFull) -> None:
        """Fire times of this while are handled when there is room, by the misfire policies."""
        if not self._is_full:
            self._log.warning("could not fire: the store is full; tried again", error=error)
        self._is_full = True
        self._late.lose_store(until=self._clock.now() + LOOK_FOR_ROOM)

    def _is_due(self, now: datetime) -> bool:
        return bool(self._due) and self._due[0][0] <= now

    def _decide_due(self, now: datetime) -> dict[str, MisfireDecision]:
        """Take crons that are due out of the heap and decide about them, enough for a tick."""
        decisions, fires = dict[str, MisfireDecision](), 0
        while fires < FIRES_PER_TICK and self._is_due(now):
            name = heapq.heappop(self._due)[-1]
            decisions[name] = self._decide(name, now)
            fires += max(1, len(decisions[name].fire))
        return decisions

    def _decide(self, name: str, now: datetime) -> MisfireDecision:
        item, progress = self._crons[name], self._progress[name]
        if progress.due is not None and is_prompt(item.spec, progress.due, now):
            # Others may have followed it. They are not looked for while crons wait for their turn.
            return MisfireDecision([progress.due], is_partial=True)
        return decide_misfire(item.cron, item.spec, progress.handled, now)

    async def _handle(self, decisions: Mapping[str, MisfireDecision], now: datetime) -> None:
        """Fire what was decided at `now` about these crons, which were taken out of the heap."""
        if not decisions:
            return
        names = list(decisions)
        try:
            while decisions:
                moved = await self._propose(decisions, now)
                # Others were faster.
                decisions = {name: self._decide(name, now) for name in moved}
        except StoreUnavailable:
            # What is not noted as handled is proposed again by the next tick.
            self._push_back(names, now)
            raise
        self._fired += names

    async def _propose(
        self, decisions: Mapping[str, MisfireDecision], now: datetime
    ) -> Mapping[str, datetime]:
        """Fire; returns the crons to be decided again, with their last handled fire time."""
        fires = [
            item
            for name, decided in decisions.items()
            for item in self._crons[name].fires(decided, self._progress[name].previous)
        ]
        moved, left = await self._fire(fires)
        for name, decision in decisions.items():
            if name in left:
                moved.pop(name, None)  # what follows it in its row; a later tick decides
                continue
            handled = decision.fire[-1] if decision.is_partial else now
            progress = self._progress[name]
            progress.reach(moved.get(name) or max(progress.handled, handled))
        return moved

    def _push_back(self, names: Sequence[str], at: datetime) -> None:
        for name in names:
            heapq.heappush(self._due, (at, False, name))

    def _look_ahead(self, most: int, now: datetime) -> list[str]:
        """Put crons that have fired back into the heap, the first ones first; returns them."""
        names, self._fired = self._fired[:most], self._fired[most:]
        for name in names:
            progress = self._progress[name]
            progress.due = due_after(self._crons[name], progress.handled)
            self._push(name, now)
        return names

    def _push(self, name: str, now: datetime) -> None:
        due, held_until = self._progress[name].due, self._progress[name].held_until
        if due is not None:
            # What is left of a long row waits for a turn of the crons that are due by now.
            heapq.heappush(self._due, (max(due, now, held_until or now), due <= now, name))

    async def _note_next(self, names: Sequence[str]) -> None:
        if not names:
            return
        now = self._clock.now()
        upcoming = {name: self._progress[name].due for name in names}
        for name, instant in upcoming.items():
            if instant is not None and instant <= now:
                upcoming[name] = None  # missed while no daemon ran; the next tick handles it
        await self._connection.run(note_next_fires(self._keys, upcoming))

    async def _fire(self, fires: Sequence[Fire]) -> tuple[dict[str, datetime], set[str]]:
        """Propose fire times, in order per cron; again for those that saw an old previous job.

        Returns the crons to be decided again, with their last handled fire time, and those that
        cannot be handled now: their fire times have not come, or what they need is damaged.
        """
        pending, moved, left = fires, dict[str, datetime](), set[str]()
        while pending:
            replies = await self._connection.run(fire(self._keys, pending))
            again = []
            for item, reply in zip(pending, replies, strict=True):
                if reply.what == "moved":
                    moved[item.cron] = from_ms(int(reply.previous))
                elif reply.what == "early":
                    left.add(item.cron)
                elif reply.what == "damaged":
                    left.add(item.cron)
                    self._progress[item.cron].held_until = self._clock.now() + DAMAGED_FOR
                    told.tell(reply.previous)
                elif reply.what == "set_back":
                    self._tell_set_back(item.cron, from_ms(int(reply.previous)))
                elif reply.what == "changed":
                    self._progress[item.cron].previous = reply.previous
                    again.append(item)
                elif reply.what == "taken":
                    again.append(skip_taken(item))
                else:
                    self._note_fire(item, reply.what)
                    if reply.what == JobState.BLOCKED and item.overlap == Overlap.REPLACE:
                        await self._replace(reply.previous)
            # What follows a taken one has moved its cron: it is to be decided after that one.
            again = [item for item in again if item.skip or item.cron not in moved]
            pending = self._with_previous(again)
        return moved, left

    def _with_previous(self, fires: Sequence[Fire]) -> list[Fire]:
        """Several fire times of one cron follow one another: each one's job precedes the next."""
        chained = []
        previous = {item.cron: self._progress[item.cron].previous for item in fires}
        for item in fires:
            chained.append(replace(item, previous=previous[item.cron]))
            if not item.skip:
                previous[item.cron] = item.job_id
        return chained

    def _note_fire(self, item: Fire, what: str) -> None:
        fields = {"cron": item.cron, "fire_time": rfc3339(item.fire_time)}
        if what in ("handled", "paused"):
            self._log.debug("left a fire time alone", why=what, **fields)
            return
        if what == JobState.SKIPPED:
            reason = item.skip or Reason.OVERLAP
            self._log.info("skipped a fire time", reason=reason, **fields)
            return
        if what == JobState.SCHEDULED:
            due_at = self._clock.now() + item.delay
            self._delayed_until = min(due_at, self._delayed_until or due_at)
        job_id = item.job_id
        self._progress[item.cron].previous = job_id
        self._late.note(item.cron, item.fire_time)
        self._log.info("fired", job_id=job_id, task=item.task, **fields)

    async def _replace(self, job_id: str) -> None:
        try:
            await self._connection.run(cancel(self._keys, job_id, Reason.REPLACED))
        except (IllegalTransition, JobNotFound):
            return  # it has ended meanwhile, which is what was wanted
        self._log.info("replaced job", job_id=job_id)


def _portions(items: Sequence[T], size: int) -> Iterator[Sequence[T]]:
    for start in range(0, len(items), size):
        yield items[start : start + size]
