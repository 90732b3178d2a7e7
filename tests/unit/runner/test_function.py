"""Attempts of asynchronous functions in the loop."""

import asyncio
import logging
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager

import msgspec
import pytest
from msgspec.structs import replace

from jobrunner.clock import SystemClock
from jobrunner.model import Reason
from jobrunner.runner.attempt import Attempt, Ended, Outcome, Stop, StopReason
from jobrunner.runner.calling import load_callee
from jobrunner.runner.capture import install_capture
from jobrunner.runner.function import FunctionRunner, direct_invoke
from jobrunner.runner.output import Output
from jobrunner.store.logs import Stream
from tests.unit.runner.conftest import MakeAttempt, MemorySink

pytestmark = pytest.mark.anyio
Run = Callable[..., Awaitable[Outcome]]


@pytest.fixture
def progress() -> list[bytes]:
    return []


@pytest.fixture
def runner(progress: list[bytes]) -> FunctionRunner:
    return FunctionRunner(SystemClock(), lambda _attempt, value: progress.append(value))


@contextmanager
def captured() -> Iterator[None]:
    """stdout, stderr and logging are routed, and put back afterwards."""
    root = logging.getLogger()
    kept = (sys.stdout, sys.stderr, list(root.handlers), root.level)
    install_capture(asyncio.get_running_loop())
    try:
        yield
    finally:
        sys.stdout, sys.stderr = kept[:2]
        root.handlers[:] = kept[2]
        root.setLevel(kept[3])


@pytest.fixture
def run(runner: FunctionRunner, output: Output, make_attempt: MakeAttempt) -> Run:
    async def run(name: str, stop: Stop | None = None, **task: object) -> Outcome:
        attempt = make_attempt(python=f"tests.unit.runner.demo:{name}", **task)
        return await perform(runner, attempt, output, stop or Stop())

    return run


async def perform(runner: FunctionRunner, attempt: Attempt, output: Output, stop: Stop) -> Outcome:
    callee = load_callee(attempt.task.python or "")
    outcome = await runner.run(attempt, direct_invoke(callee, attempt), output, stop)
    await output.close()
    return outcome


async def test_a_function_gets_its_arguments_and_gives_its_result(run: Run) -> None:
    outcome = await run("add", arguments={"a": 2})

    assert (outcome.ended, outcome.result) == (Ended.COMPLETED, b"3")


async def test_a_function_that_asks_for_the_context_gets_it(run: Run) -> None:
    outcome = await run("tell", number=2)

    told = msgspec.json.decode(outcome.result or b"")
    assert told == {"id": "job", "attempt": 2, "fence": "7", "task": "demo"}


async def test_an_exception_fails_the_attempt_with_the_users_part_of_the_traceback(
    run: Run,
) -> None:
    outcome = await run("fail")

    error = outcome.error
    assert error is not None
    assert (outcome.ended, outcome.reason) == (Ended.FAILED, Reason.ERROR)
    assert (error.type, error.message) == ("ValueError", "it broke")
    assert "KeyError: 'inner'" in (error.traceback or "")
    assert "demo.py" in (error.traceback or "")
    assert "jobrunner/runner" not in (error.traceback or "")
    assert {"ValueError", "builtins.ValueError", "Exception"} <= set(outcome.exceptions)


async def test_a_long_message_is_cut(run: Run) -> None:
    outcome = await run("fail", arguments={"text": "x" * 100_000})

    assert outcome.error is not None
    assert len(outcome.error.message) < 5_000
    assert len(outcome.error.traceback or "") < 17_000


async def test_leaving_the_program_fails_the_attempt_only(run: Run) -> None:
    outcome = await run("leave")

    assert outcome.error is not None
    assert (outcome.error.type, outcome.error.message) == ("SystemExit", "called sys.exit(3)")


async def test_a_result_that_cannot_be_written_fails_the_attempt(run: Run) -> None:
    outcome = await run("unwritable")

    assert outcome.error is not None
    assert (outcome.ended, outcome.error.type) == (Ended.FAILED, "result")
    assert "of type object, cannot be written as JSON" in outcome.error.message


async def test_a_wrong_argument_is_the_reason(run: Run) -> None:
    outcome = await run("add", arguments={"a": 1, "c": 2})

    assert outcome.error is not None
    assert outcome.error.type == "TypeError"


async def test_a_timeout_cancels_the_function(run: Run) -> None:
    outcome = await run("hang", timeout="0.1s")

    assert outcome.reason is Reason.TIMEOUT
    assert outcome.duration.total_seconds() < 1


async def test_a_function_that_ignores_its_cancellation_is_left_behind(run: Run) -> None:
    began = time.monotonic()
    others = asyncio.all_tasks()

    outcome = await run(
        "ignore_cancellation", arguments={"seconds": 1.0}, timeout="0.1s", kill_grace="0.2s"
    )

    assert outcome.reason is Reason.TIMEOUT
    assert 0.3 <= time.monotonic() - began < 0.9
    await asyncio.wait(asyncio.all_tasks() - others)


@pytest.mark.parametrize(
    ("reason", "ended"),
    [
        (StopReason.CANCEL, Ended.CANCELLED),
        (StopReason.SHUTDOWN, Ended.ABANDONED),
        (StopReason.LEASE_LOST, Ended.ABANDONED),
    ],
)
async def test_a_stop_ends_the_attempt_as_its_reason_says(
    run: Run, reason: StopReason, ended: Ended
) -> None:
    stop = Stop()
    asyncio.get_running_loop().call_later(0.05, stop.set, reason)

    assert (await run("hang", stop)).ended is ended


async def test_a_stop_from_another_thread_arrives(run: Run) -> None:
    stop = Stop()
    loop = asyncio.get_running_loop()
    running = asyncio.ensure_future(run("hang", stop))

    await asyncio.to_thread(stop.set_from_thread, loop, StopReason.CANCEL)

    assert (await running).ended is Ended.CANCELLED


async def test_a_stop_that_came_first_is_obeyed_at_once(run: Run) -> None:
    stop = Stop()
    stop.set(StopReason.CANCEL)

    outcome = await run("hang", stop)

    assert outcome.ended is Ended.CANCELLED
    assert outcome.duration.total_seconds() < 0.5


async def test_a_function_that_cancels_itself_has_failed(run: Run) -> None:
    outcome = await run("cancels_itself")

    assert outcome.ended is Ended.FAILED
    assert outcome.error is not None
    assert outcome.error.type == "CancelledError"


async def test_64_jobs_that_print_at_once_keep_their_output_apart(
    runner: FunctionRunner, sink: MemorySink, make_attempt: MakeAttempt
) -> None:
    names = [f"j{number}" for number in range(64)]

    async def perform_one(name: str) -> None:
        attempt = make_attempt(python="tests.unit.runner.demo:chatter", arguments={"name": name})
        output = Output(name, 1, "1", sink, SystemClock())
        await perform(runner, replace(attempt, job_id=name), output, Stop())

    with captured():
        await asyncio.gather(*map(perform_one, names))

    for name in names:
        printed = [f"{name}:{number}" for number in range(20)] + [f"{name}:thread"]
        assert sink.texts(Stream.STDOUT, name) == printed
        assert sink.texts(Stream.STDERR, name) == [f"INFO demo: {name}"] * 20


async def test_what_is_printed_outside_of_jobs_goes_where_it_went(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with captured():
        print("the worker itself")

    assert capsys.readouterr().out == "the worker itself\n"


async def test_progress_is_written_seldom_and_the_last_one_always(
    run: Run, progress: list[bytes]
) -> None:
    await run("report", arguments={"count": 100})

    assert progress == [b'{"step":0}', b'{"step":99}']


async def test_a_secret_argument_is_masked_in_errors(run: Run) -> None:
    outcome = await run(
        "fail", arguments={"text": "token tok-123 refused"}, params={"text": {"secret": True}}
    )

    assert outcome.error is not None
    assert "tok-123" not in outcome.error.message + (outcome.error.traceback or "")


async def test_a_secret_argument_is_masked_in_result_and_progress(
    run: Run, progress: list[bytes]
) -> None:
    outcome = await run(
        "return_and_tell", arguments={"text": "tok-123"}, params={"text": {"secret": True}}
    )

    assert (outcome.result, progress) == (b'{"got":"***"}', [b'{"at":"***"}'])


async def test_of_a_secret_where_a_message_is_cut_no_part_is_left(run: Run) -> None:
    secret = "sesame-" * 5

    outcome = await run("fail_long", arguments={"text": secret}, params={"text": {"secret": True}})

    assert "sesame" not in str(outcome.error)
