"""Claims queued jobs for free slots, higher priorities first.

Reads never more than there are free slots, so no job waits in a busy process while another is
idle. A first try takes what is there; only when nothing is, it waits at the server. A queue hands
out its entries in the order of their ids: after a lost reply, what we have claimed later than the
last entry that we know of is what was in it.
From a store that is far away, as long as there is plenty, each claim is for half of the slots, and
two are on their way at a time: not all slots wait for one reply.
A worker that met a job whose task only others know is cautious for a while: it takes one job at a
time, and only what nobody takes who waits at the server. Else it would take all jobs from under the
hands of those who know them: it has put one aside long before they have performed one.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from datetime import timedelta

from jobrunner.errors import StoreUnavailable
from jobrunner.log import EventLog
from jobrunner.policy import fair_share
from jobrunner.store.attempts import (
    Entry,
    Requeued,
    Unreadable,
    claim,
    claim_next,
    ensure_groups,
    requeue,
)
from jobrunner.store.backoff import Backoff
from jobrunner.store.connection import AsyncStoreConnection
from jobrunner.store.damage import told
from jobrunner.store.failures import ReplyError
from jobrunner.store.keys import Keys
from jobrunner.store.rescue import Place, find_claimed_by
from jobrunner.store.unreadable import refuse_unreadable
from jobrunner.worker.outage import until_done

Claimed = list[Entry | Unreadable] | None  # None: this worker was buried
# A store is far when even the quickest claim takes longer than a worker has work of short jobs in
# half of its slots: then it is the network that takes the time.
FAR_S = 0.0008
PASSES = 4  # of the loop, in which a job that waits for nothing begins and ends
HOLD_BACK_S = 0.2  # between the claims of a cautious worker that finds nothing, or nothing for it
SHORTEST_PAUSE_S = 0.1  # in claims, while there is no room for another process
LONGEST_PAUSE_S = 5.0
CAUTIOUS_FOR_S = 15.0  # after the last of them; such a job comes back within 10 s


class Reader:
    """The loop that claims; `begin` is called for each job."""

    def __init__(
        self,
        keys: Keys,
        connection: AsyncStoreConnection,
        worker: str,
        queues: Sequence[str],
        slots: int,
        begin: Callable[[Entry], None],
        block: timedelta,
        backoff: Backoff | None = None,
        wait_for_room: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        """`wait_for_room` returns when more jobs may be claimed, as far as it is not for slots.

        `block` bounds an idle read. It must be shorter than what is left of a lease between two
        renewals: else the read of a worker that hangs could still be given jobs after its rescue.
        """
        self._keys = keys
        self._connection = connection
        self._worker = worker
        self._queues = queues
        self._free = slots
        self._half = (slots + 1) // 2
        self._is_far = True  # the store, until a claim is quick; anew after each outage
        self._asked = 0  # slots that the claim on its way counts on
        self._has_plenty = False  # the last claim brought all that it asked for
        self._ahead: asyncio.Task[Claimed] | None = None  # a claim for the other half
        self._begin = begin
        self._block_ms = block // timedelta(milliseconds=1)
        self._has_free = asyncio.Event()
        self._has_free.set()
        self._claimed = 0
        self._last: dict[Place, str] = {}  # entry that we were given last, per queue and level
        self._may_have_missed = False
        self._hold_back_until = self._cautious_until = 0.0  # by the loop's clock
        self._backoff = backoff or Backoff()
        self._no_room = Backoff(SHORTEST_PAUSE_S * 2, LONGEST_PAUSE_S)
        self._wait_for_room = wait_for_room

    def give_slot(self, *, has_ended: bool = True) -> None:
        """An attempt has ended, or could not be started."""
        self._free += 1
        self._has_free.set()
        if has_ended:
            self._no_room.reset()
        if self._is_far:
            self._claim_ahead()

    def hold_back(self) -> None:
        """Only others know the task of a job that was claimed: leave them what comes next."""
        now = asyncio.get_running_loop().time()
        self._hold_back_until = now + HOLD_BACK_S
        self._cautious_until = now + CAUTIOUS_FOR_S

    def hold_off(self) -> float:
        """A job could not be started for want of a resource: claim nothing for a while.

        Longer each time, until a job ends. Returns seconds; 0 when it holds off already.
        """
        now = asyncio.get_running_loop().time()
        if now < self._hold_back_until:
            return 0.0
        pause = max(self._no_room.next_delay(), SHORTEST_PAUSE_S)
        self._hold_back_until = now + pause
        return pause

    def _is_cautious(self) -> bool:
        return asyncio.get_running_loop().time() < self._cautious_until

    async def _wait_held_back(self) -> None:
        held_back_s = self._hold_back_until - asyncio.get_running_loop().time()
        if held_back_s > 0:
            await asyncio.sleep(held_back_s)

    async def run(self) -> None:
        """Claim until cancelled, or until others have buried this worker."""
        try:
            await self._claim_on()
        finally:
            if self._ahead is not None:
                self._ahead.cancel()

    async def give_back_unbegun(self) -> None:
        """Give others what the server has handed out and nobody here has begun.

        To be called once `run` has ended: its last claims may have been answered after that. On the
        same connection, so that the server has seen them.
        """
        while found := await until_done(
            self._connection,
            lambda: find_claimed_by(self._keys, self._worker, self._queues, self._last),
            "look for jobs that were not begun",
        ):
            self._note(found)
            await self._give_back([item for item in found if isinstance(item, Entry)])

    async def _claim_on(self) -> None:
        while True:
            if self._free <= 0:
                self._has_free.clear()
                await self._has_free.wait()
            if self._wait_for_room is not None:
                await self._wait_for_room()
            if self._ahead is None:
                await self._wait_held_back()
            else:
                await self._let_short_jobs_end()
            try:
                is_alive = await self._claim_some()
            except StoreUnavailable as error:
                EventLog().warning("could not claim jobs", worker=self._worker, error=error)
                await self._forget_ahead()
                self._may_have_missed = self._is_far = True
                await asyncio.sleep(self._backoff.next_delay())
            except ReplyError as error:
                if error.code != "NOGROUP":
                    told.tell_error("claim jobs", error)
                    await self._forget_ahead()
                    self._may_have_missed = True
                    await asyncio.sleep(self._backoff.next_delay())
                    continue
                # The server lost its data (FLUSHALL, a new server): begin anew.
                self._last.clear()
                await until_done(
                    self._connection,
                    lambda: ensure_groups(self._keys, self._queues),
                    "make queues",
                )
            else:
                if not is_alive:
                    return

    async def _let_short_jobs_end(self) -> None:
        """Their slots shall be claimed for before what has come is begun.

        Else the two claims would go and come together, and all slots would wait for both.
        """
        for _ in range(PASSES):
            if self._free >= 2 * self._half:
                return
            await asyncio.sleep(0)

    async def _claim_some(self) -> bool:
        """Begin what could be claimed; false when this worker was buried."""
        if self._may_have_missed:
            await self._take_missed()
            return True
        is_cautious = self._is_cautious()
        most = 1 if is_cautious else self._free
        if self._is_far or self._ahead is not None:
            entries = await self._claim_far(most)
        else:
            entries = await self._claim(most)
        # Not after a read alone: a server whose disk is full serves those.
        self._backoff.reset()
        if entries is None:
            return False
        if not entries and is_cautious:
            self._hold_back_until = asyncio.get_running_loop().time() + HOLD_BACK_S
        elif not entries and self._ahead is None:
            asked_at = time.monotonic()
            entries = await self._connection.run(
                claim_next(self._keys, self._worker, self._queues, self._block_ms)
            )
            if not entries and time.monotonic() - asked_at < HOLD_BACK_S:
                # The server did not wait: all that it could wait at is damaged.
                await asyncio.sleep(HOLD_BACK_S)
        await self._take(entries)
        return True

    async def _claim_far(self, most: int) -> Claimed:
        """What was claimed ahead, or is claimed now; while it comes, the other half is claimed."""
        claiming, self._ahead = self._ahead, None
        if claiming is not None:
            asked = self._half
        else:
            asked = min(most, self._half) if self._has_plenty else most
            claiming = asyncio.create_task(self._claim(asked))
        self._asked = asked
        self._claim_ahead()
        try:
            if self._ahead is not None:
                await asyncio.sleep(0)  # to be made
                await asyncio.sleep(0)  # to be sent
            entries = await claiming
        finally:
            self._asked = 0
            claiming.cancel()  # of a reader that is cancelled
        self._has_plenty = entries is not None and len(entries) == asked
        return entries

    async def _claim(self, most: int) -> Claimed:
        asked_at = time.monotonic()  # the loop's clock has whole milliseconds only
        entries = await self._connection.run(
            claim(
                self._keys,
                self._worker,
                self._queues,
                most,
                fair_share=fair_share(most, self._claimed),
                rotation=self._claimed % max(1, len(self._queues)),
            )
        )
        if time.monotonic() - asked_at < FAR_S:
            self._is_far = False
        return entries

    def _claim_ahead(self) -> None:
        can_claim = self._ahead is None and self._asked and self._has_plenty
        is_free = self._free - self._asked >= self._half
        is_held_back = asyncio.get_running_loop().time() < self._hold_back_until
        if can_claim and is_free and not is_held_back and not self._is_cautious():
            self._ahead = asyncio.create_task(self._claim(self._half))

    async def _forget_ahead(self) -> None:
        """What it brings is found with what was missed, each once."""
        claiming, self._ahead = self._ahead, None
        if claiming is not None:
            claiming.cancel()
            await asyncio.gather(claiming, return_exceptions=True)

    async def _take_missed(self) -> None:
        missed = await self._connection.run(
            find_claimed_by(self._keys, self._worker, self._queues, self._last)
        )
        self._may_have_missed = bool(missed)
        await self._take(missed)

    def _note(self, found: Sequence[Entry | Unreadable]) -> None:
        self._claimed += len(found)
        for item in found:
            self._last[item.queue, item.priority] = item.entry_id

    async def _take(self, found: Sequence[Entry | Unreadable]) -> None:
        self._note(found)
        damaged = [item for item in found if isinstance(item, Unreadable)]
        entries = [item for item in found if isinstance(item, Entry)]
        # The waiting read may bring one job per queue and level, more than there are slots.
        free = max(0, self._free)
        await self._begin_all(entries[:free])
        if damaged:
            await until_done(
                self._connection,
                lambda: refuse_unreadable(self._keys, self._worker, damaged),
                "record unreadable entries",
            )
        if entries[free:]:
            await self._give_back(entries[free:])

    async def _begin_all(self, entries: Sequence[Entry]) -> None:
        """Begin the first half a pass of the loop before the second.

        Short jobs have ended by then: the next claim is on its way while the second half runs, and
        neither the server nor this worker waits for the other.
        """
        half = len(entries) // 2
        for entry in entries[:half]:
            self._take_slot(entry)
        try:
            if half:
                await asyncio.sleep(0)
        finally:  # also of a reader that is cancelled: they are claimed
            for entry in entries[half:]:
                self._take_slot(entry)

    def _take_slot(self, entry: Entry) -> None:
        self._free -= 1
        self._begin(entry)

    async def _give_back(self, surplus: Sequence[Entry]) -> None:
        replies = await until_done(
            self._connection,
            lambda: requeue(self._keys, surplus, is_lost=False),
            "give jobs back",
        )
        for entry, reply in zip(surplus, replies, strict=True):
            if reply is Requeued.CANCELLING:
                self._take_slot(entry)  # beyond the slots; it is stopped as soon as it has begun
