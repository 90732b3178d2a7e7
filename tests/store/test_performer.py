"""A job's way through a worker: plan, lock, attempt, end."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from jobrunner import message
from jobrunner.clock import SystemClock
from jobrunner.heartbeat import Heartbeat, HeartbeatEvents
from jobrunner.manifest.effective import adhoc_task
from jobrunner.manifest.spec import CronSpec, Lock, Manifest, Retry, Task
from jobrunner.message import Message
from jobrunner.model import Job, JobState, Reason
from jobrunner.runner.attempt import StopReason
from jobrunner.runner.calling import load_callee
from jobrunner.runner.processes import ProcessRegistry
from jobrunner.store.address import StoreAddress
from jobrunner.store.attempts import Entry, requeue
from jobrunner.store.cancelling import cancel
from jobrunner.store.connection import AsyncStoreConnection, StoreConnection
from jobrunner.store.crons import read_crons
from jobrunner.store.logs import read_log
from jobrunner.store.published import ADHOC_TASK
from jobrunner.store.submission import retry_job
from jobrunner.worker.functions import Functions
from jobrunner.worker.performer import Performer
from jobrunner.worker.plans import build_plans
from jobrunner.worker.runners import Runners
from tests.clock import FakeClock
from tests.store.factories import Store
from tests.store.waiting import until

pytestmark = pytest.mark.anyio
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
        self.freed = 0
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

    def _on_free(self) -> None:
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


@pytest.fixture
async def worker(store: Store, address: StoreAddress) -> AsyncIterator[Performing]:
    async with performing(store, address) as opened:
        yield opened


# Ends.


async def test_a_job_that_completes_has_its_result(store: Store, worker: Performing) -> None:
    job = await worker.perform("add", {"a": 2})

    assert (job.state, job.result, job.attempt, job.worker) == (JobState.COMPLETED, 3, 1, "w1")
    assert store.entries() == {}
    assert (worker.freed, worker.performer.busy) == (1, 0)


async def test_a_command_that_fails_has_its_exit_code(worker: Performing) -> None:
    job = await worker.perform("shell")

    assert (job.state, job.reason) == (JobState.FAILED, Reason.ERROR)
    assert job.error is not None
    assert job.error.exit_code == 3


async def test_a_result_with_a_life_of_its_own_is_noted(store: Store, worker: Performing) -> None:
    job = await worker.perform("fleeting")

    assert store.texts("ZRANGE", store.keys.results(), 0, -1) == [job.id]


async def test_an_end_is_written_before_the_slot_is_free_where_each_is_acked(
    worker: Performing,
) -> None:
    await worker.perform("each", {"a": 1})

    assert worker.at_free == [JobState.COMPLETED]


async def test_other_ends_are_written_together_after_the_slot_is_free(worker: Performing) -> None:
    await worker.perform("add", {"a": 1})

    assert worker.at_free == [JobState.QUEUED]


async def test_output_is_written_before_the_job_has_ended(store: Store, worker: Performing) -> None:
    job = await worker.perform("shell")

    assert [line.text for line in store.run(read_log(store.keys, job.id)).lines] == ["hello"]


# What cannot begin.


async def test_a_job_of_an_unknown_task_fails_and_can_be_retried_later(
    store: Store, worker: Performing
) -> None:
    job = await worker.perform("renamed")

    assert (job.state, job.reason, job.attempt) == (JobState.FAILED, Reason.UNKNOWN_TASK, 0)
    assert job.error is not None
    assert "'renamed'" in job.error.message
    assert worker.freed == 1


async def test_a_job_with_a_damaged_message_fails(store: Store, worker: Performing) -> None:
    store.submit(message=b"[1")
    job_id = worker.begin_next()
    await worker.ended()

    job = store.job(job_id)
    assert (job.task, job.reason) == ("demo", Reason.INVALID_ARGUMENTS)


@pytest.mark.parametrize("arguments", [{}, {"a": "x"}, {"a": 1, "c": 2}])
async def test_arguments_that_do_not_fit_fail_the_job_before_it_begins(
    worker: Performing, arguments: dict[str, Any]
) -> None:
    job = await worker.perform("add", arguments)

    assert (job.state, job.reason, job.attempt) == (JobState.FAILED, Reason.INVALID_ARGUMENTS, 0)


async def test_a_crons_last_result_tells_of_a_job_that_could_not_begin(
    store: Store, worker: Performing
) -> None:
    job = await worker.perform("add", {}, cron="nightly")

    (record,) = store.run(read_crons(store.keys, ["nightly"]))
    assert (record.last_id, record.last_state) == (job.id, JobState.FAILED)


async def test_a_worker_that_was_paused_since_the_claim_gives_the_job_back_unbegun(
    store: Store, worker: Performing
) -> None:
    worker.clock.advance(seconds=60)

    job = await worker.perform("fail")

    assert (job.state, job.attempt) == (JobState.QUEUED, 0)
    assert store.entry_of(job.id)["l"] == "0"


# Start records.


async def test_a_short_job_has_no_start_record_before_its_end(worker: Performing) -> None:
    job_id = worker.begin("add", {"a": 1})

    await until(lambda: worker.freed == 1)
    assert worker.at_free == [JobState.QUEUED]
    await worker.ended()
    assert worker.store.state(job_id) is JobState.COMPLETED


async def test_an_eager_job_has_its_start_record_at_once(worker: Performing) -> None:
    await worker.perform("eager", {"a": 1})

    assert worker.at_free == [JobState.RUNNING]


async def test_a_job_that_lasts_has_a_start_record(store: Store, worker: Performing) -> None:
    job_id = await worker.hanging()

    job = store.job(job_id)
    assert (job.worker, job.attempt) == ("w1", 1)


# Fences.


async def test_an_attempt_is_told_the_fence_of_its_entry(store: Store, worker: Performing) -> None:
    job = await worker.perform("tell")

    assert job.result["fence"] == "1"


async def test_an_attempt_under_a_lock_is_told_the_fence_of_the_lock(
    store: Store, worker: Performing
) -> None:
    store.command("SET", store.keys.tokens(), 41)

    job = await worker.perform("wait")

    assert job.result["fence"] == "42"


# Locks.


async def test_a_lock_is_held_while_its_job_runs_and_free_afterwards(
    store: Store, worker: Performing
) -> None:
    job_id = await worker.hanging("skip")
    assert store.texts("ZRANGE", store.keys.lock("report"), 0, -1) == [job_id]

    worker.stop(job_id, StopReason.CANCEL)
    await worker.ended()

    assert store.command("EXISTS", store.keys.lock("report")) == 0


async def test_conflict_skip_records_who_has_the_lock(worker: Performing) -> None:
    holder = await worker.hanging("skip")

    job = await worker.perform_beside("skip")

    assert (job.state, job.reason, job.detail) == (JobState.SKIPPED, Reason.LOCKED, holder)
    assert job.attempt == 0


async def test_conflict_fail_fails_the_job(worker: Performing) -> None:
    holder = await worker.hanging("skip")

    job = await worker.perform_beside("fail_locked")

    assert (job.state, job.reason, job.detail) == (JobState.FAILED, Reason.LOCKED, holder)


async def test_conflict_wait_blocks_the_job_until_the_lock_is_free(
    store: Store, worker: Performing
) -> None:
    holder = await worker.hanging("skip")
    blocked = await worker.perform_beside("wait")
    assert blocked.state is JobState.BLOCKED

    worker.stop(holder, StopReason.CANCEL)
    await worker.ended()
    worker.begin_next()
    await worker.ended()

    job = store.job(blocked.id)
    assert (job.state, job.attempt) == (JobState.COMPLETED, 1)


async def test_a_lock_is_named_by_its_parameters(store: Store, worker: Performing) -> None:
    eu = await worker.hanging("named", {"region": "eu"})
    us = await worker.hanging("named", {"region": "us"})

    skipped = await worker.perform_beside("named", {"region": "eu"})

    assert (skipped.state, skipped.detail) == (JobState.SKIPPED, eu)
    assert store.texts("ZRANGE", store.keys.lock("report-us"), 0, -1) == [us]


async def test_a_lock_of_a_cron_is_for_its_own_jobs_only(store: Store, worker: Performing) -> None:
    of_cron = await worker.perform("add", {"a": 1}, cron="nightly")
    of_user = await worker.perform("add", {"a": 1})

    assert (of_cron.lock, of_user.lock) == ("add", None)


async def test_a_job_whose_lock_was_lost_is_stopped_and_given_back_as_lost(
    store: Store, worker: Performing
) -> None:
    job_id = await worker.hanging("skip")

    worker.stop(job_id, StopReason.LEASE_LOST)
    await worker.ended()

    job = store.job(job_id)
    assert (job.state, job.attempt) == (JobState.QUEUED, 1)
    assert store.entry_of(job_id)["l"] == "1"


# Retries.


async def test_a_failed_attempt_is_followed_by_others_as_its_policy_says(
    store: Store, worker: Performing
) -> None:
    job = await worker.perform("fail")
    assert (job.state, job.attempt) == (JobState.SCHEDULED, 1)
    assert job.due_at is not None
    assert 59 < job.due_at.timestamp() - store.now_ms() / 1000 <= 60

    store.make_due(job.id)
    store.promote(job.id)
    worker.begin_next()
    await worker.ended()

    job = store.job(job.id)
    assert (job.state, job.reason, job.attempt) == (JobState.FAILED, Reason.ERROR, 2)


async def test_an_exit_code_that_is_not_listed_ends_the_job(worker: Performing) -> None:
    job = await worker.perform("shell")

    assert (job.state, job.attempt) == (JobState.FAILED, 1)


async def test_a_lost_attempt_does_not_count_for_the_retry_policy(
    store: Store, worker: Performing
) -> None:
    entry = store.claimed(task="fail", message=message.encode(Message("fail")))
    store.run(requeue(store.keys, [entry], is_lost=True))

    worker.begin_next()
    await worker.ended()

    job = store.job(entry.job_id)
    assert (job.state, job.attempt) == (JobState.SCHEDULED, 2)


async def test_a_users_retry_begins_the_policy_anew(store: Store, worker: Performing) -> None:
    job = await worker.perform("fail")
    store.make_due(job.id)
    store.promote(job.id)
    worker.begin_next()
    await worker.ended()

    store.run(retry_job(store.keys, job.id))
    worker.begin_next()
    await worker.ended()

    job = store.job(job.id)
    assert (job.state, job.attempt) == (JobState.SCHEDULED, 3)


async def test_a_function_host_that_dies_costs_its_job_a_lost_attempt(
    store: Store, worker: Performing
) -> None:
    job = await worker.perform("crash")
    assert (job.state, job.attempt) == (JobState.QUEUED, 1)

    worker.begin_next()
    await worker.ended()

    job = store.job(job.id)
    assert (job.state, job.reason, job.attempt) == (JobState.FAILED, Reason.LOST, 2)


# Stops.


async def test_a_cancelled_job_is_stopped_and_ends_as_cancelled(
    store: Store, worker: Performing
) -> None:
    job_id = await worker.hanging()
    store.run(cancel(store.keys, job_id))

    worker.stop(job_id, StopReason.CANCEL)
    await worker.ended()

    assert store.state(job_id) is JobState.CANCELLED
    assert store.command("EXISTS", store.keys.cancelling()) == 0


@pytest.mark.parametrize("task", ["eager", "skip", "hang"])
async def test_a_job_that_was_cancelled_after_its_claim_ends_as_cancelled(
    store: Store, worker: Performing, task: str
) -> None:
    arguments = {"a": 1} if task == "eager" else {}
    body = message.encode(Message(task, arguments))
    entry = store.claimed(task=task, message=body)
    store.run(cancel(store.keys, entry.job_id))

    worker.begin_entry(entry)
    await worker.ended()

    assert store.state(entry.job_id) is JobState.CANCELLED


async def test_a_drain_that_is_over_gives_the_job_back_uncounted(
    store: Store, worker: Performing
) -> None:
    job_id = await worker.hanging()

    worker.performer.stop_all(StopReason.SHUTDOWN)
    await worker.ended()

    job = store.job(job_id)
    assert (job.state, job.attempt, job.worker) == (JobState.QUEUED, 0, None)


async def test_a_job_that_is_cancelled_during_the_drain_is_not_given_back(
    store: Store, worker: Performing
) -> None:
    job_id = await worker.hanging()
    store.run(cancel(store.keys, job_id))

    worker.performer.stop_all(StopReason.SHUTDOWN)
    await worker.ended()

    assert store.state(job_id) is JobState.CANCELLED


async def test_stopping_a_job_that_another_worker_has_changes_nothing(
    store: Store, worker: Performing
) -> None:
    job_id = await worker.hanging()

    worker.stop("another", StopReason.CANCEL)

    assert store.state(job_id) is JobState.RUNNING
    assert worker.performer.busy == 1


async def test_a_job_that_comes_again_while_its_last_attempt_winds_up_is_known_and_can_be_stopped(
    store: Store, worker: Performing
) -> None:
    # The server hands out a lost job again before the reply to its giving back was read.
    job_id = await worker.hanging("skip")
    worker.stop(job_id, StopReason.LEASE_LOST)
    await until(lambda: store.state(job_id) is JobState.QUEUED)

    worker.begin_next()

    await until(lambda: store.state(job_id) is JobState.RUNNING)
    assert worker.performer.busy == 1
    worker.stop(job_id, StopReason.CANCEL)
    await worker.ended()
    assert store.state(job_id) is JobState.CANCELLED


# Trouble.


@pytest.mark.parametrize("command", ["echo hi", [], [1, 2], None, ["a\0b"]])
async def test_an_adhoc_command_that_is_none_fails_its_job(
    worker: Performing, command: object
) -> None:
    job = await worker.perform("exec", {"command": command})

    assert job.state is JobState.FAILED


async def test_an_adhoc_command_runs_as_given(worker: Performing) -> None:
    job = await worker.perform("exec", {"command": ["sh", "-c", "exit $0", "7"]})

    assert job.error is not None
    assert job.error.exit_code == 7


@pytest.mark.parametrize("task", ["argv", "named"])
async def test_an_argument_that_no_process_can_be_given_fails_its_job(
    worker: Performing, task: str
) -> None:
    job = await worker.perform(task, {"region": "a\0b"})

    assert (job.state, job.reason) == (JobState.FAILED, Reason.INVALID_ARGUMENTS)


async def test_a_job_that_we_fail_to_perform_ends_as_failed_and_not_never(
    store: Store, worker: Performing
) -> None:
    store.command("SET", store.keys.lock("report"), "no lock at all")

    job = await worker.perform("skip")

    assert (job.state, job.reason) == (JobState.FAILED, Reason.ERROR)
    assert job.error is not None
    assert "WRONGTYPE" in job.error.message
    assert worker.freed == 1
    store.command("DEL", store.keys.lock("report"))
