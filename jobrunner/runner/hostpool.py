"""The function hosts of a worker: started on demand, used again, ended when idle.

A new host costs about 60 ms and 20 MB. So up to one per processor are started at once; beyond that
only when calls wait longer than short functions would make them, and no more than there are slots.
"""

import asyncio
import itertools
import os
from collections import deque
from dataclasses import dataclass
from datetime import timedelta

from jobrunner.model import Reason
from jobrunner.runner.attempt import Attempt, Ended, Outcome, Stop
from jobrunner.runner.failures import CannotStart
from jobrunner.runner.host import Host, HostSettings
from jobrunner.runner.output import Output
from jobrunner.runner.waiting import Cause, first_of, stopped

PATIENCE_S = 0.05  # of the oldest waiting call, before one more host than processors is started
IDLE = timedelta(seconds=60)  # then a host is ended
END_GRACE_S = 2.0  # for a host to end by itself


@dataclass(frozen=True, slots=True)
class _Waiting:
    """A call without a host."""

    host: "asyncio.Future[Host]"
    since: float  # monotonic


class HostPool:
    """Runs the synchronous functions of one worker."""

    def __init__(self, settings: HostSettings, slots: int, idle: timedelta = IDLE) -> None:
        self._settings = settings
        self._slots = slots
        self._idle_s = idle.total_seconds()
        self._at_once = os.cpu_count() or 1
        self._numbers = itertools.count(1)
        self._hosts: set[Host] = set()
        self._idle: list[Host] = []  # the last used is taken first, so that the others can end
        self._waiting: deque[_Waiting] = deque()
        self._growing: asyncio.TimerHandle | None = None
        self._ending: set[asyncio.Task[None]] = set()
        self._tidying: asyncio.TimerHandle | None = None

    async def run(self, attempt: Attempt, output: Output, stop: Stop) -> Outcome:
        """Perform one attempt; whatever the function does wrong is its outcome."""
        try:
            host = self._take_idle() or await self._wait_for_host(stop)
        except CannotStart as failure:
            return Outcome(Ended.FAILED, timedelta(0), error=failure.error, reason=failure.reason)
        if not isinstance(host, Host):
            return stopped(host, timedelta(0), attempt.task.timeout)
        try:
            return await host.perform(attempt, output, stop)
        finally:
            self._release(host)

    async def close(self) -> None:
        """End all hosts; no call may be under way."""
        for timer in (self._growing, self._tidying):
            if timer is not None:
                timer.cancel()
        await asyncio.gather(*(host.stop(END_GRACE_S) for host in list(self._hosts)))
        await asyncio.gather(*self._ending)

    def _take_idle(self) -> Host | None:
        while self._idle:
            host = self._idle.pop()
            if not host.is_spent:
                return host
        return None

    async def _wait_for_host(self, stop: Stop) -> Host | Cause:
        """A host, or why the call is not needed any more. Raises CannotStart."""
        loop = asyncio.get_running_loop()
        waiting = _Waiting(loop.create_future(), loop.time())
        self._waiting.append(waiting)
        self._grow()
        try:
            cause = await first_of(waiting.host, stop, None)
        except asyncio.CancelledError:
            self._forget(waiting)
            raise
        if cause is None:
            return waiting.host.result()
        self._forget(waiting)
        return cause

    def _forget(self, waiting: _Waiting) -> None:
        if waiting in self._waiting:
            self._waiting.remove(waiting)
        elif not waiting.host.exception():
            self._release(waiting.host.result())  # it came at the same moment

    def _grow(self) -> None:
        """Start a host if the waiting calls are worth it, or look again later."""
        starting = sum(not host.is_ready for host in self._hosts)
        wanted = len(self._waiting) - starting
        if wanted <= 0 or starting >= self._at_once or len(self._hosts) >= self._slots:
            return
        loop = asyncio.get_running_loop()
        patience = self._waiting[0].since + PATIENCE_S - loop.time()
        if len(self._hosts) < self._at_once or patience <= 0:
            self._start()
        elif self._growing is None:
            self._growing = loop.call_later(patience, self._grow_later)

    def _grow_later(self) -> None:
        self._growing = None
        self._grow()

    def _start(self) -> None:
        name = f"{self._settings.processes.worker}/{next(self._numbers)}"
        try:
            self._hosts.add(Host(name, self._settings, self._note_change))
        except CannotStart as failure:
            self._fail_oldest(failure)

    def _note_change(self, host: Host) -> None:
        if not host.is_spent:
            self._release(host)
            return
        self._hosts.discard(host)
        if host in self._idle:
            self._idle.remove(host)
        if not host.is_ready:
            # One that was killed says nothing about the function: the attempt counts as lost.
            reason = Reason.LOST if host.was_killed else Reason.ERROR
            self._fail_oldest(CannotStart(f"a new function host {host.death}", reason=reason))
        self._grow()

    def _fail_oldest(self, failure: CannotStart) -> None:
        if self._waiting:
            self._waiting.popleft().host.set_exception(failure)

    def _release(self, host: Host) -> None:
        """Give a host to the call that waits longest."""
        if host.is_spent:
            return
        if self._waiting:
            self._waiting.popleft().host.set_result(host)
            self._grow()
            return
        loop = asyncio.get_running_loop()
        host.idle_since = loop.time()
        self._idle.append(host)
        if self._tidying is None:
            self._tidying = loop.call_later(self._idle_s, self._tidy)

    def _tidy(self) -> None:
        """End hosts that nobody has needed for a while."""
        loop = asyncio.get_running_loop()
        self._tidying = None
        long_ago = loop.time() - self._idle_s
        for host in [host for host in self._idle if host.idle_since <= long_ago]:
            self._idle.remove(host)
            ending = loop.create_task(host.stop(END_GRACE_S))
            self._ending.add(ending)
            ending.add_done_callback(self._ending.discard)
        if self._idle:
            next_at = self._idle[0].idle_since + self._idle_s
            self._tidying = loop.call_at(next_at, self._tidy)
