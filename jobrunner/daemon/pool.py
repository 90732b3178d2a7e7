"""The worker processes: started, watched, replaced and drained.

A worker that dies is rescued at once and another one takes its place, with a growing delay when it
keeps dying. At a reload each worker is asked to retire (finish what it has, claim nothing more) as
soon as its successor runs, so that long jobs are not cut short.
"""

import asyncio
import os
import signal
import sys
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

from msgspec.structs import replace

from jobrunner.clock import Clock
from jobrunner.daemon.guard import Guard
from jobrunner.daemon.rawoutput import RawOutput
from jobrunner.heartbeat import LEASE_LOST_EXIT
from jobrunner.log import EventLog, outlets_of_others
from jobrunner.model import new_job_id
from jobrunner.runner.descriptors import anonymous_file
from jobrunner.runner.leftovers import Ours
from jobrunner.runner.processes import marks
from jobrunner.store.backoff import Backoff
from jobrunner.worker.settings import WorkerSettings, encode_settings

RETIRE_SIGNAL = signal.SIGHUP
STOP_NOW_SIGNAL = signal.SIGINT  # not TERM again: two that arrive together are one
# A worker that lived this long could do its work: its jobs must not wait because it was killed, as
# often as that may happen. No less than the longest delay, which bounds what starts may cost.
STEADY_AFTER_S = 2.0
# Ends that are not a worker's own doing: it was stopped, or killed by us, the platform or a person,
# or an outage of the store cost it its lease.
NO_CRASH = frozenset({0, -signal.SIGTERM, -signal.SIGKILL, LEASE_LOST_EXIT})
GIVE_UP_AFTER_S = 15.0  # past that: longer than a worker needs to give back what is left


@dataclass(slots=True, eq=False)
class _Seat:
    """One of the N workers: the process that has it now."""

    worker: str = ""
    process: asyncio.subprocess.Process | None = None
    raw: RawOutput | None = None
    keeper: asyncio.Task[None] | None = None
    retired: asyncio.Event = field(default_factory=asyncio.Event)


class WorkerPool:
    """Keeps `count` workers running."""

    def __init__(
        self,
        clock: Clock,
        settings_for: Callable[[str], WorkerSettings],
        environ: Mapping[str, str],
        rescue: Callable[[str, bool], Awaitable[None]],
        ours: Ours,
    ) -> None:
        """`rescue` is told the worker, and whether it has crashed by itself."""
        self._clock = clock
        self._settings_for = settings_for
        self._environ = environ
        self._rescue = rescue
        self._seats: list[_Seat] = []
        self._retiring: set[_Seat] = set()
        self._is_stopping = False
        self._owner = ours.owner
        self._guard = Guard(ours)
        self._outlets = outlets_of_others()

    async def start(self, count: int) -> None:
        """Start the workers; they enlist themselves."""
        for _ in range(count):
            await self._occupy()

    async def replace(self, count: int) -> None:
        """Start workers with the settings of now, one by one, and let the old ones retire."""
        old = list(self._seats)
        for number in range(max(count, len(old))):
            if number < count:
                await self._occupy()
            if number < len(old):
                self._retire(old[number])

    async def stop(self, longest: timedelta) -> None:
        """Drain all workers, which may take so long: the drain, then the jobs' `kill_grace`.

        Those that do not end are killed, and their jobs rescued.
        """
        self._is_stopping = True
        await self._end_workers(longest.total_seconds() + GIVE_UP_AFTER_S)
        self._guard.close()

    async def _end_workers(self, patience_s: float) -> None:
        seats = [*self._seats, *self._retiring]
        self._signal(seats, signal.SIGTERM)
        keepers = {seat.keeper for seat in seats if seat.keeper}
        if not keepers:
            return
        _, stuck = await asyncio.wait(keepers, timeout=patience_s)
        if stuck:
            EventLog().error("killed workers that did not stop", workers=len(stuck))
            self._signal(seats, signal.SIGKILL)
            await asyncio.wait(stuck)

    def stop_now(self) -> None:
        """End the drain: a second signal stops the workers' jobs at once."""
        self._signal([*self._seats, *self._retiring], STOP_NOW_SIGNAL)

    def living(self) -> dict[str, int]:
        """Pids of the workers whose end was not seen yet, by id."""
        seats = [*self._seats, *self._retiring]
        return {seat.worker: seat.process.pid for seat in seats if seat.process is not None}

    def kill(self, worker: str) -> None:
        """KILL to one worker; it is rescued and replaced as any that dies."""
        seats = [*self._seats, *self._retiring]
        self._signal([seat for seat in seats if seat.worker == worker], signal.SIGKILL)

    def ensure_guard(self) -> None:
        """Start the guard again when somebody killed it."""
        try:
            self._guard.ensure()
        except OSError as error:
            EventLog().error("could not start the guard; it is tried again", error=error)

    def _signal(self, seats: list[_Seat], number: signal.Signals) -> None:
        for seat in seats:
            if seat.process is not None and seat.process.returncode is None:
                seat.process.send_signal(number)

    def _retire(self, seat: _Seat) -> None:
        seat.retired.set()
        self._seats.remove(seat)
        self._retiring.add(seat)
        self._signal([seat], RETIRE_SIGNAL)

    async def _occupy(self) -> None:
        seat = _Seat()
        await self._try_to_spawn(seat)
        seat.keeper = asyncio.create_task(self._keep(seat))
        self._seats.append(seat)

    async def _keep(self, seat: _Seat) -> None:
        """Wait for the worker's end, rescue its jobs, start the next one."""
        backoff = Backoff()
        while True:
            born_at = self._clock.monotonic()
            await self._wait_for_end(seat)
            if self._clock.monotonic() - born_at > STEADY_AFTER_S:
                backoff.reset()
            if not self._is_over(seat):
                await asyncio.sleep(backoff.next_delay())
            if self._is_over(seat):
                self._retiring.discard(seat)
                return
            await self._try_to_spawn(seat)

    async def _try_to_spawn(self, seat: _Seat) -> None:
        try:
            await self._spawn(seat)
        except OSError as error:  # no memory, too many processes, the folder is gone …
            self._guard.forget(seat.worker)
            EventLog().error("could not start a worker; it is tried again", error=error)

    def _is_over(self, seat: _Seat) -> bool:
        """Whether nobody shall take this seat any more."""
        return self._is_stopping or seat.retired.is_set()

    async def _wait_for_end(self, seat: _Seat) -> None:
        process = seat.process
        if process is None:
            return
        code = await process.wait()
        seat.process = None
        if seat.raw is not None:
            seat.raw.drain()
        if code != 0:
            EventLog().warning("lost a worker", worker=seat.worker, pid=process.pid, exit=code)
        await self._rescue(seat.worker, code not in NO_CRASH)
        self._guard.forget(seat.worker)

    async def _spawn(self, seat: _Seat) -> None:
        seat.worker = new_job_id()
        self._guard.watch(seat.worker)
        raw = RawOutput(self._outlets)
        try:
            await self._start_process(seat, raw)
        except BaseException:
            raw.close()
            raise
        raw.start()
        seat.raw = raw
        if self._is_over(seat) and seat.process is not None:
            # The signal to all workers went out while this one was being started.
            seat.process.terminate()

    async def _start_process(self, seat: _Seat, raw: RawOutput) -> None:
        settings = replace(self._settings_for(seat.worker), raw_output=raw.write_ends)
        # A file and no pipe: uvloop waits for ever for the pipe of a child that is killed at once.
        with anonymous_file() as stdin:
            stdin.write(encode_settings(settings))
            stdin.seek(0)
            # -P: the working folder of the user must not shadow modules that the worker needs.
            seat.process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-P",
                "-m",
                "jobrunner.worker",
                stdin=stdin,
                cwd=settings.folder,
                start_new_session=True,  # a Ctrl-C in the terminal is for the supervisor
                env={**self._environ, **marks(seat.worker, self._owner)},
                pass_fds=raw.write_ends,
            )


def worker_environ(environ: Mapping[str, str], manifest: Path) -> dict[str, str]:
    """The daemon's environment for its workers.

    It names the manifest, so that functions which submit jobs find the same store.
    """
    return {**environ, "PYTHONUNBUFFERED": "1", "JOBRUNNER_FILE": str(manifest)}


def auto_processes() -> int:
    """As `processes: auto` says: one per processor, at most 4."""
    return max(1, min(os.cpu_count() or 1, 4))
