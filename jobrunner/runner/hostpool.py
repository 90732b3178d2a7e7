"""The function hosts of a worker: started on demand, used again, ended when idle.

A new host costs about 60 ms and 20 MB. So up to one per processor are started at once; beyond that
only when calls wait longer than short functions would make them, and no more than there are slots.

Calls wait here, in one line. Free hosts get theirs first; short calls go several at once into a
host, and come back to the head of the line when one before them turns out to be long.
"""

import asyncio
import itertools
import os
from collections import deque
from collections.abc import Callable, Sequence
from datetime import timedelta
from functools import partial

from jobrunner.model import Reason
from jobrunner.runner.attempt import Attempt, Ended, Outcome, Stop
from jobrunner.runner.failures import CannotStart, NoRoom, no_room
from jobrunner.runner.host import HOLD_S, Host
from jobrunner.runner.hostcall import HostedCall
from jobrunner.runner.hoststart import HostSettings
from jobrunner.runner.output import Output
from jobrunner.runner.waiting import Cause

PATIENCE_S = 0.05  # of the oldest waiting call, before more hosts than processors are started
IDLE = timedelta(seconds=60)  # then a host is ended
END_GRACE_S = 2.0  # for a host to end by itself


class HostPool:
    """Runs the synchronous functions of one worker."""

    def __init__(self, settings: HostSettings, slots: int, idle: timedelta = IDLE) -> None:
        self._settings = settings
        self._slots = slots
        self._idle_s = idle.total_seconds()
        self._loop = asyncio.get_running_loop()
        self._at_once = os.cpu_count() or 1
        self._numbers = itertools.count(1)
        self._hosts: set[Host] = set()
        self._starting: set[Host] = set()
        self._ready_at = 0.0  # when the last host was; before that, calls wait for no fault of ours
        self._idle: dict[
            Host, None
        ] = {}  # the last used is taken first, so that the others can end
        self._waiting: deque[HostedCall] = deque()
        self._giving: asyncio.Handle | None = None
        self._growing: asyncio.TimerHandle | None = None
        self._looking: asyncio.TimerHandle | None = None
        self._tidying: asyncio.TimerHandle | None = None
        self._ending: set[asyncio.Task[None]] = set()

    async def run(self, attempt: Attempt, output: Output, stop: Stop) -> Outcome:
        """Perform one attempt, alone in its host; whatever it does wrong is its outcome."""
        done: asyncio.Future[Outcome] = self._loop.create_future()

        def settle(outcome: Outcome) -> None:
            if not done.done():
                done.set_result(outcome)

        call = self.begin(attempt, output, stop, settle, is_alone=True)
        try:
            return await done
        except asyncio.CancelledError:
            self._abandon(call)
            raise

    def begin(
        self,
        attempt: Attempt,
        output: Output,
        stop: Stop,
        ended: Callable[[Outcome], None],
        *,
        is_alone: bool = False,
    ) -> HostedCall:
        """Begin an attempt; `ended` is told the outcome, once, in the loop.

        `is_alone` is for jobs that others may kill at any time, like those under a lock.
        """
        call = HostedCall(attempt, output, ended, self._loop.time(), is_alone=is_alone)
        self._waiting.append(call)
        self._give_soon()
        stop.on_set(partial(self._stop, call))
        return call

    def descriptors(self) -> list[int]:
        """Those of this process by which it has its hosts."""
        return [descriptor for host in list(self._hosts) for descriptor in host.descriptors()]

    async def close(self) -> None:
        """End all hosts; no call may be under way."""
        for timer in (self._giving, self._growing, self._looking, self._tidying):
            if timer is not None:
                timer.cancel()
        await asyncio.gather(*(host.stop(END_GRACE_S) for host in list(self._hosts)))
        await asyncio.gather(*self._ending)

    def _stop(self, call: HostedCall, cause: Cause) -> None:
        if call.is_over:
            return
        if call in self._waiting:
            self._waiting.remove(call)
            call.stop(cause)
        elif (host := self._host_with(call)) is not None:
            self._note_change(host, host.stop_call(call, cause))

    def _abandon(self, call: HostedCall) -> None:
        call.abandon()
        if call in self._waiting:
            self._waiting.remove(call)
        elif (host := self._host_with(call)) is not None:
            host.kill()

    def _host_with(self, call: HostedCall) -> Host | None:
        return next((host for host in self._hosts if host.has(call)), None)

    def _give_soon(self) -> None:
        # Not at once: all calls that begin in this pass of the loop are given out together.
        if self._giving is None:
            self._giving = self._loop.call_soon(self._give_all)

    def _give_all(self) -> None:
        """Give waiting calls to hosts, as many as have room."""
        self._giving = None
        while self._waiting and self._idle:
            share = -(-len(self._waiting) // len(self._idle))
            host, _ = self._idle.popitem()
            self._give(host, share)
        if self._waiting:
            for host in self._hosts:
                self._give(host, host.room)
        if self._waiting:
            self._grow()

    def _give(self, host: Host, most: int) -> None:
        calls: list[HostedCall] = []
        last: HostedCall | None = None
        while self._waiting and len(calls) < min(most, host.room):
            if not host.can_take(self._waiting[0], last):
                break
            last = self._waiting.popleft()
            calls.append(last)
        if not calls:
            return
        host.give(calls)
        if self._looking is None and host.has_calls_ahead:
            self._looking = self._loop.call_later(HOLD_S, self._look_after)

    def _look_after(self) -> None:
        self._looking = None
        now = self._loop.time()
        for host in list(self._hosts):
            if host.has_calls_ahead:
                self._note_change(host, host.look_after(now))
        if any(host.has_calls_ahead for host in self._hosts):
            self._looking = self._loop.call_later(HOLD_S, self._look_after)

    def _grow(self) -> None:
        """Start hosts if the waiting calls are worth it, or look again later."""
        patience = max(self._waiting[0].since, self._ready_at) + PATIENCE_S - self._loop.time()
        while self._can_grow():
            if len(self._hosts) >= self._at_once and patience > 0:
                if self._growing is None:
                    self._growing = self._loop.call_later(patience, self._grow_later)
                return
            self._start()

    def _can_grow(self) -> bool:
        return (
            len(self._waiting) > len(self._starting) < self._at_once
            and len(self._hosts) < self._slots
        )

    def _grow_later(self) -> None:
        self._growing = None
        if self._waiting:
            self._grow()

    def _start(self) -> None:
        name = f"{self._settings.processes.worker}/{next(self._numbers)}"
        try:
            host = Host(name, self._settings, self._note_change)
        except (OSError, RuntimeError) as error:
            what = f"cannot start a function host: {error}"
            self._fail_oldest(no_room(error) or CannotStart(what))
            return
        self._hosts.add(host)
        self._starting.add(host)

    def _note_change(self, host: Host, unbegun: Sequence[HostedCall]) -> None:
        self._waiting.extendleft(call for call in reversed(unbegun) if not call.is_over)
        if host.is_ready and host in self._starting:
            self._starting.discard(host)
            self._ready_at = self._loop.time()
        if host.has_died:
            self._forget(host)
        elif host.is_idle:
            self._note_idle(host)
        if self._waiting:
            self._give_soon()

    def _forget(self, host: Host) -> None:
        self._hosts.discard(host)
        self._starting.discard(host)
        self._idle.pop(host, None)
        if not host.is_ready:
            # One that was killed says nothing about the function: the attempt counts as lost.
            reason = Reason.LOST if host.was_killed else Reason.ERROR
            failure = CannotStart(f"a new function host {host.death}", reason=reason)
            self._fail_oldest(failure, was_killed=host.was_killed)

    def _fail_oldest(self, failure: CannotStart, *, was_killed: bool = False) -> None:
        """For want of a resource a call has not been tried: its job can go elsewhere."""
        if self._waiting:
            call = self._waiting.popleft()
            call.settle(
                Outcome(
                    Ended.ABANDONED if isinstance(failure, NoRoom) else Ended.FAILED,
                    timedelta(0),
                    error=failure.error,
                    reason=failure.reason,
                    was_killed=was_killed,
                )
            )

    def _note_idle(self, host: Host) -> None:
        host.idle_since = self._loop.time()
        self._idle[host] = None
        if self._tidying is None:
            self._tidying = self._loop.call_later(self._idle_s, self._tidy)

    def _tidy(self) -> None:
        """End hosts that nobody has needed for a while."""
        self._tidying = None
        long_ago = self._loop.time() - self._idle_s
        for host in [host for host in self._idle if host.idle_since <= long_ago]:
            del self._idle[host]
            ending = self._loop.create_task(host.stop(END_GRACE_S))
            self._ending.add(ending)
            ending.add_done_callback(self._ending.discard)
        if self._idle:
            next_at = min(host.idle_since for host in self._idle) + self._idle_s
            self._tidying = self._loop.call_at(next_at, self._tidy)
