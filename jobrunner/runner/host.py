"""One function host, as the worker sees it: a child process that performs calls, one at a time.

Short calls are sent ahead, so that neither side wakes the other for each of them. `tokens` decides
which of them the host has begun; three rules follow from it:

- Whoever is to be stopped is so after all calls behind it were taken back. What the host is in then
  can only be that call, so no other one dies with it.
- Of the calls of a host that has died, those whose token is left go elsewhere; the one without
  token and end was in it, and is lost.
- Output belongs to the call that is in the host. While calls are sent ahead, we do not know for
  sure which one that is; so the pipes are read only at the end of a call that left something there,
  and the host begins the next when we have done so. With one call, output is read as it comes.
"""

import asyncio
import contextlib
import socket
from collections import deque
from collections.abc import Callable, Sequence
from datetime import timedelta

import msgspec

from jobrunner.log import EventLog
from jobrunner.model import JobError, Reason, Usage
from jobrunner.runner.attempt import Ended, Outcome, StopReason
from jobrunner.runner.exits import on_exit
from jobrunner.runner.failures import KILLED, death_of
from jobrunner.runner.hostcall import HostedCall
from jobrunner.runner.hoststart import NO_JOB, HostSettings, start_host
from jobrunner.runner.hostwire import (
    BrokenFrame,
    End,
    FrameReader,
    Go,
    Loaded,
    Progress,
    Ready,
    Reply,
    Withheld,
    decode_reply,
    frame,
)
from jobrunner.runner.tokens import LAST_NUMBER
from jobrunner.runner.waiting import Cause, TimedOut

READ_BYTES = 64 << 10
LOADING_TIMEOUT = timedelta(seconds=60)  # for importing the module, on top of the task's timeout
UNKILLABLE_S = 1.0  # for a process that KILL did not end: it hangs in the kernel
MOST_CALLS = 16  # in a host at once: by then a wake-up costs little beside its calls
AHEAD_S = 0.005  # of work, by the last call's time, that a host is given at once
AROUND_RESULT = 1 << 20  # bytes of a message beside its result, and of an error
HOLD_S = 0.02  # in one call, after which those behind it are taken back


class Host:
    """Started when made. Belongs to the worker's loop."""

    def __init__(
        self,
        name: str,
        settings: HostSettings,
        on_change: Callable[["Host", Sequence[HostedCall]], None],
    ) -> None:
        """`on_change` is called when it is ready, has room or has died, with unbegun calls.

        Raises OSError, and RuntimeError when there is no room for a thread.
        """
        self.name = name
        self.is_ready = False
        self.is_spent = False  # dead, or about to die: no call may be given to it
        self.idle_since = 0.0  # monotonic, once it has been used
        self._settings = settings
        self._on_change = on_change
        self._loop = asyncio.get_running_loop()
        self._calls: deque[HostedCall] = deque()  # the first is in the host, as far as we know
        self._first_since = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self._capacity = 1  # calls at once; grows while they are short and silent
        self._number = 0
        self._loaded_targets: set[str] = set()
        self._frames = FrameReader(settings.most_result + AROUND_RESULT)
        self._outgoing = bytearray()
        if settings.withheld:
            self._outgoing += frame(Withheld(dict(settings.withheld)))
        self._stopping: asyncio.Task[None] | None = None
        self._exit_code: int | None = None
        self._exited: asyncio.Future[None] = self._loop.create_future()
        process = start_host(name, settings)
        self._socket, self._pipes, self._tokens = process.socket, process.pipes, process.tokens
        self._tree = process.tree
        try:
            on_exit(self._loop, process.pid, self._note_exit)
        except (OSError, RuntimeError):
            process.abandon(settings)
            raise
        self._loop.add_reader(self._socket, self._on_readable)
        self._pipes.start(self._loop)

    @property
    def death(self) -> str:
        """How it ended, e.g. `exited with code 1`."""
        return death_of(self._exit_code)

    @property
    def has_died(self) -> bool:
        """Whether it has ended."""
        return self._exit_code is not None

    @property
    def was_killed(self) -> bool:
        """Whether a signal ended it."""
        return self._exit_code is not None and self._exit_code < 0

    @property
    def is_idle(self) -> bool:
        """It waits for a call."""
        return self.is_ready and not self.is_spent and not self._calls

    @property
    def has_calls_ahead(self) -> bool:
        """Calls wait in it, or its output is not read as it comes."""
        return len(self._calls) > 1 or not self._pipes.is_watched

    @property
    def room(self) -> int:
        """How many more calls it can be given now; none until half of them have ended."""
        if not self.is_ready or self.is_spent or len(self._calls) > self._capacity // 2:
            return 0
        return self._capacity - len(self._calls)

    def descriptors(self) -> list[int]:
        """Those of this process by which it has the host."""
        return [self._socket.fileno(), *self._tokens.descriptors(), *self._pipes.descriptors()]

    def has(self, call: HostedCall) -> bool:
        """Whether it was given the call, and has neither ended it nor given it back."""
        return call in self._calls

    def can_take(self, call: HostedCall, before: HostedCall | None = None) -> bool:
        """Whether a call may be given to it behind `before`, or behind what it has.

        The first call of a function imports its module, however long that takes.
        """
        last = before or (self._calls[-1] if self._calls else None)
        if last is None:
            return True
        is_loaded = {call.target, last.target} <= self._loaded_targets
        return is_loaded and not (call.is_alone or last.is_alone)

    def give(self, calls: Sequence[HostedCall]) -> None:
        """Have it perform these, in order, after those it has."""
        was_idle = not self._calls
        if was_idle:
            self._pipes.drain()  # what threads or processes of former calls have printed: of no job
        self._calls.extend(calls)
        self._pipes.watch(len(self._calls) == 1)
        numbers = [self._next_number() for _ in calls]
        self._tokens.give(numbers)
        messages = (call.message(n) for call, n in zip(calls, numbers, strict=True))
        self._outgoing += b"".join(map(frame, messages))
        if was_idle:
            self._begin_first()
        self._flush()

    def take_back(self) -> list[HostedCall]:
        """The calls that it has not begun, in order; they are no more its own."""
        count = self._tokens.take_back()
        taken = [self._calls.pop() for _ in range(count)]
        if taken and not self._calls:
            self._end_first()
        # Whatever was begun before the tokens were gone is known from its end; see `hostchild`.
        while self._read():
            pass
        taken.reverse()
        return taken

    def look_after(self, now: float) -> list[HostedCall]:
        """Do what becomes necessary by time alone: the calls behind one that turns out long."""
        taken = []
        if len(self._calls) > 1 and now - self._first_since > HOLD_S:
            taken = self.take_back()
            self._capacity = 1
        if len(self._calls) <= 1:
            self._pipes.watch(True)
        return taken

    def stop_call(self, call: HostedCall, cause: Cause) -> list[HostedCall]:
        """Stop one of its calls, with the host if the call has begun; returns the unbegun ones."""
        taken = self.take_back()
        if call in taken:
            taken.remove(call)
            call.stop(cause)
        elif not call.is_over and call.cause is None:
            call.cause = cause
            self.is_spent = True
            self._clear_timer()
            self._stopping = self._loop.create_task(self._stop(call, cause))
        return taken

    async def stop(self, grace_s: float) -> None:
        """End the host; between calls it just ends."""
        self.is_spent = True
        if not self._exited.done():
            with contextlib.suppress(OSError):  # it has just died
                self._socket.shutdown(socket.SHUT_RDWR)  # the end it waits for
            await asyncio.wait([self._exited], timeout=grace_s)
        _tell_of(await self._tree.stop(0))

    def kill(self) -> None:
        """End the host and its children at once."""
        self.is_spent = True
        self._tree.kill()

    async def _stop(self, call: HostedCall, cause: Cause) -> None:
        self._pipes.watch(True)
        grace_s = call.attempt.task.kill_grace.total_seconds()
        survivors = await self._tree.stop(0 if cause is StopReason.LEASE_LOST else grace_s)
        _tell_of(survivors, job_id=call.attempt.job_id)
        if not self._exited.done():
            await asyncio.wait([self._exited], timeout=UNKILLABLE_S)
        self._pipes.drain()
        call.stop(cause, self._loop.time() - self._first_since)

    def _next_number(self) -> int:
        self._number = (self._number + 1) & LAST_NUMBER
        return self._number

    def _begin_first(self) -> None:
        call = self._calls[0]
        self._first_since = self._loop.time()
        self._settings.processes.assign(self._tree, call.attempt.job_id)
        self._pipes.switch(call.output)
        timeout = call.attempt.task.timeout
        if timeout is not None:
            loading = timedelta(0) if call.target in self._loaded_targets else LOADING_TIMEOUT
            self._limit(timeout + loading)

    def _limit(self, timeout: timedelta) -> None:
        self._clear_timer()
        self._timer = self._loop.call_later(timeout.total_seconds(), self._on_timeout)

    def _on_timeout(self) -> None:
        self._timer = None
        if self._calls:
            self._on_change(self, self.stop_call(self._calls[0], TimedOut.TIMED_OUT))

    def _clear_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _end_first(self) -> None:
        """The first call is not in it any more; goes on to the next."""
        self._clear_timer()
        if self._calls:
            self._begin_first()
            return
        self._pipes.switch(None)
        self._settings.processes.assign(self._tree, NO_JOB)

    def _flush(self) -> None:
        """Send what is to be sent, now or as soon as the host reads."""
        if not self._outgoing:
            return
        try:
            sent = self._socket.send(self._outgoing)
        except BlockingIOError:
            sent = 0
        except OSError:
            return  # it has just died; `_note_exit` ends its calls
        del self._outgoing[:sent]
        if self._outgoing:
            self._loop.add_writer(self._socket, self._on_writable)

    def _on_writable(self) -> None:
        self._loop.remove_writer(self._socket)
        self._flush()

    def _on_readable(self) -> None:
        data = self._read()
        if data == b"":
            self._loop.remove_reader(self._socket)
        elif data:
            if self._calls:
                self._flush()  # a `Go`; without calls, it goes with the next one
            self._on_change(self, ())

    def _read(self) -> bytes | None:
        """Take what has come; empty at the end, None when nothing is there now."""
        try:
            data = self._socket.recv(READ_BYTES)
        except BlockingIOError:
            return None
        except OSError:
            return b""
        try:
            for body in self._frames.feed(data):
                self._take(decode_reply(body))
        except (BrokenFrame, msgspec.DecodeError) as error:
            EventLog().error("killed a function host: something else wrote to it", error=error)
            self.kill()
            return b""
        return data

    def _take(self, reply: Reply) -> None:
        match reply:
            case Ready():
                self.is_ready = True
            case Loaded():
                self._note_loaded()
            case Progress(value):
                if self._calls:
                    self._calls[0].report(value, self._settings.write_progress)
            case _:
                self._take_end(reply)

    def _note_loaded(self) -> None:
        if not self._calls:
            return
        call = self._calls[0]
        self._loaded_targets.add(call.target)
        if call.attempt.task.timeout is not None and call.cause is None:
            self._limit(call.attempt.task.timeout)

    def _take_end(self, end: End) -> None:
        if not self._calls or self._calls[0].cause is not None:
            return  # it is being stopped: that decides, whatever its `finally` blocks return
        if end.has_output:
            self._pipes.drain()
            self._outgoing += frame(Go())
        call = self._calls.popleft()
        self._learn(end.seconds, is_silent=call.output.is_silent)
        self._end_first()
        call.end(end)

    def _learn(self, seconds: float, *, is_silent: bool) -> None:
        """How many calls it may have at once, from how the last one went."""
        wanted = min(self._capacity * 2, MOST_CALLS)
        self._capacity = wanted if is_silent and seconds * wanted < AHEAD_S else 1

    def _note_exit(self, code: int, _usage: Usage | None) -> None:
        self._tree.note_leader_reaped()
        self.is_spent = True
        unbegun = self.take_back()  # reads the replies that were sent just before, too
        self._exit_code = code
        self._pipes.drain()
        for call in self._calls:
            if call.cause is None:  # else `_stop` ends it
                call.settle(self._lost())
        self._clear_timer()
        if not self._exited.done():
            self._exited.set_result(None)
        self._tree.kill()  # children that it left
        self._settings.processes.remove(self._tree)
        self._close()
        self._on_change(self, unbegun)

    def _lost(self) -> Outcome:
        duration = timedelta(seconds=self._loop.time() - self._first_since)
        error = JobError(type="lost", message=f"its function host {self.death}")
        by_others, why = self._exit_code in KILLED, Reason.LOST
        return Outcome(Ended.FAILED, duration, error=error, reason=why, was_killed=by_others)

    def _close(self) -> None:
        self._loop.remove_reader(self._socket)
        self._loop.remove_writer(self._socket)
        self._socket.close()
        self._tokens.close()
        self._pipes.close()


def _tell_of(survivors: Sequence[int], job_id: str = NO_JOB) -> None:
    if survivors:
        EventLog().error("could not kill processes of a function", job_id=job_id, pids=survivors)
