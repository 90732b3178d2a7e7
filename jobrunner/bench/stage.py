"""Where one run plays: a store and a daemon, made for it and removed after it.

The worker is halted while jobs are submitted. So they are performed from a full queue, and between
the first and the last end on record there is no start of a process.
"""

import signal
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import psutil

from jobrunner.bench.delivery import check_delivery
from jobrunner.bench.distance import Distance
from jobrunner.bench.figures import rate_between
from jobrunner.chaos.arena import Arena, Setting
from jobrunner.chaos.site import Site, until
from jobrunner.chaos.tasks import Declaration, Kind
from jobrunner.client.sync import Client
from jobrunner.errors import StoreUnavailable
from jobrunner.model import JobState, new_job_id
from jobrunner.store.address import StoreAddress
from jobrunner.store.checks import info_fields, processor_s
from jobrunner.store.connection import StoreConnection
from jobrunner.store.requests import Command

LEASE_S = 600.0  # a worker that was halted for a long submit shall not be taken for dead
START_S = 60.0  # until the workers have their leases
PATIENCE_S = 1800.0  # of a run: only a hang takes longer than that for a million jobs
PAGE = 10_000  # members of an index read per round trip
PORTION = 5_000  # jobs given to the client at once: a million handles need much memory

WORK = "jobrunner.bench.work"
NOOP = "noop"
HOSTED = "hosted"
COMMAND = "true"
TASKS = {
    NOOP: Kind({"python": f"{WORK}:noop"}),
    HOSTED: Kind({"python": f"{WORK}:hosted_noop"}),
    COMMAND: Kind({"command": ["true"]}),
}


@dataclass(frozen=True, slots=True)
class Usage:
    """Processor time so far, seconds."""

    worker: float  # of all, and of what they have started
    server: float

    def since(self, earlier: "Usage") -> "Usage":
        return Usage(self.worker - earlier.worker, self.server - earlier.server)


@dataclass(frozen=True, slots=True)
class Performance:
    """A full queue that was worked off."""

    ends_ms: Sequence[float]  # of all jobs, by the store's clock, in order
    usage: Usage
    submitting_s: float  # that it took to fill the queue

    @property
    def rate(self) -> float:
        """Jobs per second."""
        return rate_between(self.ends_ms)

    @property
    def rate_with_submits(self) -> float:
        """Jobs per second that are submitted and performed by the same processors and store."""
        return 1 / (1 / self.rate + self.submitting_s / len(self.ends_ms))


class Stage:
    """A daemon and its store; see the module. `slots` are those of each worker.

    `further_s`: the daemon, not the client, reaches the store through a `Distance`, so many
    seconds away each way. `is_embedded`: the daemon looks after the server, as it does for most
    users. Both only for a store of the run's own.

    Raises StoreUnavailable for a `url` that cannot be reached.
    """

    def __init__(
        self,
        url: str | None,
        tasks: Mapping[str, Kind] | None = None,
        *,
        crons: Mapping[str, Mapping[str, Any]] | None = None,
        processes: int = 1,
        slots: int = 64,
        further_s: float | None = None,
        is_embedded: bool = False,
        lease_s: float = LEASE_S,
    ) -> None:
        declaration = Declaration(tasks or TASKS, crons or {}, processes, slots)
        address = _namespace(url) if url else None
        setting = Setting(declaration, lease_s=lease_s, is_embedded=is_embedded, habits=None)
        self._cleanup = ExitStack()
        self._arena = self._cleanup.enter_context(Arena(setting, 0, 0, address))
        own = self._arena.address
        if further_s is not None:
            self._arena.url = self._arena.keep(Distance(own, further_s)).url
        self.client = self._cleanup.enter_context(Client(own.name, own.url, socket=own.socket))
        self.keys = self._arena.keys
        self.run = self._arena.run
        self.execute = self._arena.execute
        self._submitted: list[str] = []
        self._is_counted = True

    def __enter__(self) -> Self:
        """With the daemon ready, its workers waiting for jobs. Raises Stuck."""
        with ExitStack() as undo:
            undo.push(self._cleanup)
            self._arena.start()
            self.wait_for_workers()
            undo.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._cleanup.close()

    @property
    def site(self) -> Site:
        return self._arena.site

    @property
    def folder(self) -> Path:
        """For files of the run."""
        return self._arena.folder

    def cli(self, *args: str) -> list[str]:
        """The words of a command line of jobrunner, for this store."""
        return [sys.executable, "-m", "jobrunner", *args, "--file", str(self.site.manifest)]

    @contextmanager
    def server_alone(self) -> Iterator[None]:
        """An embedded server, without its daemon; one of other kinds goes on all the time."""
        server = self._arena.server if self._arena.setting.is_embedded else None
        if server is not None:
            server.ensure()
        yield
        if server is not None:
            server.stop()

    def wait_for_workers(self) -> None:
        """Until each has its lease. Raises Stuck."""
        count = self._arena.setting.declaration.processes
        until(lambda: self.size(self.keys.workers()) == count, START_S, "the workers are ready")

    def size(self, key: str) -> int:
        """Members of an index of the store."""
        reply: Any = self.execute("ZCARD", key)
        return int(reply)

    def submit(self, task: str, count: int, delay: float | None = None) -> list[str]:
        """Submit jobs in bulk, due after `delay` seconds; their ids."""
        ids: list[str] = []
        while len(ids) < count:
            some: list[dict[str, str]] = [{}] * min(PORTION, count - len(ids))
            ids += [job.id for job in self.client.submit_many(task, some, delay=delay)]
        self.note(ids, is_counted=task != COMMAND)
        return ids

    def note(self, job_ids: Sequence[str], *, is_counted: bool = True) -> None:
        """Jobs that a part has submitted by itself, for `check`; commands are not counted."""
        self._submitted += job_ids
        self._is_counted &= is_counted

    def halt(self) -> None:
        """Stop the workers' processes, not their leases."""
        for worker in self.site.workers():
            worker.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        for worker in self.site.workers():
            worker.send_signal(signal.SIGCONT)

    def warm_up(self, task: str, count: int) -> None:
        """Have some jobs performed: modules are loaded then, and function hosts started."""
        self.submit(task, count)
        self.wait_for_ends()

    def kill(self, pid: int) -> None:
        """KILL one of the workers."""
        next(worker for worker in self.site.workers() if worker.pid == pid).kill()

    def perform(self, task: str, count: int) -> Performance:
        """Fill the queue with so many jobs, then have them performed.

        Raises NotDelivered, Stuck.
        """
        earlier = len(self._submitted)
        self.halt()
        begun = time.perf_counter()
        self.submit(task, count)
        submitting_s = time.perf_counter() - begun
        usage = self.usage()
        self.resume()
        self.wait_for_ends()
        used = self.usage().since(usage)
        self.check()
        return Performance(self.ends_ms()[earlier:], used, submitting_s)

    def wait_for_ends(self) -> None:
        """Until as many jobs have completed as were submitted. Raises Stuck."""
        count = len(self._submitted)
        done = self.keys.done(JobState.COMPLETED)

        def have_ended() -> bool:
            with suppress(StoreUnavailable):  # an embedded server may just be starting
                return self.size(done) >= count
            return False

        until(have_ended, PATIENCE_S, f"{count} jobs have completed")

    def check(self, attempts: int = 1) -> None:
        """Raises NotDelivered unless each job was performed once, and there are no others.

        `attempts` is how many each needed for that.
        """
        is_counted = self._is_counted
        self.run(check_delivery(self.keys, self._submitted, attempts, is_counted=is_counted))

    def ends_ms(self) -> list[float]:
        """When the completed jobs ended, by the store's clock, in order."""
        done = self.keys.done(JobState.COMPLETED)
        ends: list[float] = []
        while page := self.execute("ZRANGE", done, len(ends), len(ends) + PAGE - 1, "WITHSCORES"):
            ends += map(float, page[1::2])
        return ends

    def usage(self) -> Usage:
        """Processor time so far."""
        server = processor_s(self.info("cpu"))
        workers = self.site.workers()
        hosts = [child for worker in workers for child in worker.children()]
        return Usage(sum(map(seconds_of, (*workers, *hosts))), server)

    def info(self, section: str) -> dict[str, str]:
        """What the server tells about itself."""
        reply: Any = self.execute("INFO", section)
        return info_fields(reply)


def _namespace(url: str) -> StoreAddress:
    """A new one on the user's store. Raises StoreUnavailable before anything was made for it."""
    address = StoreAddress(f"bench-{new_job_id()}", url=url)
    with StoreConnection(address) as connection:
        connection.execute(Command(("PING",)))
    return address


def seconds_of(process: psutil.Process) -> float:
    """Processor time so far of a process and its children that have ended, e.g. commands."""
    return sum(process.cpu_times()[:4])
