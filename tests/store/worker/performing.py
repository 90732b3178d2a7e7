"""A worker's performer in the test's own process; commands and functions are real."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from jobrunner import message
from jobrunner.clock import SystemClock
from jobrunner.heartbeat import Heartbeat, HeartbeatEvents
from jobrunner.manifest.effective import adhoc_task
from jobrunner.manifest.spec import CronSpec, Lock, Manifest, Retry, Task
from jobrunner.message import Message
from jobrunner.model import Job, JobState
from jobrunner.runner.attempt import StopReason
from jobrunner.runner.calling import load_callee
from jobrunner.runner.processes import ProcessRegistry
from jobrunner.store.address import StoreAddress
from jobrunner.store.attempts import Entry
from jobrunner.store.connection import AsyncStoreConnection, StoreConnection
from jobrunner.store.published import ADHOC_TASK
from jobrunner.worker.functions import Functions
from jobrunner.worker.performer import Left, Performer
from jobrunner.worker.plans import build_plans
from jobrunner.worker.runners import Runners
from tests.clock import FakeClock
from tests.store.factories import Store
from tests.store.waiting import until

DEMO = "tests.unit.runner.demo"


def a_function(name: str, **changes: Any) -> Task:
    return Task(**{"python": f"{DEMO}:{name}", **changes})


NUMBERS = {"a": {"type": "integer"}, "b": {"type": "integer", "default": 1}}
TASKS = {
    "add": a_function("add", params=NUMBERS),
    "each": a_function("add", params=NUMBERS, ack="each"),
    "eager": a_function("add", params=NUMBERS, record="eager"),
    "tell": a_function("tell"),
    "fleeting": a_function("tell", result_ttl="1h"),
    "fail": a_function("fail", retry=Retry(attempts=2, delay="1m", jitter=False)),
    "hang": a_function("hang"),
    "crash": a_function("sync_crash", max_lost=2),
    "shell": Task(shell="echo hello; exit 3", retry=Retry(attempts=2, exit_codes=[4])),
    "odd": Task(shell="echo fine; printf '2 rows were odd' >&2"),
    "odd_locked": Task(shell="echo odd >&2", lock=Lock(name="odd")),
    "argv": Task(command=["true", "{region}"], params={"region": {}}),
    "skip": a_function("hang", lock=Lock(name="report", conflict="skip")),
    "fail_locked": a_function("hang", lock=Lock(name="report", conflict="fail")),
    "wait": a_function("tell", lock=Lock(name="report", conflict="wait")),
    "named": Task(shell="sleep 60", params={"region": {}}, lock=Lock(name="report-{region}")),
}


class Performing:
    """A performer and its loops; commands and functions are real."""

    def __init__(
        self, address: StoreAddress, store: Store, connections: list[AsyncStoreConnection]
    ) -> None:
        self.store = store
        self.freed = self.left_to_others = 0
        self.refusals: list[str] = []
        self.at_free: list[JobState] = []  # of the job begun last, as each slot was given back
        self.last = ""
        self.clock = FakeClock()  # of the lease: it is trusted until a test lets time pass
        self.processes = ProcessRegistry("w1")
        manifest = Manifest(
            name=address.name,
            tasks={**TASKS, ADHOC_TASK: adhoc_task(Manifest())},
            crons={"nightly": CronSpec(task="add", cron="0 2 * * *", lock_ttl="5m")},
            async_tasks={name: name != "crash" for name in TASKS},
        )
        clock = SystemClock()
        self.runners = Runners(manifest, store.keys, connections[1], clock, self.processes, 8)
        events = HeartbeatEvents(lambda: None, self._nothing, self._nothing)
        self.heartbeat = Heartbeat(
            store.keys, StoreConnection(address), self.clock, "w1", self.processes, events
        )
        self.performer = Performer(
            store.keys,
            connections[0],
            build_plans(manifest, clock),
            clock,
            "w1",
            self.runners,
            self.heartbeat,
            self._on_free,
        )

    def _nothing(self, _told: object) -> None:
        pass

    def _on_free(self, left: Left, why: str) -> None:
        self.left_to_others += left is Left.FOR_OTHERS
        self.refusals += [why] if left is Left.NO_ROOM else []
        self.freed += 1
        self.at_free.append(self.store.state(self.last))

    def begin(self, task: str, kwargs: dict[str, Any] | None = None, **changes: Any) -> str:
        """Submit a job and perform it; returns its id."""
        body = message.encode(Message(task, kwargs or {}, cron=changes.get("cron")))
        self.store.submit(**{"task": task, "message": body, **changes})
        return self.begin_next()

    def begin_next(self) -> str:
        (entry,) = self.store.claim()
        return self.begin_entry(entry)

    def begin_entry(self, entry: Entry) -> str:
        self.last = entry.job_id
        self.performer.begin(entry)
        return entry.job_id

    async def ended(self) -> None:
        """Until no attempt is under way, and all is written."""
        async with asyncio.timeout(5):
            await self.performer.wait_idle()
            await self.performer.finisher.wait_idle()

    async def perform(self, task: str, *args: Any, **changes: Any) -> Job:
        """The job after its attempt."""
        job_id = self.begin(task, *args, **changes)
        await self.ended()
        return self.store.job(job_id)

    async def perform_beside(self, task: str, *args: Any) -> Job:
        """The job once its slot is free, while others go on."""
        freed = self.freed
        job_id = self.begin(task, *args)
        await until(lambda: self.freed > freed)
        await self.performer.finisher.wait_idle()
        return self.store.job(job_id)

    async def hanging(self, task: str = "hang", *args: Any) -> str:
        """A job that runs until it is stopped."""
        job_id = self.begin(task, *args)
        await until(lambda: self.store.state(job_id) is JobState.RUNNING)
        return job_id

    def stop(self, job_id: str, reason: StopReason) -> None:
        self.performer.stop_job(job_id, reason)


@asynccontextmanager
async def performing(store: Store, address: StoreAddress) -> AsyncIterator[Performing]:
    store.add_worker()
    connections = [AsyncStoreConnection(address) for _ in range(2)]
    worker = Performing(address, store, connections)
    callees = {name: load_callee(task.python) for name, task in TASKS.items() if task.python}
    await worker.runners.take_up(Functions(callees))
    performer = worker.performer
    loops = [performer.finisher.run(), performer.starter.run(), worker.runners.write_logs()]
    tasks = [asyncio.create_task(loop) for loop in loops]
    try:
        yield worker
        performer.stop_all(StopReason.CANCEL)
        await worker.ended()
    finally:
        await worker.runners.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for connection in connections:
            await connection.close()
