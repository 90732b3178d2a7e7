"""taskiq's interface: submit by `kiq`, wait for results, inject dependencies, call middlewares."""

import asyncio
import dataclasses
from collections.abc import AsyncIterator, Callable, Iterator
from datetime import date
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import msgspec
import pytest
from pydantic import BaseModel
from taskiq import Context as TaskiqContext
from taskiq import (
    TaskiqDepends,
    TaskiqEvents,
    TaskiqMessage,
    TaskiqMiddleware,
    TaskiqResult,
    TaskiqResultTimeoutError,
)
from taskiq.depends.progress_tracker import ProgressTracker
from taskiq.exceptions import NoResultError

from jobrunner import task
from jobrunner.broker import Injector, JobBroker, default_broker
from jobrunner.context import Context
from jobrunner.errors import (
    IllegalTransition,
    InvalidArguments,
    JobFailed,
    JobNotFound,
)
from jobrunner.manifest.spec import Task
from jobrunner.model import JobError, JobState, Priority, Reason
from jobrunner.params import ParamSpec, ParamType
from jobrunner.runner.attempt import Attempt
from jobrunner.runner.calling import callee_of
from jobrunner.store.address import StoreAddress
from jobrunner.store.published import PublishedTask
from jobrunner.tasks import TaskFunction
from tests.store.clients import calls_of, is_watched, publish_tasks
from tests.store.factories import Store

pytestmark = pytest.mark.anyio

ANY = ParamType.ANY
TARGET = f"{__name__}:shrink"
SHRINK = PublishedTask(
    "shrink",
    "python",
    params=[
        ParamSpec("path"),
        ParamSpec("width", ParamType.INTEGER, default=200, required=False),
        ParamSpec("size", ANY, required=False),
        ParamSpec("day", ParamType.DATE, required=False),
    ],
    target=TARGET,
)


class Size(BaseModel):
    width: int
    height: int


class Thumbnail(BaseModel):
    path: str
    day: date


async def shrink(
    path: str,
    width: int = 200,
    size: Size | None = None,
    day: date | None = None,
    ctx: TaskiqContext = TaskiqDepends(),  # noqa: B008  # taskiq's way
) -> Thumbnail:
    raise AssertionError("the test is the worker")


async def perform(
    injector: Injector,
    function: Callable[..., Any],
    job_id: str = "job1",
    labels: dict[str, Any] | None = None,
    report: Callable[[bytes], None] | None = None,
    **arguments: Any,
) -> Any:
    """Call a function as a worker does."""
    attempt = Attempt(
        job_id,
        "demo",
        Task(),
        1,
        "1",
        "default",
        "w1",
        "shop",
        Path("/"),
        arguments,
        labels or {},
    )
    context = Context(
        job_id=job_id, task="demo", attempt=1, fence="1", queue="default", report=report
    )
    return await injector.invoke_of(callee_of(function), attempt)(lambda: context)


@pytest.fixture
async def broker(address: StoreAddress, store: Store) -> AsyncIterator[JobBroker]:
    publish_tasks(store, SHRINK)
    store.add_worker()
    opened = JobBroker(address)
    await opened.startup()
    yield opened
    await opened.shutdown()


@pytest.fixture
def shrinking(broker: JobBroker) -> TaskFunction[Any, Any]:
    """A `@task` function that the broker has taken up."""
    noted = task(shrink)
    broker.take_up(noted)
    return noted


async def until(check: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while not check():
            await asyncio.sleep(0.002)


def finish_next(store: Store, result: object) -> None:
    [entry] = store.claim()
    store.finish(entry, result=msgspec.json.encode(result), task="shrink")


# Submitting


async def test_kiq_submits_a_job_with_named_arguments(
    shrinking: TaskFunction[Any, Any], store: Store
) -> None:
    sent = await shrinking.kiq("a.png", 300, day=date(2026, 11, 21))

    job = store.job(sent.task_id)
    assert (job.task, job.state) == ("shrink", JobState.QUEUED)
    assert job.arguments == {"path": "a.png", "width": 300, "day": "2026-11-21"}


async def test_models_travel_as_json(shrinking: TaskFunction[Any, Any], store: Store) -> None:
    sent = await shrinking.kiq("a.png", size=Size(width=1, height=2))

    arguments = store.job(sent.task_id).arguments
    assert arguments is not None
    assert arguments["size"] == {"width": 1, "height": 2}


@pytest.mark.parametrize(
    ("args", "kwargs"),
    [((), {}), (("a.png", "wide"), {}), (("a.png",), {"path": "b.png"}), ((1, 2, 3, 4, 5, 6), {})],
)
async def test_arguments_that_do_not_fit_are_refused_at_submit(
    shrinking: TaskFunction[Any, Any], store: Store, args: Any, kwargs: Any
) -> None:
    with pytest.raises(InvalidArguments):
        await shrinking.kiq(*args, **kwargs)

    assert store.records() == {}


async def test_an_argument_that_json_cannot_carry_is_refused(
    shrinking: TaskFunction[Any, Any],
) -> None:
    with pytest.raises(InvalidArguments, match="cannot be sent"):
        await shrinking.kiq("a.png", size=object())


async def test_a_task_that_the_daemon_does_not_know_is_refused(broker: JobBroker) -> None:
    async def shrunk() -> None:
        return

    noted = task(shrunk)
    broker.take_up(noted)

    with pytest.raises(JobNotFound, match="no task 'shrunk'"):
        await noted.kiq()


async def test_a_function_goes_by_the_name_that_the_manifest_gives_it(
    broker: JobBroker, store: Store
) -> None:
    small = PublishedTask("small", "python", SHRINK.description, SHRINK.params, target=TARGET)
    publish_tasks(store, small, PublishedTask("shrink", "command"))
    noted = task(shrink)
    broker.take_up(noted)

    assert store.job((await noted.kiq("a.png")).task_id).task == "small"


async def test_labels_choose_queue_priority_and_delay(
    shrinking: TaskFunction[Any, Any], store: Store
) -> None:
    kicker = shrinking.kicker().with_labels(queue_name="web", priority="high", delay=60)

    job = store.job((await kicker.kiq("a.png")).task_id)

    assert (job.queue, job.priority, job.state) == ("web", Priority.HIGH, JobState.SCHEDULED)


async def test_a_label_of_a_middleware_travels(broker: JobBroker, store: Store) -> None:
    class Tracing(TaskiqMiddleware):
        def pre_send(self, message: TaskiqMessage) -> TaskiqMessage:
            message.labels["trace"] = "t-1"
            return message

    broker.add_middlewares(Tracing())
    noted = task(shrink)
    broker.take_up(noted)

    await noted.kiq("a.png")

    [entry] = store.claim()
    assert broker.formatter.loads(entry.message).labels == {"trace": "t-1"}


async def test_a_broker_serves_loop_after_loop(
    address: StoreAddress, store: Store, broker: JobBroker
) -> None:
    async def submit_in_a_loop_of_its_own() -> str:
        other = JobBroker(address)
        noted = task(shrink)
        other.take_up(noted)
        sent = await noted.kiq("a.png")
        await other.shutdown()
        return sent.task_id

    first = await asyncio.to_thread(lambda: asyncio.run(submit_in_a_loop_of_its_own()))

    assert first in store.records()


# Results


async def test_wait_result_returns_what_the_annotation_says(
    shrinking: TaskFunction[Any, Any], store: Store
) -> None:
    sent = await shrinking.kiq("a.png")
    waiting = asyncio.create_task(sent.wait_result(timeout=5))
    await until(lambda: is_watched(store, sent.task_id))

    finish_next(store, {"path": "a.png", "day": "2026-11-21"})

    result = await waiting
    assert not result.is_err
    assert result.return_value == Thumbnail(path="a.png", day=date(2026, 11, 21))


async def test_wait_result_asks_the_server_nothing_until_the_job_has_ended(
    shrinking: TaskFunction[Any, Any], store: Store
) -> None:
    sent = await shrinking.kiq("a.png")
    waiting = asyncio.create_task(sent.wait_result(timeout=5))
    await until(lambda: is_watched(store, sent.task_id))
    before = sum(calls_of(store).values())

    await asyncio.wait([waiting], timeout=0.5)

    assert sum(calls_of(store).values()) == before + 1  # the INFO of this test
    finish_next(store, None)
    await waiting


async def test_wait_result_ends_with_its_timeout(shrinking: TaskFunction[Any, Any]) -> None:
    sent = await shrinking.kiq("a.png")

    with pytest.raises(TaskiqResultTimeoutError):
        await sent.wait_result(timeout=0.05)

    assert not await sent.is_ready()


async def test_a_failed_job_has_an_error_that_can_be_raised(
    shrinking: TaskFunction[Any, Any], store: Store
) -> None:
    sent = await shrinking.kiq("a.png")
    [entry] = store.claim()
    error = msgspec.json.encode(JobError("ValueError", "no such file"))
    store.finish(entry, JobState.FAILED, reason=Reason.ERROR, error=error, task="shrink")

    result = await sent.wait_result(timeout=5)

    assert (result.is_err, result.return_value) == (True, None)
    with pytest.raises(JobFailed, match="ValueError: no such file"):
        result.raise_for_error()


async def test_a_result_is_asked_for_too_early(shrinking: TaskFunction[Any, Any]) -> None:
    sent = await shrinking.kiq("a.png")

    with pytest.raises(IllegalTransition, match="has no result yet: it is queued"):
        await sent.get_result()


async def test_progress_is_read_from_the_record(
    shrinking: TaskFunction[Any, Any], store: Store
) -> None:
    sent = await shrinking.kiq("a.png")
    assert await sent.get_progress() is None

    store.command("HSET", store.keys.job(sent.task_id), "progress", b'{"done": 3}')

    progress = await sent.get_progress()
    assert progress is not None
    assert progress.meta == {"done": 3}


# Performing


async def test_a_function_gets_its_dependencies(broker: JobBroker) -> None:
    def settings() -> Iterator[str]:
        yield "small"

    async def shrink_to(path: str, how: Annotated[str, TaskiqDepends(settings)]) -> str:
        return f"{path} {how}"

    value = await perform(Injector(broker), shrink_to, path="a.png")

    assert value == "a.png small"


async def test_a_function_gets_both_contexts_of_its_own_job(broker: JobBroker) -> None:
    async def who(
        ours: Annotated[Context, TaskiqDepends()],
        theirs: Annotated[TaskiqContext, TaskiqDepends()],
    ) -> tuple[str, str, Any]:
        return ours.job_id, theirs.message.task_id, theirs.message.labels

    value = await perform(Injector(broker), who, "job7", {"team": "web"})

    assert value == ("job7", "job7", {"team": "web"})


async def test_a_synchronous_function_is_called_where_the_injector_runs(broker: JobBroker) -> None:
    def work(path: str, ctx: Annotated[Context, TaskiqDepends()]) -> str:
        return f"{path} {ctx.job_id}"

    assert await perform(Injector(broker), work, "job7", path="a") == "a job7"


async def test_arguments_have_the_types_that_the_function_declares(broker: JobBroker) -> None:
    async def fit(size: Size, day: date, db: Annotated[str, TaskiqDepends(lambda: "db")]) -> Any:
        return size, day, db

    value = await perform(Injector(broker), fit, size={"width": 1, "height": 2}, day="2026-11-21")

    assert value == (Size(width=1, height=2), date(2026, 11, 21), "db")


async def test_arguments_that_do_not_fit_are_refused_before_the_call(broker: JobBroker) -> None:
    async def fit(size: Size) -> None:
        raise AssertionError("it must not be called")

    with pytest.raises(InvalidArguments, match="'size' does not fit"):
        await perform(Injector(broker), fit, size={"width": 1})


async def test_a_context_needs_no_default(broker: JobBroker) -> None:
    async def who(ctx: Context, db: Annotated[str, TaskiqDepends(lambda: "db")]) -> str:
        return f"{ctx.job_id} {db}"

    assert await perform(Injector(broker), who, "job7") == "job7 db"


async def test_a_dependency_is_closed_when_the_function_fails(broker: JobBroker) -> None:
    seen: list[object] = []

    async def session() -> AsyncIterator[str]:
        try:
            yield "session"
        except ValueError as error:
            seen.append(str(error))
            raise
        finally:
            seen.append("closed")

    async def fail(db: Annotated[str, TaskiqDepends(session)]) -> None:
        raise ValueError("broken")

    with pytest.raises(ValueError, match="broken"):
        await perform(Injector(broker), fail)

    assert seen == ["broken", "closed"]


async def test_progress_of_taskiq_goes_where_ours_goes(broker: JobBroker) -> None:
    reported: list[bytes] = []

    async def work(tracker: Annotated[ProgressTracker[int], TaskiqDepends()]) -> None:
        await tracker.set_progress("halfway", 50)

    await perform(Injector(broker), work, report=reported.append)

    assert [msgspec.json.decode(each) for each in reported] == [{"state": "halfway", "meta": 50}]


async def test_a_job_that_does_not_want_its_result_completes_without(broker: JobBroker) -> None:
    async def quiet() -> str:
        raise NoResultError

    assert await perform(Injector(broker), quiet) is None


async def test_a_job_cannot_requeue_itself(broker: JobBroker) -> None:
    async def again(ctx: Annotated[TaskiqContext, TaskiqDepends()]) -> None:
        await ctx.requeue()

    with pytest.raises(IllegalTransition, match="cannot requeue itself"):
        await perform(Injector(broker), again)


@dataclasses.dataclass
class Recorder(TaskiqMiddleware):
    """Notes each hook that is called."""

    calls: list[str]

    def pre_execute(self, message: TaskiqMessage) -> TaskiqMessage:
        self.calls.append(f"pre_execute {message.kwargs}")
        return message

    async def post_execute(self, message: TaskiqMessage, result: TaskiqResult[Any]) -> None:
        self.calls.append(f"post_execute {message.kwargs} {result.return_value}")
        result.return_value = f"<{result.return_value}>"

    def on_error(
        self, message: TaskiqMessage, result: TaskiqResult[Any], exception: BaseException
    ) -> None:
        self.calls.append(f"on_error {message.kwargs} {result.is_err} {type(exception).__name__}")

    async def post_save(self, message: TaskiqMessage, result: TaskiqResult[Any]) -> None:
        self.calls.append(f"post_save {message.task_id} {result.return_value}")


async def test_middlewares_surround_the_function(broker: JobBroker) -> None:
    calls: list[str] = []
    broker.add_middlewares(Recorder(calls))
    injector = Injector(broker)
    await injector.startup()

    async def shout(word: str) -> str:
        calls.append("function")
        return word.upper()

    value = await perform(injector, shout, "job7", word="hey")
    await injector.saved("job7")
    await injector.saved("job7")

    assert value == "<HEY>"
    assert calls == [
        "pre_execute {'word': 'hey'}",
        "function",
        "post_execute {'word': 'hey'} HEY",
        "post_save job7 <HEY>",
    ]


async def test_middlewares_are_told_of_an_error_and_it_goes_on(broker: JobBroker) -> None:
    calls: list[str] = []
    broker.add_middlewares(Recorder(calls))

    async def fail() -> None:
        raise ValueError("broken")

    with pytest.raises(ValueError, match="broken"):
        await perform(Injector(broker), fail)

    assert calls == ["pre_execute {}", "on_error {} True ValueError", "post_execute {} None"]


def note(seen: list[TaskiqEvents], event: TaskiqEvents, _: object) -> None:
    seen.append(event)


async def test_events_are_those_of_a_client_or_of_a_worker(address: StoreAddress) -> None:
    seen: list[TaskiqEvents] = []
    broker = JobBroker(address)
    for event in TaskiqEvents:
        broker.add_event_handler(event, partial(note, seen, event))

    await broker.startup()
    await broker.shutdown()
    injector = Injector(broker)
    await injector.startup()
    await injector.shutdown()

    assert seen == [
        TaskiqEvents.CLIENT_STARTUP,
        TaskiqEvents.CLIENT_SHUTDOWN,
        TaskiqEvents.WORKER_STARTUP,
        TaskiqEvents.WORKER_SHUTDOWN,
    ]


# The default broker


async def test_a_function_is_taken_up_at_its_first_kiq(
    tmp_path: Any, monkeypatch: pytest.MonkeyPatch, address: StoreAddress, store: Store
) -> None:
    publish_tasks(store, SHRINK)
    manifest = tmp_path / "jobs.yaml"
    manifest.write_text(f"name: {address.name}\nstore: {{url: 'unix://{address.socket}'}}\n")
    monkeypatch.setenv("JOBRUNNER_FILE", str(manifest))
    default_broker.cache_clear()
    noted = task(shrink)

    sent = await noted.kiq("a.png")

    assert sent.task_id in store.records()
    await default_broker().shutdown()
    default_broker.cache_clear()


async def test_taking_a_function_up_leaves_it_as_it_was(shrinking: TaskFunction[Any, Any]) -> None:
    assert (shrink.__name__, shrink.__qualname__) == ("shrink", "shrink")
    assert shrinking.task_name == "shrink"
