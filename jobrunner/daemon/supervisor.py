"""The daemon: starts everything in the order of its needs, keeps it running, stops it in reverse.

start   plan → state folder's lock → server → checks → rescue of what a killed daemon left →
        publish → workers → loops → READY
reload  plan → workers replaced one by one → publish → scheduler, rescuer, pruner; a plan that
        cannot be made changes nothing
stop    loops → workers drained → upkeep → embedded server
The supervisor runs no job and imports no user code.
"""

import asyncio
import os
import signal
import socket
from collections.abc import Coroutine, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

from jobrunner import __version__
from jobrunner.clock import Clock
from jobrunner.daemon.children import Reaper, is_known_dead
from jobrunner.daemon.plan import Plan, make_plan_aside, published, raise_if_moved
from jobrunner.daemon.pool import WorkerPool, auto_processes, worker_environ
from jobrunner.daemon.pruner import Pruner
from jobrunner.daemon.roomwatch import RoomWatch
from jobrunner.daemon.serverwatch import ServerWatch
from jobrunner.daemon.stopping import note_stop
from jobrunner.daemon.vouching import Voucher
from jobrunner.daemon.workload import Employer, settings_for, warn_of_fewer_slots
from jobrunner.errors import ManifestError, StoreUnavailable
from jobrunner.firing import ScheduledCron
from jobrunner.log import EventLog
from jobrunner.manifest.trust import Guard
from jobrunner.model import new_job_id
from jobrunner.notify import Notifier
from jobrunner.rescuer import Rescuer
from jobrunner.runner.cgroups.discovery import Cgroups
from jobrunner.runner.forks import STRAY, tell_ignored
from jobrunner.runner.leftovers import Ours
from jobrunner.runner.prctl import become_subreaper
from jobrunner.runner.proctable import boot_id
from jobrunner.scheduler import Scheduler
from jobrunner.store.address import StoreAddress
from jobrunner.store.attempts import ensure_groups
from jobrunner.store.backoff import Backoff
from jobrunner.store.connection import AsyncStoreConnection
from jobrunner.store.damage import passing_over
from jobrunner.store.keys import Keys
from jobrunner.store.leases import (
    LEASE_TTL,
    RENEW_EVERY,
    DaemonEntry,
    announce,
    read_workers,
    withdraw,
)
from jobrunner.store.lookup import count_live
from jobrunner.store.parking import BELIEVED_FOR, know
from jobrunner.store.published import is_published, publish
from jobrunner.store.scripts import load_scripts
from jobrunner.store.subscription import on_each_message
from jobrunner.worker.settings import WorkerSettings

ONCE_TICK_S = 0.1  # how often `run --once` looks whether everything is done
SAY_EVERY_S = BELIEVED_FOR.total_seconds() / 4
RELOAD_WITHIN_S = 120.0  # reading and importing; a module has 30 s
REAP_EVERY_S = 1.0  # a dead orphan holds its pid until then, and each command may leave some


@dataclass(frozen=True, slots=True)
class DaemonSettings:
    """How the daemon was called."""

    manifest: Path
    is_once: bool = False  # drain the queues and exit
    log_level: str = "info"
    lease_ttl: timedelta = LEASE_TTL  # of workers: how long another host waits before a rescue
    upgrade_server: bool = False  # replace an older embedded server that was left running
    guard: Guard = Guard.NONE  # who may write what the manifest is made of
    open_files: int = 0  # the soft limit that jobs get; 0: the one of their worker
    cgroups: Cgroups = field(default_factory=Cgroups)  # which this machine lets it make


class Supervisor:
    """One daemon, from its start to its stop."""

    def __init__(
        self,
        settings: DaemonSettings,
        plan: Plan,
        address: StoreAddress,
        watch: ServerWatch | None,
        notifier: Notifier,
        clock: Clock,
    ) -> None:
        self._settings = settings
        self._plan = plan
        self._address = address
        self._server_watch = watch
        self._notifier = notifier
        self._clock = clock
        self._id = new_job_id()
        self._keys = Keys(address.name)
        self._started_at = clock.now()
        self._generation = 1
        self._refused = 0
        self._phase = "starting"
        self._stop_signals = 0
        self._stopping = asyncio.Event()
        self._wake_scheduler = asyncio.Event()
        self._must_reload = False
        self._reloading: asyncio.Task[None] | None = None
        self._employer = Employer(
            self._id,
            address,
            settings.lease_ttl,
            settings.log_level,
            settings.cgroups,
            settings.open_files,
        )
        self._connections: list[AsyncStoreConnection] = []
        self._control = self._connect()
        self._scheduler = Scheduler(self._keys, self._connect(), clock, self._wake_scheduler)
        ours = Ours(address.mark, settings.cgroups)
        self._rescuer = Rescuer(self._keys, self._connect(), clock, settings.lease_ttl, ours=ours)
        self._pruner = Pruner(self._keys, self._connect(), clock)
        environ = worker_environ(os.environ, settings.manifest)
        self._pool = WorkerPool(clock, self._worker_settings, environ, self._rescue, ours)
        self._voucher = Voucher(
            self._keys,
            self._connect(),
            clock,
            self._pool.living,
            self._pool.kill,
            settings.lease_ttl,
        )

    async def run(self) -> None:
        """Start, serve until a signal, stop. Raises StoreUnavailable when it cannot start."""
        self._listen_to_signals()
        become_subreaper()
        load_scripts()
        await self._take_up()
        await self._rescue_leftovers()
        await self._pool.start(self._process_count())
        await self._scheduler.fire_at_boot(self._crons(), boot_id())
        upkeep = [asyncio.create_task(loop) for loop in self._upkeep()]
        loops = [asyncio.create_task(loop) for loop in self._loops()]
        self._phase = "running"
        await self._announce()
        self._notifier.ready(self._status())
        EventLog().info("started", daemon=self._id, pid=os.getpid(), store=self._address)
        failed = await self._serve([*loops, *upkeep])
        await self._stop(loops, upkeep)
        for loop in failed:
            loop.result()

    async def _serve(self, loops: list[asyncio.Task[None]]) -> list[asyncio.Task[None]]:
        """Until a stop signal. A loop that ends by itself is a bug, and ends the daemon."""
        stopping = asyncio.create_task(self._stopping.wait())
        await asyncio.wait({stopping, *loops}, return_when=asyncio.FIRST_COMPLETED)
        failed = [] if self._stopping.is_set() else [loop for loop in loops if loop.done()]
        for loop in failed:
            EventLog().error("failed in a loop of the daemon", error=repr(loop.exception()))
        self._stopping.set()
        return failed

    async def _stop(
        self, loops: list[asyncio.Task[None]], upkeep: list[asyncio.Task[None]]
    ) -> None:
        self._phase = "draining"
        self._notifier.stopping("waiting for running jobs")
        EventLog().info("stopping", daemon=self._id, drain=self._plan.manifest.workers.drain)
        await _end([*loops, self._reloading] if self._reloading else loops)
        await self._pool.stop(self._plan.manifest.longest_stop())
        await _end(upkeep)
        try:
            await self._control.run(withdraw(self._keys, self._id))
        except StoreUnavailable as error:
            EventLog().warning("could not withdraw", error=error)
        for connection in self._connections:
            await connection.close()
        EventLog().info("stopped", daemon=self._id)

    def _loops(self) -> list[Coroutine[Any, Any, None]]:
        loops = [
            self._rescuer.run(self._stopping),
            self._pruner.run(self._stopping),
            self._scheduler.run(self._stopping),
            # A job has arrived that is due before all others.
            on_each_message(self._address, self._keys.wake_channel(), self._wake_scheduler.set),
        ]
        if self._settings.is_once:
            loops.append(self._stop_when_done())
        return loops

    def _upkeep(self) -> list[Coroutine[Any, Any, None]]:
        """What goes on during the drain: jobs that end then need a server for their results."""
        loops = [self._beat(), self._reap(), self._feed_watchdog(), self._voucher.run()]
        loops.append(note_stop(self._keys, self._connect(), self._stopping, self._pool.living))
        loops.append(RoomWatch(self._keys, self._control).run())
        if self._server_watch is not None:
            loops.append(self._server_watch.run())
        return loops

    def _connect(self) -> AsyncStoreConnection:
        connection = AsyncStoreConnection(self._address)
        self._connections.append(connection)
        return connection

    def _queues(self) -> list[str]:
        return self._plan.manifest.queue_names()

    def _crons(self) -> list[ScheduledCron]:
        # `--once` works off what waits; it makes no new jobs.
        return [] if self._settings.is_once else self._plan.crons

    def _process_count(self) -> int:
        processes = self._plan.manifest.workers.processes
        return auto_processes() if processes == "auto" else int(processes)

    def _worker_settings(self, worker: str) -> WorkerSettings:
        return settings_for(worker, self._plan.manifest, self._employer)

    # Taking up a plan, at the start and at a reload.

    async def _take_up(self) -> None:
        plan = self._plan
        warn_of_fewer_slots(plan.manifest)
        await self._control.run(ensure_groups(self._keys, self._queues()))
        await self._say_what_it_knows()  # before anyone can submit to a new task
        await self._control.run(publish(self._keys, published(plan)))
        max_lost = {name: task.max_lost for name, task in plan.manifest.tasks.items()}
        self._rescuer.take_up(max_lost)
        self._voucher.take_up(plan.manifest)
        self._pruner.take_up(plan.manifest.retention)
        await self._scheduler.take_up(self._crons())

    async def _reload_while_asked(self) -> None:
        """Once more for requests during a reload: the file may have changed since it was read."""
        while self._must_reload:
            self._must_reload = False
            await self._reload()

    async def _reload(self) -> None:
        self._notifier.reloading("reading the manifest")
        try:
            plan = await make_plan_aside(
                self._settings.manifest, os.environ, self._settings.guard, RELOAD_WITHIN_S
            )
            raise_if_moved(self._plan.manifest, plan.manifest)
        except ManifestError as error:
            for problem in error.problems:
                EventLog().error("refused the manifest", where=problem.where, what=problem.what)
            self._notifier.ready("the changed manifest was refused; the old one is in force")
            self._refused += 1  # the next beat tells, should the store be away
            with suppress(StoreUnavailable):
                await self._announce()
            return
        self._plan = plan
        # Workers first: one that has the old manifest would fail the jobs of a new task.
        await self._pool.replace(self._process_count())
        await self._finish_reload()
        self._notifier.ready(self._status())
        EventLog().info("reloaded", generation=self._generation)

    async def _finish_reload(self) -> None:
        """Half a reload is worse than a late one: an outage of the store is waited out."""
        self._generation += 1
        backoff = Backoff()
        while True:
            try:
                await self._take_up()
                return await self._announce()
            except StoreUnavailable as error:
                EventLog().warning("could not publish the manifest", error=error)
                await asyncio.sleep(backoff.next_delay())

    async def _rescue_leftovers(self) -> None:
        """Of workers on this host that died with a killed daemon; their leases still last."""
        for worker in await self._control.run(read_workers(self._keys)):
            if is_known_dead(worker):
                with passing_over("rescue jobs of dead workers"):
                    await self._rescuer.rescue(worker.id)

    async def _rescue(self, worker: str, has_crashed: bool) -> None:
        try:
            ends = self._voucher.ends_of(worker)
            with passing_over("rescue jobs of dead workers"):
                await self._rescuer.rescue(worker, ends, has_crashed=has_crashed)
        except StoreUnavailable as error:
            EventLog().warning("could not rescue a worker; its lease will end", error=error)

    def _listen_to_signals(self) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT):  # QUIT: of some containers
            loop.add_signal_handler(number, self._on_stop_signal)
        loop.add_signal_handler(signal.SIGHUP, self._on_reload_signal)
        for number in STRAY:
            loop.add_signal_handler(number, partial(tell_ignored, number))

    def _on_stop_signal(self) -> None:
        self._stop_signals += 1
        self._stopping.set()
        if self._stop_signals > 1:
            EventLog().warning("stopping at once")
            self._pool.stop_now()

    def _on_reload_signal(self) -> None:
        if self._stopping.is_set():
            return
        self._must_reload = True
        if self._reloading is None or self._reloading.done():
            self._reloading = asyncio.create_task(self._reload_while_asked())
            self._reloading.add_done_callback(_log_failure)

    # Loops of the daemon itself.

    async def _beat(self) -> None:
        """Keep the daemon present in `status`, and its tasks known."""
        say_at = self._clock.monotonic() + SAY_EVERY_S
        while True:
            try:
                with passing_over("tell that it is there"):
                    await self._announce()
                with passing_over("publish its tasks"):
                    # Who submits would be told that no daemon has run.
                    if not await self._control.run(is_published(self._keys)):
                        await self._control.run(publish(self._keys, published(self._plan)))
                with passing_over("tell what its workers know"):
                    if self._clock.monotonic() >= say_at:
                        say_at = self._clock.monotonic() + SAY_EVERY_S
                        await self._say_what_it_knows()
            except StoreUnavailable as error:
                EventLog().debug("could not announce", error=error)
            await asyncio.sleep((LEASE_TTL * RENEW_EVERY).total_seconds())

    async def _reap(self) -> None:
        """Reap what it adopted as subreaper, and look after the guard; also in an outage."""
        reaper = Reaper()
        while True:
            reaper.reap(self._pool.living().values())
            self._pool.ensure_guard()
            await asyncio.sleep(REAP_EVERY_S)

    async def _announce(self) -> None:
        entry = DaemonEntry(
            id=self._id,
            host=socket.gethostname(),
            pid=os.getpid(),
            version=__version__,
            manifest=str(self._settings.manifest),
            started_at=self._started_at,
            generation=self._generation,
            state=self._phase,
            refused=self._refused,
        )
        await self._control.run(announce(self._keys, entry))

    async def _say_what_it_knows(self) -> None:
        """For workers of other daemons, which may have another manifest."""
        await self._control.run(know(self._keys, self._id, self._plan.manifest.tasks))

    async def _feed_watchdog(self) -> None:
        every = self._notifier.watchdog_every
        while every is not None:
            self._notifier.watchdog()
            if not self._stopping.is_set():
                self._notifier.status(self._status())
            await asyncio.sleep(every.total_seconds())
        await self._stopping.wait()

    def _status(self) -> str:
        manifest = self._plan.manifest
        return (
            f"{len(self._pool.living())} workers, {len(manifest.tasks)} tasks, "
            f"{len(manifest.crons)} crons"
        )

    async def _stop_when_done(self) -> None:
        while not await self._is_done():
            await asyncio.sleep(ONCE_TICK_S)
        self._stopping.set()

    async def _is_done(self) -> bool:
        try:
            return not await self._control.run(count_live(self._keys))
        except StoreUnavailable:
            return False


async def _end(loops: Sequence[asyncio.Task[None]]) -> None:
    for loop in loops:
        loop.cancel()
    await asyncio.gather(*loops, return_exceptions=True)


def _log_failure(reloading: asyncio.Task[None]) -> None:
    if not reloading.cancelled() and reloading.exception() is not None:
        EventLog().error("failed to reload", error=repr(reloading.exception()))
