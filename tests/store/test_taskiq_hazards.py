"""What stock taskiq with taskiq-redis gets wrong, each with our rule.

Confirmed with taskiq 0.13.0 and taskiq-redis 1.2.4. Three need a whole daemon, and are tested in
`tests/daemon/`: an unencodable result hangs the waiter, and a job of an unknown task is acked and
lost (`test_functions_with_taskiq.py`); a cancellation at shutdown is stored as a failure
(`test_lifecycle.py`). That a timeout only abandons the thread of a synchronous function is for
`tests/unit/runner/test_host.py`: there are no threads, but processes.
"""

import ast
import asyncio
import pickle
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import pytest
from taskiq import TaskiqDepends

from jobrunner import task
from jobrunner.broker import Injector, JobBroker
from jobrunner.context import Context
from jobrunner.errors import UsageError
from jobrunner.manifest.spec import Task
from jobrunner.model import JobState, Priority, Reason
from jobrunner.runner.attempt import Attempt
from jobrunner.runner.calling import callee_of
from jobrunner.store.address import StoreAddress
from jobrunner.store.attempts import Entry, Requeued, entry_of, requeue
from jobrunner.store.crons import Fire, fire
from jobrunner.store.keys import GROUP
from jobrunner.store.published import PublishedTask
from jobrunner.store.rescue import find_orphans, read_claimed
from jobrunner.store.submission import retry_job
from jobrunner.store.unreadable import refuse_unreadable
from tests.store.clients import publish_tasks
from tests.store.factories import MESSAGE, QUEUES, Store

pytestmark = pytest.mark.anyio

PACKAGE = Path(__file__).parent.parent.parent / "jobrunner"
FIRE_TIME = datetime(2026, 11, 21, 1, tzinfo=UTC)
HOUR_MS = 3_600_000


async def greet(name: str) -> str:
    return f"hello {name}"


@pytest.fixture
def broker(address: StoreAddress) -> JobBroker:
    return JobBroker(address)


def consumers(store: Store, stream: str) -> set[str]:
    return {info[1].decode() for info in store.command("XINFO", "CONSUMERS", stream, GROUP)}


def a_fire() -> Fire:
    return Fire("nightly", FIRE_TIME, "demo", MESSAGE, "default", Priority.NORMAL)


def test_a_job_that_runs_for_long_is_not_given_to_another_worker(store: Store) -> None:
    # taskiq-redis takes entries over that were idle for `idle_timeout` (10 minutes).
    store.add_worker("w1")
    store.add_worker("w2")
    entry = store.running("w1")
    stream = store.keys.queue(entry.queue, entry.priority)
    store.command("XCLAIM", stream, GROUP, "w1", 0, entry.entry_id, "IDLE", 24 * HOUR_MS, "JUSTID")

    assert store.run(find_orphans(store.keys, QUEUES)) == []
    assert store.claim("w2") == []


def test_jobs_of_a_dead_worker_come_back_although_no_other_job_arrives(store: Store) -> None:
    # taskiq-redis reclaims only after it has read new entries.
    store.add_worker("w1")
    store.add_worker("w2")
    entry = store.running("w1")
    store.end_lease("w1")

    [orphan] = store.run(find_orphans(store.keys, QUEUES))
    claimed = [e for e in store.run(read_claimed(store.keys, orphan)) if isinstance(e, Entry)]
    assert store.run(requeue(store.keys, claimed, is_lost=True)) == [Requeued.QUEUED]

    assert [found.job_id for found in store.claim("w2")] == [entry.job_id]


def test_jobs_submitted_before_any_worker_ran_are_run(store: Store) -> None:
    # taskiq-redis makes its group at `$`, behind them.
    job_id = store.submit()

    store.add_worker()

    assert [entry.job_id for entry in store.claim()] == [job_id]


def test_acked_entries_are_deleted(store: Store) -> None:
    # taskiq-redis only acks, so that streams grow for ever.
    store.add_worker()

    store.finished()

    assert store.entries() == {}


def test_consumers_of_dead_workers_are_deleted(store: Store) -> None:
    # Each start of a taskiq worker leaves one behind.
    store.add_worker("w1")
    entry = store.claimed("w1")
    store.finish(entry, worker="w1")
    stream = store.keys.queue(entry.queue, entry.priority)
    assert consumers(store, stream) == {"w1"}
    store.end_lease("w1")

    store.run(find_orphans(store.keys, QUEUES))

    assert consumers(store, stream) == set()


def test_unreadable_entries_are_dead_letters(store: Store) -> None:
    # taskiq acks what it cannot parse, and writes a warning.
    store.add_worker()
    store.command("XADD", store.keys.queue("default", "normal"), "*", "data", "garbage")

    [job_id] = store.run(refuse_unreadable(store.keys, "w1", store.claim_unreadable()))

    assert store.job(job_id).reason is Reason.INVALID_ARGUMENTS


def test_jobs_of_unknown_tasks_are_dead_letters_that_can_be_retried(store: Store) -> None:
    # taskiq acks them, and writes a warning. The worker's part is in tests/daemon/.
    store.add_worker()
    entry = store.claimed(task="gone")
    store.finish(entry, JobState.FAILED, task="gone", reason=Reason.UNKNOWN_TASK)

    store.run(retry_job(store.keys, entry.job_id))

    assert store.state(entry.job_id) is JobState.QUEUED


def test_a_worker_claims_no_more_jobs_than_it_has_free_slots(store: Store) -> None:
    # taskiq prefetches 100 entries per read, which wait in one process while others are idle.
    store.add_worker()
    for _ in range(5):
        store.submit()

    assert len(store.claim(free=2)) == 2


async def test_jobs_that_run_together_have_each_its_own_context(broker: JobBroker) -> None:
    # taskiq puts each job's context into one dictionary of the broker.
    both_run = asyncio.Barrier(2)

    async def slow_dependency() -> str:
        await both_run.wait()
        return "resolved"

    async def who(
        slow: Annotated[str, TaskiqDepends(slow_dependency)],
        ctx: Annotated[Context, TaskiqDepends()],
    ) -> str:
        return ctx.job_id

    injector = Injector(broker)

    async def perform(job_id: str) -> Any:
        attempt = Attempt(job_id, "who", Task(), 1, "1", "default", "w1", "shop", Path("/"))
        context = Context(job_id=job_id, task="who", attempt=1, fence="1", queue="default")
        return await injector.invoke_of(callee_of(who), attempt)(lambda: context)

    assert list(await asyncio.gather(perform("job1"), perform("job2"))) == ["job1", "job2"]
    assert broker.custom_dependency_context == {}


async def test_labels_keep_their_types_and_have_no_structure(
    broker: JobBroker, store: Store
) -> None:
    # taskiq makes a text of every label: a dictionary arrives as "{'a': 1}".
    publish_tasks(store, PublishedTask("greet", "python"))
    noted = task(greet)
    broker.take_up(noted)
    kicker = noted.kicker().with_labels(team="web", tries=3, share=0.5, urgent=True)
    labels: Any = {"owner": {"name": "ada"}}

    message = kicker._prepare_message("ada")

    assert broker.formatter.loads(broker.formatter.dumps(message).message).labels == {
        "team": "web",
        "tries": 3,
        "share": 0.5,
        "urgent": True,
    }
    with pytest.raises(UsageError, match="label 'owner' of task 'greet'"):
        await noted.kicker().with_labels(**labels).kiq("ada")


def test_a_retry_and_the_end_of_its_attempt_are_one_step(store: Store) -> None:
    # taskiq submits a copy and acks then: killed in between, both run.
    store.add_worker()
    entry = store.running()

    store.finish(entry, JobState.FAILED, retry_delay_ms=0)

    assert store.entries() == {}
    assert store.due_jobs() == [entry.job_id]
    # What a killed worker's call would repeat is refused.
    assert store.finish(entry, JobState.FAILED, retry_delay_ms=0).states == [None]


def test_two_schedulers_make_one_job_of_a_fire_time(store: Store) -> None:
    # Each of taskiq's schedulers submits one.
    first, second = store.run(fire(store.keys, [a_fire(), a_fire()]))

    assert (first.what, second.what) == ("queued", "handled")
    assert list(store.records()) == ["nightly@2026-11-21T01:00:00Z"]


def test_a_fire_time_whose_job_is_done_and_deleted_is_not_fired_again(store: Store) -> None:
    # taskiq's scheduler remembers in its process: restarted in the same minute, it fires again.
    store.add_worker()
    store.run(fire(store.keys, [a_fire()]))
    [entry] = store.claim()
    store.finish(entry)

    [again] = store.run(fire(store.keys, [a_fire()]))

    assert again.what == "handled"
    assert store.claim() == []


def test_messages_are_json(broker: JobBroker) -> None:
    noted = task(greet)
    broker.take_up(noted)

    sent = broker.formatter.dumps(noted.kicker()._prepare_message("ada"))

    assert sent.message == b'["greet",{"name":"ada"}]'


def test_a_pickled_message_is_garbage_not_code() -> None:
    class Bomb:
        def __reduce__(self) -> Any:
            return pytest.fail, ("it was executed",)

    bomb = pickle.dumps(Bomb())

    with pytest.raises(ValueError, match="malformed"):
        JobBroker(StoreAddress("shop", socket="/unused")).formatter.loads(bomb)
    assert not isinstance(entry_of("1-0", "default", "normal", [b"data", bomb]), Entry)


def test_nothing_in_the_package_unpickles() -> None:
    imported = {
        alias.name
        for path in PACKAGE.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Import | ast.ImportFrom)
        for alias in node.names
    }

    assert imported.isdisjoint({"pickle", "shelve", "marshal", "dill", "cloudpickle"})


def test_taskiqs_own_workers_are_refused(broker: JobBroker) -> None:
    # They have no lease; `run_receiver_task` has no drain, and loops hot while the server is away.
    with pytest.raises(UsageError, match="taskiq cannot listen to this broker"):
        broker.listen()
