"""The client for programs, against a real server; the test itself is the worker."""

import contextlib
import os
import warnings
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest

from jobrunner.client import AsyncClient, Client, JobRequest
from jobrunner.errors import (
    IllegalTransition,
    InvalidArguments,
    JobFailed,
    JobNotFound,
    JobTimeout,
    StoreUnavailable,
    UsageError,
)
from jobrunner.model import JobError, JobState, Priority, Reason
from jobrunner.params import ParamSpec, ParamType
from jobrunner.store.address import StoreAddress
from jobrunner.store.published import PublishedTask
from tests.store.clients import (
    DEMO,
    RESIZE,
    CutLine,
    calls_of,
    eventually,
    in_background,
    is_watched,
    publish_tasks,
)
from tests.store.factories import Store

TOMORROW = datetime(2126, 11, 21, 1, tzinfo=UTC)


@pytest.fixture
def client(address: StoreAddress, store: Store) -> Iterator[Client]:
    """A client of a namespace with two published tasks, and a worker."""
    publish_tasks(store, DEMO, RESIZE)
    store.add_worker()
    with Client(address.name, socket=address.socket) as opened:
        yield opened


@pytest.fixture
def cut_line(store_socket: str, tmp_path: Path) -> Iterator[CutLine]:
    line = CutLine(tmp_path / "line", store_socket)
    yield line
    line.close()


def finish_next(store: Store, result: object = None) -> None:
    """Do what a worker does with the next job."""
    [entry] = store.claim()
    store.finish(entry, result=msgspec.json.encode(result))


def resize_request() -> JobRequest:
    return JobRequest("resize", {"path": "a.png"})


def fork() -> int:
    with warnings.catch_warnings():
        # Newer Pythons warn of forks beside threads; the child only waits and ends.
        warnings.simplefilter("ignore", DeprecationWarning)
        return os.fork()


def kill_subscriptions(store: Store) -> None:
    store.command("CLIENT", "KILL", "TYPE", "pubsub")


# Submitting


def test_a_submit_makes_a_queued_job(client: Client, store: Store) -> None:
    job = client.submit("demo", {"n": 3})

    assert job.state is JobState.QUEUED
    assert job.job().arguments == {"n": 3}
    assert [entry.job_id for entry in store.claim()] == [job.id]


def test_queue_priority_and_defaults_are_those_of_the_published_task(client: Client) -> None:
    job = client.submit("resize", {"path": "a.png"}).job()

    assert (job.queue, job.priority) == ("web", Priority.HIGH)
    assert job.arguments == {"path": "a.png", "width": 200}


def test_a_submit_may_choose_queue_and_priority(client: Client) -> None:
    job = client.submit("resize", {"path": "a.png"}, queue="slow", priority="low").job()

    assert (job.queue, job.priority) == ("slow", Priority.LOW)


def test_an_unknown_task_is_refused_with_the_nearest_name(client: Client) -> None:
    with pytest.raises(JobNotFound) as caught:
        client.submit("resise")

    assert caught.value.what == "no task 'resise'"
    assert caught.value.fix == "did you mean 'resize'?"


def test_a_namespace_without_a_daemon_yet_says_so(address: StoreAddress) -> None:
    with (
        Client(address.name, socket=address.socket) as client,
        pytest.raises(JobNotFound) as caught,
    ):
        client.submit("demo")

    assert "no daemon has run" in caught.value.what
    assert caught.value.fix == "start it with `jobrunner run`"


def test_a_batch_with_one_wrong_job_makes_none(client: Client, store: Store) -> None:
    with pytest.raises(InvalidArguments):
        client.submit_many("demo", [{"n": 1}, {"n": "many"}])

    assert store.records() == {}


def test_many_jobs_are_made_with_one_call_per_five_hundred(client: Client, store: Store) -> None:
    client.submit("demo")
    before = calls_of(store)["evalsha"]

    jobs = client.submit_many("demo", [{"n": n} for n in range(1001)])

    assert calls_of(store)["evalsha"] == before + 3
    assert len({job.id for job in jobs}) == 1001


def test_each_task_of_a_batch_is_asked_for_once(client: Client, store: Store) -> None:
    before = calls_of(store)["hget"]

    client.submit_batch([*(JobRequest("demo") for _ in range(3)), resize_request()])

    assert calls_of(store)["hget"] == before + 2


def test_references_of_one_job_are_equal(client: Client) -> None:
    job, other = client.submit_batch([JobRequest("demo"), JobRequest("demo")])

    assert client.ref(job.id) == job
    assert other != job
    assert {job, other, client.ref(job.id)} == {job, other}
    assert repr(job) == f"JobRef(id={job.id!r})"


def test_a_batch_may_be_of_several_tasks_and_of_texts(client: Client) -> None:
    first, second = client.submit_batch(
        [JobRequest("demo", {"n": "7"}, from_text=True), resize_request()]
    )

    assert first.job().arguments == {"n": 7}
    assert second.job().task == "resize"


def test_a_submit_is_one_round_trip_once_the_task_is_known(client: Client, store: Store) -> None:
    client.submit("demo")
    before = calls_of(store)

    client.submit("demo")

    after = calls_of(store)
    assert after["evalsha"] == before["evalsha"] + 1
    # The script itself looks once for the record; the manifest is not asked.
    assert after["exists"] == before["exists"] + 1
    assert after["hget"] == before["hget"]


@pytest.mark.parametrize("delay", [60, "1m", 60.0])
def test_a_delayed_job_is_scheduled(client: Client, delay: float | str) -> None:
    job = client.submit("demo", delay=delay).job()

    assert job.state is JobState.SCHEDULED
    assert job.due_at is not None
    assert (job.due_at - job.created_at).total_seconds() == 60


def test_a_job_may_be_due_at_an_instant(client: Client) -> None:
    assert client.submit("demo", at=TOMORROW).job().due_at == TOMORROW


def test_an_instant_without_a_time_zone_is_refused(client: Client) -> None:
    with pytest.raises(UsageError, match="no time zone"):
        client.submit("demo", at=TOMORROW.replace(tzinfo=None))


@pytest.mark.parametrize("wrong", ["../etc/passwd", "@last", "", "a b", "x" * 201])
def test_an_id_that_could_be_a_path_or_a_word_of_the_cli_is_refused(
    client: Client, wrong: str
) -> None:
    with pytest.raises(UsageError):
        client.submit("demo", id=wrong)


def test_a_wrong_priority_or_delay_is_refused(client: Client, store: Store) -> None:
    with pytest.raises(UsageError, match="no priority 'urgent'"):
        client.submit("demo", priority="urgent")  # type: ignore[arg-type]  # that is the point
    with pytest.raises(UsageError, match="`delay` cannot be used"):
        client.submit("demo", delay="soon")

    assert store.records() == {}


def test_a_key_gives_the_first_job_back(client: Client) -> None:
    first = client.submit("demo", key="order-1")

    again = client.submit("demo", key="order-1")

    assert again == first
    assert again.submitted is not None
    assert not again.submitted.is_new


def test_a_job_after_another_waits_for_it(client: Client) -> None:
    first = client.submit("demo")

    assert client.submit("demo", after=first.id).state is JobState.BLOCKED


def test_a_submit_whose_reply_was_lost_makes_one_job(
    address: StoreAddress, store: Store, cut_line: CutLine
) -> None:
    publish_tasks(store, DEMO)
    with Client(address.name, socket=cut_line.path) as client:
        client.submit("demo")
        cut_line.replies_to_lose = 1

        job = client.submit("demo")

    assert cut_line.replies_to_lose == 0
    assert job.id in store.records()
    assert len(store.records()) == 2


def test_a_server_that_is_not_there_is_reported_at_once(tmp_path: Path) -> None:
    client = Client("shop", socket=str(tmp_path / "nothing"))

    with pytest.raises(StoreUnavailable) as caught:
        client.submit("demo")

    assert caught.value.fix == "start it with `jobrunner run`"


def test_a_durable_submit_is_refused_by_a_server_without_append_only_file(client: Client) -> None:
    with pytest.raises(StoreUnavailable) as caught:
        client.submit("demo", durable=True)

    assert "appendonly" in str(caught.value.fix)


def test_a_durable_submit_returns_when_the_job_is_on_disk(client: Client, store: Store) -> None:
    store.command("CONFIG", "SET", "appendonly", "yes")
    try:
        job = client.submit("demo", durable=True)
    finally:
        store.command("CONFIG", "SET", "appendonly", "no")

    assert job.state is JobState.QUEUED


# Waiting


def test_a_wait_returns_the_result(client: Client, store: Store) -> None:
    job = client.submit("demo")

    with in_background(lambda: job.wait(timeout=5)) as waiting:
        eventually(lambda: is_watched(store, job.id))
        finish_next(store, {"thumbnail": "a.png"})

        assert waiting.result() == {"thumbnail": "a.png"}


def test_a_wait_for_a_job_that_has_ended_returns_at_once(client: Client, store: Store) -> None:
    job = client.submit("demo")
    finish_next(store, 42)

    assert job.wait(timeout=0.5) == 42


def test_a_wait_asks_the_server_nothing_until_the_job_has_ended(
    client: Client, store: Store
) -> None:
    job = client.submit("demo")
    with in_background(lambda: job.wait(timeout=5)) as waiting:
        eventually(lambda: is_watched(store, job.id))
        before = sum(calls_of(store).values())

        with pytest.raises(TimeoutError):
            waiting.result(timeout=0.3)

        asked = sum(calls_of(store).values()) - before
        finish_next(store)
        waiting.result()
    assert asked == 1  # the INFO of this test


def test_a_failed_job_raises_with_its_record(client: Client, store: Store) -> None:
    job = client.submit("demo")
    [entry] = store.claim()
    error = msgspec.json.encode(JobError("ValueError", "no such file"))
    store.finish(entry, JobState.FAILED, reason=Reason.ERROR, error=error)

    with pytest.raises(JobFailed) as caught:
        job.wait()

    assert str(caught.value) == f"job {job.id} of task 'demo' failed: ValueError: no such file"
    assert caught.value.job.reason is Reason.ERROR


def test_a_cancelled_job_raises_for_who_waits(client: Client) -> None:
    job = client.submit("demo")
    client.cancel(job.id)

    with pytest.raises(JobFailed, match="was cancelled"):
        job.wait()


def test_a_wait_ends_with_its_timeout_and_the_job_goes_on(client: Client) -> None:
    job = client.submit("demo")

    with pytest.raises(JobTimeout, match=f"job {job.id} had not ended after 0.05 s"):
        job.wait(timeout=0.05)

    assert job.state is JobState.QUEUED


def test_a_wait_for_several_jobs_returns_them_in_order_however_they_ended(
    client: Client, store: Store
) -> None:
    jobs = client.submit_many("demo", [{"n": n} for n in range(3)])
    client.cancel(jobs[1].id)
    for entry in store.claim():
        store.finish(entry)

    ended = client.wait([job.id for job in jobs], timeout=5)

    assert [job.state for job in ended] == ["completed", "cancelled", "completed"]


def test_a_wait_for_an_unknown_job_says_so(client: Client) -> None:
    with pytest.raises(JobNotFound):
        client.ref("nosuchjob").wait()


def test_a_wait_survives_the_loss_of_its_subscription(client: Client, store: Store) -> None:
    job = client.submit("demo")
    with in_background(lambda: job.wait(timeout=5)) as waiting:
        eventually(lambda: is_watched(store, job.id))

        kill_subscriptions(store)
        finish_next(store, "late")

        assert waiting.result() == "late"


def test_a_second_wait_uses_the_same_subscription(client: Client, store: Store) -> None:
    first, second = client.submit("demo"), client.submit("demo")
    for entry in store.claim():
        store.finish(entry)
    first.wait()
    before = calls_of(store)["subscribe"]

    second.wait()

    assert calls_of(store)["subscribe"] == before


def test_a_forked_process_listens_for_itself(client: Client, store: Store) -> None:
    first, second = client.submit("demo"), client.submit("demo")
    for entry in store.claim():
        store.finish(entry)
    first.wait()
    before = calls_of(store)["subscribe"]

    child = fork()
    if child == 0:
        try:
            second.wait(timeout=5)
            os._exit(0)
        finally:
            os._exit(1)

    assert os.waitpid(child, 0)[1] == 0
    assert calls_of(store)["subscribe"] == before + 1


def test_threads_may_wait_on_one_client(client: Client, store: Store) -> None:
    jobs = client.submit_many("demo", [{"n": 1}, {"n": 2}])
    with (
        in_background(lambda: jobs[0].wait(timeout=5)) as first,
        in_background(lambda: jobs[1].wait(timeout=5)) as second,
    ):
        eventually(lambda: all(is_watched(store, job.id) for job in jobs))

        for number, entry in enumerate(store.claim()):
            store.finish(entry, result=msgspec.json.encode(number))

        assert (first.result(), second.result()) == (0, 1)


# Reading, cancelling, retrying, deleting


def test_a_waiting_job_is_cancelled_at_once(client: Client) -> None:
    job = client.submit("demo")

    assert job.cancel()
    assert job.state is JobState.CANCELLED


def test_a_claimed_job_is_cancelled_by_its_worker(client: Client, store: Store) -> None:
    job = client.submit("demo")
    [entry] = store.claim()

    assert not job.cancel()
    with in_background(lambda: job.cancel(wait=True, timeout=5)) as cancelling:
        eventually(lambda: is_watched(store, job.id))
        store.finish(entry, JobState.CANCELLED)

        assert cancelling.result()


def test_a_job_that_has_ended_is_not_cancelled(client: Client, store: Store) -> None:
    job = client.submit("demo")
    finish_next(store)

    with pytest.raises(IllegalTransition):
        job.cancel()


def test_a_finished_job_is_retried_and_deleted(client: Client, store: Store) -> None:
    job = client.submit("demo")
    finish_next(store)

    client.retry(job.id)
    assert job.state is JobState.QUEUED

    finish_next(store)
    client.delete(job.id)
    with pytest.raises(JobNotFound):
        job.job()


def test_a_live_job_is_not_deleted(client: Client) -> None:
    job = client.submit("demo")

    with pytest.raises(IllegalTransition, match="it is queued"):
        client.delete(job.id)


def test_the_logs_of_an_unknown_job_are_an_error_and_of_a_silent_one_are_empty(
    client: Client,
) -> None:
    job = client.submit("demo")

    assert job.logs() == []
    with pytest.raises(JobNotFound):
        client.logs("nosuchjob")


# The manifest


def test_a_client_finds_its_store_by_the_manifest(tmp_path: Path) -> None:
    manifest = tmp_path / "jobs.yaml"
    manifest.write_text("name: shop\nstore: {url: 'redis://localhost:1/0'}\n")

    client, other = Client.from_manifest(manifest), AsyncClient.from_manifest(str(manifest))

    expected = StoreAddress("shop", url="redis://localhost:1/0")
    assert (client.address, other.address) == (expected, expected)


DEEP: Any = []
for _ in range(3000):
    DEEP = [DEEP]
HUGE = 10**5000
LONE = "\ud800"


@pytest.mark.parametrize(
    "job_id", ["nightly@2026-12-01T02:00:00Z", "a@2026-12-01T02:00:00Z+skipped", "up@boot-1a2b3c4d"]
)
def test_the_id_of_a_crons_job_cannot_be_taken(client: Client, store: Store, job_id: str) -> None:
    with pytest.raises(UsageError, match="cannot be the id of a submitted job"):
        client.submit("demo", id=job_id)

    assert client.submit("demo", id="me@example.org").state is JobState.QUEUED


@pytest.mark.parametrize(
    "value", [DEEP, HUGE, LONE, float("nan")], ids=["deep", "huge", "lone", "nan"]
)
def test_no_argument_breaks_out_of_the_errors_of_jobrunner(client: Client, value: Any) -> None:
    with pytest.raises(InvalidArguments) as caught:
        client.submit("resize", {"path": value})

    assert len(caught.value.what) < 300


def test_an_argument_of_any_type_that_is_too_deep_is_refused(client: Client, store: Store) -> None:
    publish_tasks(store, PublishedTask("free", "python", params=[ParamSpec("v", ParamType.ANY)]))
    for depth in range(900, 1100, 5):
        value: Any = []
        for _ in range(depth):
            value = [value]
        with contextlib.suppress(InvalidArguments):
            client.submit("free", {"v": value})
    with pytest.raises(InvalidArguments):
        client.submit("free", {"v": DEEP})


@pytest.mark.parametrize("option", ["key", "queue", "after", "id"])
@pytest.mark.parametrize("value", [LONE, "\x1b[2J", "a\0b", "x" * 100_000])
def test_no_name_breaks_out_of_the_errors_of_jobrunner(
    client: Client, option: str, value: str
) -> None:
    with pytest.raises((UsageError, JobNotFound)) as caught:
        client.submit("demo", **{option: value})  # type: ignore[arg-type]

    assert len(caught.value.what) < 200


@pytest.mark.parametrize("value", [LONE, "x" * 100_000])
def test_a_task_or_job_of_no_usable_name_is_told_in_short(client: Client, value: str) -> None:
    asks: list[Callable[[str], object]] = [
        client.submit,
        client.job,
        client.cancel,
        client.retry,
        client.delete,
        client.logs,
    ]
    for ask in asks:
        with pytest.raises((UsageError, JobNotFound)) as caught:
            ask(value)
        assert len(caught.value.what) < 200


@pytest.mark.parametrize("queue", ["../x", "x" * 65, ":", "default\x1b"])
def test_a_queue_of_a_submit_has_a_name_as_in_the_manifest(client: Client, queue: str) -> None:
    with pytest.raises(UsageError, match="cannot be a queue"):
        client.submit("demo", queue=queue)


def test_a_key_has_at_most_512_bytes(client: Client) -> None:
    job = client.submit("demo", key="ü" * 256)

    assert client.submit("demo", key="ü" * 256) == job
    with pytest.raises(UsageError, match="cannot be the key"):
        client.submit("demo", key="ü" * 257)
