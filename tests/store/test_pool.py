"""The pool of worker processes: real ones on a real store."""

import asyncio
import os
import shutil
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path

import pytest

from jobrunner import message
from jobrunner.clock import SystemClock
from jobrunner.daemon.pool import WorkerPool, worker_environ
from jobrunner.manifest.spec import Manifest, Task
from jobrunner.message import Message
from jobrunner.model import JobState
from jobrunner.runner.leftovers import Ours
from jobrunner.runner.proctable import started_at
from jobrunner.store.address import StoreAddress
from jobrunner.store.leases import WorkerEntry, read_workers
from jobrunner.worker.settings import WorkerSettings
from tests.store.factories import Store
from tests.store.waiting import until

pytestmark = pytest.mark.anyio
WITHIN_S = 20  # a worker is up in half a second, but the machine may be busy
TASKS = {"act": Task(shell='eval "$SCRIPT"', params={"script": {}})}


class Daemon:
    """What a supervisor is to its pool."""

    def __init__(self, store: Store, address: StoreAddress, folder: Path) -> None:
        self.store = store
        self.address = address
        self.folder = folder
        self.environ = dict(os.environ)
        self.rescued: list[str] = []
        self.crashed: list[str] = []
        self.pool = WorkerPool(
            SystemClock(),
            self._settings_for,
            worker_environ(self.environ, folder),
            self._rescue,
            Ours(address.mark),
        )

    async def _rescue(self, worker: str, has_crashed: bool) -> None:
        self.rescued.append(worker)
        self.crashed += [worker] if has_crashed else []
        self.store.command("ZREM", self.store.keys.workers(), worker)

    def _settings_for(self, worker: str) -> WorkerSettings:
        manifest = Manifest(name=self.address.name, tasks=TASKS)
        return WorkerSettings(
            worker=worker,
            daemon="d1",
            reaper=os.getpid(),
            namespace=self.address.name,
            store_url=None,
            store_socket=self.address.socket,
            manifest=manifest.model_dump(mode="json"),
            folder=str(self.folder),
            queues=["default"],
            slots=4,
            drain_s=0.2,
            lease_ttl_s=15,
            log_level="error",
        )

    def workers(self) -> list[WorkerEntry]:
        """Those that have enlisted, oldest first."""
        return sorted(self.store.run(read_workers(self.store.keys)), key=lambda w: w.started_at)

    async def enlisted(self, number: int) -> list[WorkerEntry]:
        """So many workers, once they are ready."""
        await until(lambda: len(self.workers()) == number, WITHIN_S)
        return self.workers()

    def act(self, script: str) -> str:
        body = message.encode(Message("act", {"script": script}))
        return self.store.submit(task="act", message=body)

    async def running(self, script: str) -> str:
        """A job that runs."""
        job_id = self.act(script)
        await until(lambda: self.store.state(job_id) is JobState.RUNNING, WITHIN_S)
        return job_id

    async def state(self, job_id: str, state: JobState) -> None:
        await until(lambda: self.store.state(job_id) is state, WITHIN_S)


@asynccontextmanager
async def a_daemon(store: Store, address: StoreAddress, folder: Path) -> AsyncIterator[Daemon]:
    opened = Daemon(store, address, folder)
    yield opened
    await opened.pool.stop(timedelta(seconds=0.2))


@pytest.fixture
async def daemon(store: Store, address: StoreAddress, tmp_path: Path) -> AsyncIterator[Daemon]:
    async with a_daemon(store, address, tmp_path) as opened:
        yield opened


async def test_a_dead_worker_is_rescued_and_another_takes_its_place(daemon: Daemon) -> None:
    await daemon.pool.start(1)
    (dead,) = await daemon.enlisted(1)

    os.kill(dead.pid, signal.SIGKILL)
    await until(lambda: daemon.rescued == [dead.id], WITHIN_S)
    (heir,) = await daemon.enlisted(1)

    assert heir.id != dead.id
    assert list(daemon.pool.living().values()) == [heir.pid]


@pytest.mark.parametrize(("number", "is_crash"), [("KILL", False), ("ABRT", True)])
async def test_a_worker_that_crashed_is_told_from_one_that_was_killed(
    daemon: Daemon, number: str, is_crash: bool
) -> None:
    await daemon.pool.start(1)
    (dead,) = await daemon.enlisted(1)

    os.kill(dead.pid, signal.Signals[f"SIG{number}"])
    await until(lambda: daemon.rescued == [dead.id], WITHIN_S)

    assert daemon.crashed == ([dead.id] if is_crash else [])


async def test_a_reload_starts_the_successor_and_lets_the_old_worker_finish_its_job(
    daemon: Daemon, tmp_path: Path
) -> None:
    await daemon.pool.start(1)
    (old,) = await daemon.enlisted(1)
    job_id = await daemon.running(f"while [ ! -e {tmp_path}/go ]; do sleep 0.01; done")

    await daemon.pool.replace(1)

    _, new = await daemon.enlisted(2)
    later = daemon.act("true")
    await daemon.state(later, JobState.COMPLETED)
    assert daemon.store.job(later).worker == new.id
    assert daemon.store.state(job_id) is JobState.RUNNING
    (tmp_path / "go").touch()
    await daemon.state(job_id, JobState.COMPLETED)
    assert daemon.store.job(job_id).worker == old.id
    await until(lambda: list(daemon.pool.living().values()) == [new.pid], WITHIN_S)


async def test_a_reload_may_change_the_number_of_workers(daemon: Daemon) -> None:
    await daemon.pool.start(1)
    await daemon.enlisted(1)

    await daemon.pool.replace(2)
    await until(lambda: len(daemon.pool.living()) == 2, WITHIN_S)
    await daemon.pool.replace(1)
    await until(lambda: len(daemon.pool.living()) == 1, WITHIN_S)


async def test_a_retired_worker_that_dies_is_rescued_and_has_no_heir(
    daemon: Daemon, tmp_path: Path
) -> None:
    await daemon.pool.start(1)
    (old,) = await daemon.enlisted(1)
    await daemon.running("sleep 60")
    await daemon.pool.replace(1)
    _, new = await daemon.enlisted(2)

    os.kill(old.pid, signal.SIGKILL)

    await until(lambda: old.id in daemon.rescued, WITHIN_S)
    assert list(daemon.pool.living().values()) == [new.pid]
    assert [worker.id for worker in await daemon.enlisted(1)] == [new.id]


async def test_workers_that_die_at_once_are_started_ever_more_rarely(
    store: Store, address: StoreAddress, tmp_path: Path
) -> None:
    daemon = Daemon(store, address, tmp_path)
    broken = {**os.environ, "PYTHONHOME": "/nowhere"}  # the interpreter ends as it starts
    pool = WorkerPool(
        SystemClock(), daemon._settings_for, broken, daemon._rescue, Ours(address.mark)
    )
    await pool.start(1)

    await asyncio.sleep(1)

    await pool.stop(timedelta(0))
    assert 2 <= len(daemon.rescued) <= 15


async def test_a_worker_that_cannot_be_started_is_tried_again(
    store: Store, address: StoreAddress, tmp_path: Path
) -> None:
    folder = tmp_path / "project"
    folder.mkdir()
    async with a_daemon(store, address, folder) as daemon:
        await daemon.pool.start(1)
        (dead,) = await daemon.enlisted(1)
        shutil.rmtree(folder)
        os.kill(dead.pid, signal.SIGKILL)
        await until(lambda: daemon.rescued == [dead.id], WITHIN_S)
        await asyncio.sleep(0.1)

        folder.mkdir()

        (heir,) = await daemon.enlisted(1)
        assert heir.id != dead.id


async def test_a_stop_drains_and_gives_back_what_is_left(daemon: Daemon) -> None:
    await daemon.pool.start(1)
    job_id = await daemon.running("sleep 60")
    (worker,) = daemon.workers()

    await daemon.pool.stop(timedelta(seconds=0.2))

    assert started_at(worker.pid) is None
    assert daemon.pool.living() == {}
    job = daemon.store.job(job_id)
    assert (job.state, job.attempt) == (JobState.QUEUED, 0)
    assert daemon.workers() == []


async def test_a_stop_kills_workers_that_do_not_react(
    daemon: Daemon, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("jobrunner.daemon.pool.GIVE_UP_AFTER_S", 0.1)
    await daemon.pool.start(1)
    (worker,) = await daemon.enlisted(1)
    os.kill(worker.pid, signal.SIGSTOP)

    async with asyncio.timeout(5):
        await daemon.pool.stop(timedelta(0))

    assert started_at(worker.pid) is None
    assert daemon.rescued == [worker.id]
