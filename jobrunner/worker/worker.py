"""A worker process: claims jobs, performs them, writes their ends.

On TERM it drains: it claims nothing more, waits for its attempts, then stops what is left and
gives it back uncounted; INT ends the wait. On HUP it retires: it claims nothing more and
goes when its attempts have ended, however long that takes. On a lost lease it stops everything at
once, writes what had ended before, and goes; the supervisor starts another.
"""

import asyncio
import gc
import os
import signal
import socket
from collections.abc import Coroutine, Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import Any

from jobrunner.clock import SystemClock
from jobrunner.heartbeat import LEASE_LOST_EXIT, Heartbeat, HeartbeatEvents
from jobrunner.log import EventLog
from jobrunner.manifest.spec import Manifest
from jobrunner.runner.attempt import StopReason
from jobrunner.runner.capture import install_capture
from jobrunner.runner.cgroups.groups import WorkerGroups
from jobrunner.runner.forks import STRAY, tell_ignored
from jobrunner.runner.here import enter_anew
from jobrunner.runner.openfiles import OpenFiles, files_for, limit, raise_limit
from jobrunner.runner.processes import ProcessRegistry
from jobrunner.runner.proctable import pid_space
from jobrunner.runner.withheld import withhold
from jobrunner.store.attempts import Entry, ensure_groups, requeue
from jobrunner.store.connection import AsyncStoreConnection, StoreConnection
from jobrunner.store.keys import Keys
from jobrunner.store.leases import RENEW_EVERY, WorkerEntry, enlist, resign
from jobrunner.store.parking import wake_parked
from jobrunner.store.rescue import Place, find_claimed_by
from jobrunner.store.scripts import load_scripts
from jobrunner.worker.control import obey
from jobrunner.worker.functions import load_functions
from jobrunner.worker.outage import until_done
from jobrunner.worker.performer import Left, Performer
from jobrunner.worker.plans import build_plans
from jobrunner.worker.reader import Reader
from jobrunner.worker.runners import Runners
from jobrunner.worker.settings import WorkerSettings

LOOK_FOR_FOLDER_S = 2.0
# After the drain, what is left has its kill_grace; this bounds the writing after it.
GIVE_BACK_S = 10.0
# Objects made and not yet dropped before the collector of cycles looks at them. By default it looks
# at 700: at what each batch of jobs is made of, and drops by itself a moment later.
COLLECT_AFTER = 10_000


@dataclass(frozen=True, slots=True)
class _Connections:
    """One per purpose: a blocking read must not hold up a finish."""

    reading: AsyncStoreConnection
    writing: AsyncStoreConnection
    control: AsyncStoreConnection
    logs: AsyncStoreConnection

    def descriptors(self) -> list[int]:
        connections = (self.reading, self.control, self.writing, self.logs)
        return [found for connection in connections for found in connection.descriptors()]

    async def close(self) -> None:
        for connection in (self.reading, self.control, self.writing, self.logs):
            await connection.close()


class Worker:
    """Puts the parts of a worker together, in the order of their needs."""

    def __init__(self, settings: WorkerSettings) -> None:
        self._settings = settings
        self._id = settings.worker
        self._keys = Keys(settings.namespace)
        self._clock = SystemClock()
        self._loop = asyncio.get_running_loop()
        self._stopping = asyncio.Event()  # no more claims
        self._draining = asyncio.Event()  # the drain's time runs
        self._stopping_now = asyncio.Event()
        self._is_lease_lost = False
        self._lease_ttl = timedelta(seconds=settings.lease_ttl_s)
        address = settings.address
        groups = _enter_groups(settings)
        self._processes = ProcessRegistry(settings.worker, settings.reaper, address.mark, groups)
        self._connections = _Connections(*(AsyncStoreConnection(address) for _ in range(4)))
        self._manifest = Manifest.model_validate(settings.manifest)
        raise_limit(files_for(settings.slots))
        self._open_files = OpenFiles(settings.open_files or limit())
        withhold(self._manifest.withheld_variables())  # before any of the user's modules is loaded
        self._heartbeat = self._make_heartbeat()
        self._runners = self._make_runners()
        self._performer = self._make_performer()
        self._reader = self._make_reader()

    def _make_heartbeat(self) -> Heartbeat:
        return Heartbeat(
            self._keys,
            StoreConnection(self._settings.address),
            self._clock,
            self._id,
            self._processes,
            HeartbeatEvents(self._on_lease_lost, self._on_lock_lost, self._on_cancel),
            self._lease_ttl,
        )

    def _make_runners(self) -> Runners:
        return Runners(
            self._manifest,
            self._keys,
            self._connections.logs,
            self._clock,
            self._processes,
            self._settings.slots,
            self._open_files,
        )

    def _make_performer(self) -> Performer:
        return Performer(
            self._keys,
            self._connections.writing,
            build_plans(self._manifest, self._clock),
            self._clock,
            self._id,
            self._runners,
            self._heartbeat,
            self._on_free,
            self._manifest.bounds.arguments,
        )

    def _make_reader(self) -> Reader:
        return Reader(
            self._keys,
            self._connections.reading,
            self._id,
            self._settings.queues,
            self._settings.slots,
            self._begin,
            block=self._lease_ttl * RENEW_EVERY,
            wait_for_room=self._performer.finisher.wait_for_room,
        )

    def descriptors(self) -> list[int]:
        """Those by which this process is known to the store, and has commands and hosts."""
        return [
            *self._connections.descriptors(),
            *self._heartbeat.descriptors(),
            *self._runners.descriptors(),
        ]

    async def run(self) -> int:
        """Work until stopped; returns the process's exit code."""
        self._listen_to_signals()
        load_scripts()
        install_capture(self._loop)
        await self._runners.take_up(load_functions(self._manifest))
        await self._enlist()
        _collect_rarely()
        self._heartbeat.start()
        background = self._start_background()
        writing_logs = asyncio.create_task(self._runners.write_logs())
        reading = asyncio.create_task(self._reader.run())
        background.append(asyncio.create_task(self._wake_parked()))
        background.append(asyncio.create_task(self._stay_in_folder()))
        stopping = asyncio.create_task(self._stopping.wait())
        await asyncio.wait({reading, stopping}, return_when=asyncio.FIRST_COMPLETED)
        if reading.done() and not self._stopping.is_set():
            self._note_end_of_reading(reading)
        reading.cancel()
        await asyncio.gather(reading, return_exceptions=True)
        giving_back: list[asyncio.Task[None]] = []
        if not self._is_lease_lost:
            # At once: what runs may go on for hours, and others are free.
            giving_back.append(asyncio.create_task(self._reader.give_back_unbegun()))
        await self._drain()
        # What this has not come to is done below; it uses a connection that is closed before.
        await _cancelled(giving_back)
        await self._leave(background, writing_logs)
        return LEASE_LOST_EXIT if self._is_lease_lost else 0

    def _note_end_of_reading(self, reading: asyncio.Task[None]) -> None:
        error = reading.exception()
        if error is not None:
            EventLog().error("stopped claiming", worker=self._id, error=repr(error))
        self._is_lease_lost = True

    def _start_background(self) -> list[asyncio.Task[None]]:
        control = self._connections.control
        loops: list[Coroutine[Any, Any, None]] = [
            self._performer.finisher.run(),
            self._performer.starter.run(),
            obey(self._keys, control, self._id, self._cancel),
        ]
        tasks = [asyncio.create_task(loop) for loop in loops]
        for task in tasks:
            task.add_done_callback(self._on_end_of_loop)
        return tasks

    def _on_end_of_loop(self, loop: asyncio.Task[None]) -> None:
        """None of them ends by itself: it is a bug. Its jobs are rescued by others."""
        if not loop.cancelled():
            EventLog().error("failed in a loop", worker=self._id, error=repr(loop.exception()))
            self._stop_for_lost_lease()

    def _listen_to_signals(self) -> None:
        self._loop.add_signal_handler(signal.SIGTERM, self._begin_drain)
        self._loop.add_signal_handler(signal.SIGINT, self._stop_now)
        self._loop.add_signal_handler(signal.SIGHUP, self._stopping.set)
        for number in (*STRAY, signal.SIGQUIT):
            self._loop.add_signal_handler(number, tell_ignored, number)

    def _begin_drain(self) -> None:
        self._stopping.set()
        self._draining.set()
        self._performer.note_stopping()

    def _stop_now(self) -> None:
        self._begin_drain()
        self._stopping_now.set()

    async def _enlist(self) -> None:
        settings = self._settings
        entry = WorkerEntry(
            id=self._id,
            host=socket.gethostname(),
            pid=os.getpid(),
            started_at=self._clock.now(),
            pid_space=pid_space(),
            slots=settings.slots,
            queues=settings.queues,
            daemon=settings.daemon,
        )
        writing = self._connections.writing
        await until_done(writing, lambda: ensure_groups(self._keys, settings.queues), "make queues")
        await until_done(writing, lambda: enlist(self._keys, entry, self._lease_ttl), "enlist")
        EventLog().info("started worker", worker=self._id, pid=entry.pid, slots=entry.slots)

    async def _wake_parked(self) -> None:
        """Jobs that waited for a worker that knows their task; once this one reads."""
        wake = partial(wake_parked, self._keys, self._manifest.tasks)
        woken = await until_done(self._connections.writing, wake, "wake parked jobs")
        if woken:
            EventLog().info("woke jobs that other workers do not know", jobs=woken)

    async def _stay_in_folder(self) -> None:
        """A deploy may delete the manifest's folder, where functions run, and make it anew."""
        while True:
            if enter_anew(self._settings.folder):
                EventLog().info("entered the manifest's folder anew", worker=self._id)
            await asyncio.sleep(LOOK_FOR_FOLDER_S)

    def _begin(self, entry: Entry) -> None:
        self._performer.begin(entry)
        self._heartbeat.note_busy(self._performer.busy)

    def _on_free(self, left: Left, why: str) -> None:
        self._heartbeat.note_busy(self._performer.busy)
        if left is Left.FOR_OTHERS:
            self._reader.hold_back()
        elif left is Left.NO_ROOM and (pause := self._reader.hold_off()):
            EventLog().warning(
                "could not start jobs; they wait in their queues, and nothing is claimed",
                worker=self._id,
                why=why,
                for_s=f"{pause:.1f}",
            )
        self._reader.give_slot(has_ended=left is Left.ENDED)

    def _cancel(self, job_id: str) -> None:
        self._performer.stop_job(job_id, StopReason.CANCEL)

    # Called by the heartbeat, in its thread.

    def _on_cancel(self, job_ids: list[str]) -> None:
        for job_id in job_ids:
            self._loop.call_soon_threadsafe(self._cancel, job_id)

    def _on_lock_lost(self, job_id: str) -> None:
        self._loop.call_soon_threadsafe(self._performer.stop_job, job_id, StopReason.LEASE_LOST)

    def _on_lease_lost(self) -> None:
        self._loop.call_soon_threadsafe(self._stop_for_lost_lease)

    def _stop_for_lost_lease(self) -> None:
        self._is_lease_lost = True
        self._performer.stop_all(StopReason.LEASE_LOST)
        self._stop_now()

    async def _drain(self) -> None:
        """Let attempts end, for as long as the drain lasts; then stop what is left."""
        EventLog().info("stopped claiming", worker=self._id)
        idle = asyncio.create_task(self._performer.wait_idle())
        draining = asyncio.create_task(self._draining.wait())
        now = asyncio.create_task(self._stopping_now.wait())
        await asyncio.wait({idle, draining}, return_when=asyncio.FIRST_COMPLETED)
        if not idle.done():
            await asyncio.wait(
                {idle, now},
                timeout=self._settings.drain_s,
                return_when=asyncio.FIRST_COMPLETED,
            )
            reason = StopReason.LEASE_LOST if self._is_lease_lost else StopReason.SHUTDOWN
            self._performer.stop_all(reason)
        await idle
        draining.cancel()
        now.cancel()

    async def _leave(
        self, background: list[asyncio.Task[None]], writing_logs: asyncio.Task[None]
    ) -> None:
        """Write what is left to write, then go. What cannot be written is rescued later."""
        try:
            async with asyncio.timeout(GIVE_BACK_S):
                await self._runners.close()
                await writing_logs
                await self._performer.finisher.wait_idle()
                # Closed first: the server must not hand out another job to a waiting read.
                await self._connections.reading.close()
                if not self._is_lease_lost:
                    await self._give_back_unbegun()
                    await until_done(
                        self._connections.writing, lambda: resign(self._keys, self._id), "resign"
                    )
        except TimeoutError:
            EventLog().error("left without writing everything", worker=self._id)
        self._heartbeat.stop()
        await _cancelled([*background, writing_logs])
        await self._connections.close()
        EventLog().info("stopped worker", worker=self._id)

    async def _give_back_unbegun(self) -> None:
        """Jobs that were handed out and not begun, of which the reader does not know, either."""
        writing = self._connections.writing
        seen: dict[Place, str] = {}
        find = partial(find_claimed_by, self._keys, self._id, self._settings.queues, seen)
        while found := await until_done(writing, find, "look for jobs that were not begun"):
            seen |= {(item.queue, item.priority): item.entry_id for item in found}
            entries = [item for item in found if isinstance(item, Entry)]
            give_back = partial(requeue, self._keys, entries, is_lost=False)
            await until_done(writing, give_back, "give jobs back")


async def _cancelled(tasks: Sequence[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


def _enter_groups(settings: WorkerSettings) -> WorkerGroups | None:
    """The worker's control groups, where there can be any."""
    if not settings.cgroups.hierarchies:
        return None
    try:
        return WorkerGroups(settings.cgroups, settings.worker)
    except OSError as error:
        EventLog().error(
            "could not enter a control group; limits hold for each process by itself",
            worker=settings.worker,
            error=error,
        )
        return None


def _collect_rarely() -> None:
    """Spare the collector of cycles all that lives as long as this process.

    Without a last collection: it would take longer than a first job, for some hundred objects.
    """
    gc.freeze()
    gc.set_threshold(COLLECT_AFTER)
