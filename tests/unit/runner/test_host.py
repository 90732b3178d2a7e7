"""Attempts of synchronous functions in function hosts."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest

from jobrunner.clock import SystemClock
from jobrunner.model import Reason
from jobrunner.runner.attempt import Ended, Outcome, Stop, StopReason
from jobrunner.runner.hostpool import HostPool
from jobrunner.runner.hoststart import HostSettings
from jobrunner.runner.leftovers import Ours, find_leftovers
from jobrunner.runner.output import Output
from jobrunner.runner.processes import ProcessRegistry
from jobrunner.store.logs import Stream
from tests.unit.runner.conftest import (
    MakeAttempt,
    MemorySink,
    eventually,
    is_alive,
    message_of,
)

pytestmark = pytest.mark.anyio
Run = Callable[..., Awaitable[Outcome]]
ROOT = Path(__file__).parents[3]


@pytest.fixture
def progress() -> list[tuple[str, bytes]]:
    return []


@pytest.fixture
def registry() -> ProcessRegistry:
    return ProcessRegistry(f"host-test-{os.getpid()}")


@pytest.fixture
def settings(registry: ProcessRegistry, progress: list[tuple[str, bytes]]) -> HostSettings:
    # With PYTHONUNBUFFERED, C code would not buffer its output either.
    environ = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    return HostSettings(
        processes=registry,
        folder=ROOT,
        environ=environ,
        clock=SystemClock(),
        write_progress=lambda attempt, value: progress.append((attempt.job_id, value)),
    )


@pytest.fixture
async def pool(settings: HostSettings) -> AsyncIterator[HostPool]:
    pool = HostPool(settings, slots=64)
    yield pool
    await pool.close()


@pytest.fixture
def run(pool: HostPool, sink: MemorySink, make_attempt: MakeAttempt) -> Run:
    async def run(name: str, stop: Stop | None = None, job: str = "job", **task: Any) -> Outcome:
        attempt = make_attempt(python=f"tests.unit.runner.demo:{name}", **task)
        output = Output(job, 1, "1", sink, SystemClock())
        outcome = await pool.run(
            msgspec.structs.replace(attempt, job_id=job), output, stop or Stop()
        )
        await output.close()
        return outcome

    return run


async def test_a_function_gets_its_arguments_and_gives_its_result(run: Run) -> None:
    outcome = await run("sync_add", arguments={"a": 2})

    assert (outcome.ended, outcome.result) == (Ended.COMPLETED, b"3")


async def test_a_host_is_used_again(run: Run) -> None:
    outcomes = [await run("sync_sleep", arguments={"seconds": 0}) for _ in range(3)]

    assert len({outcome.result for outcome in outcomes}) == 1


async def test_dependencies_of_taskiq_and_handlers_of_its_events_work(
    pool: HostPool, output: Output, make_attempt: MakeAttempt
) -> None:
    attempt = make_attempt(python="tests.unit.runner.demo_taskiq:sync_depends", arguments={"a": 2})

    outcomes = [await pool.run(attempt, output, Stop()) for _ in range(2)]

    assert [outcome.result for outcome in outcomes] == [b"42", b"42"]


async def test_a_forked_child_does_not_end_the_dependencies_of_its_parent(
    settings: HostSettings, output: Output, make_attempt: MakeAttempt, tmp_path: Path
) -> None:
    ends = tmp_path / "ends"
    pool = HostPool(replace(settings, environ={**settings.environ, "TEST_PATH": str(ends)}), 1)
    attempt = make_attempt(python="tests.unit.runner.demo_taskiq:sync_forks")

    outcome = await pool.run(attempt, output, Stop())
    await pool.close()

    host, code = msgspec.json.decode(outcome.result or b"")
    assert code == 0
    assert ends.read_text() == f"{host}\n"


async def test_the_context_and_its_progress_cross_the_processes(
    run: Run, progress: list[tuple[str, bytes]]
) -> None:
    outcome = await run("sync_tell", job="j1", number=2)

    told = msgspec.json.decode(outcome.result or b"")
    assert (told["id"], told["attempt"]) == ("j1", 2)
    assert told["pid"] != os.getpid()
    assert progress == [("j1", b"50")]


async def test_everything_a_function_prints_is_its_output(run: Run, sink: MemorySink) -> None:
    for text in ("one", "two"):
        await run("sync_print", job=text, arguments={"text": text})

    for text in ("one", "two"):
        printed = [text, f"{text} from a child", f"{text} from C"]
        assert sink.texts(Stream.STDOUT, text) == printed
        assert sink.texts(Stream.STDERR, text) == [f"{text} to stderr", f"INFO demo: {text} logged"]


async def test_a_function_that_closes_its_stdout_leaves_one_to_the_next(
    run: Run, sink: MemorySink
) -> None:
    first = await run("sync_close_stdout", job="first", arguments={"text": "report"})
    await run("sync_print", job="second", arguments={"text": "two"})

    assert first.ended is Ended.COMPLETED
    assert sink.texts(Stream.STDOUT, "first") == ["report"]
    assert sink.texts(Stream.STDOUT, "second") == ["two", "two from a child", "two from C"]


async def test_an_exception_that_is_not_utf_8_fails_the_attempt_with_its_text(run: Run) -> None:
    outcome = await run("sync_fail_oddly")

    assert outcome.reason is Reason.ERROR
    assert outcome.error is not None
    assert (outcome.error.type, outcome.error.message) == ("ValueError", r"gr\udcfcn.txt")


async def test_an_exception_fails_the_attempt(run: Run) -> None:
    outcome = await run("sync_fail")

    assert outcome.error is not None
    assert (outcome.error.type, outcome.error.message) == ("ValueError", "it broke")
    assert "demo.py" in (outcome.error.traceback or "")
    assert "jobrunner/runner" not in (outcome.error.traceback or "")
    assert "ValueError" in outcome.exceptions


async def test_leaving_the_program_fails_the_attempt_only(run: Run) -> None:
    outcome = await run("sync_leave")

    assert outcome.error is not None
    assert (outcome.reason, outcome.error.type) == (Reason.ERROR, "SystemExit")


async def test_a_module_that_cannot_be_imported_fails_the_attempt(
    pool: HostPool, output: Output, make_attempt: MakeAttempt
) -> None:
    outcome = await pool.run(make_attempt(python="no.such.module:f"), output, Stop())

    assert outcome.error is not None
    assert outcome.error.type == "ModuleNotFoundError"


@pytest.mark.parametrize(
    ("function", "arguments", "how"),
    [
        ("sync_exit", {"code": 3}, "exited with code 3"),
        ("sync_crash", {}, "was killed by SIGSEGV"),
    ],
)
async def test_a_host_that_dies_loses_its_own_attempt_only(
    run: Run, function: str, arguments: dict[str, Any], how: str
) -> None:
    neighbour = asyncio.ensure_future(run("sync_sleep", job="n", arguments={"seconds": 0.3}))

    outcome = await run(function, arguments=arguments)

    assert (outcome.ended, outcome.reason) == (Ended.FAILED, Reason.LOST)
    assert message_of(outcome) == f"its function host {how}"
    assert (await neighbour).ended is Ended.COMPLETED
    assert (await run("sync_add", arguments={"a": 1})).ended is Ended.COMPLETED


async def test_a_crash_shows_where_in_python_it_happened(run: Run, sink: MemorySink) -> None:
    await run("sync_crash")

    assert any("demo.py" in text for text in sink.texts(Stream.STDERR))


async def test_a_timeout_ends_the_function_after_its_clean_up(run: Run, tmp_path: Path) -> None:
    outcome = await run("sync_hang", arguments={"folder": str(tmp_path)}, timeout="0.2s")

    assert outcome.reason is Reason.TIMEOUT
    assert (tmp_path / "cleaned").exists()
    assert not is_alive(int((tmp_path / "host.pid").read_text()))


async def test_a_c_call_that_hangs_is_killed_after_the_grace(run: Run, tmp_path: Path) -> None:
    outcome = await run(
        "sync_hang_in_c", arguments={"folder": str(tmp_path)}, timeout="0.2s", kill_grace="0.3s"
    )

    assert outcome.reason is Reason.TIMEOUT
    assert 0.5 <= outcome.duration.total_seconds() < 3
    assert not is_alive(int((tmp_path / "host.pid").read_text()))


@pytest.mark.parametrize(
    ("reason", "ended"),
    [(StopReason.CANCEL, Ended.CANCELLED), (StopReason.LEASE_LOST, Ended.ABANDONED)],
)
async def test_a_stop_ends_the_attempt_as_its_reason_says(
    run: Run, tmp_path: Path, reason: StopReason, ended: Ended
) -> None:
    stop = Stop()
    running = asyncio.ensure_future(run("sync_hang", stop, arguments={"folder": str(tmp_path)}))
    await eventually((tmp_path / "host.pid").exists)

    stop.set(reason)

    assert (await running).ended is ended


async def test_what_a_function_started_is_stopped_with_it(run: Run, tmp_path: Path) -> None:
    outcome = await run("sync_child", arguments={"folder": str(tmp_path)}, timeout="0.3s")

    assert outcome.reason is Reason.TIMEOUT
    assert not is_alive(int((tmp_path / "child.pid").read_text()))


async def test_long_calls_run_side_by_side(run: Run) -> None:
    began = time.monotonic()

    calls = (run("sync_sleep", job=f"j{n}", arguments={"seconds": 1.0}) for n in range(6))
    outcomes = await asyncio.gather(*calls)

    assert len({outcome.result for outcome in outcomes}) == 6
    assert time.monotonic() - began < 5


async def test_short_calls_share_a_few_hosts(run: Run, registry: ProcessRegistry) -> None:
    await run("sync_add", arguments={"a": 1})

    calls = (run("sync_add", job=f"j{n}", arguments={"a": n}) for n in range(64))
    outcomes = await asyncio.gather(*calls)

    assert [outcome.result for outcome in outcomes] == [b"%d" % (n + 1) for n in range(64)]
    assert len(list(find_leftovers(registry.worker, Ours(registry.owner)))) < 16


async def test_an_idle_host_is_ended(
    settings: HostSettings, output: Output, make_attempt: MakeAttempt, registry: ProcessRegistry
) -> None:
    pool = HostPool(settings, slots=2, idle=timedelta(seconds=0.1))
    attempt = make_attempt(python="tests.unit.runner.demo:sync_add", arguments={"a": 1})

    await pool.run(attempt, output, Stop())

    await eventually(lambda: list(find_leftovers(registry.worker, Ours(registry.owner))) == [])
    await pool.close()


async def test_a_call_that_waits_for_a_host_can_be_cancelled(
    settings: HostSettings, sink: MemorySink, make_attempt: MakeAttempt, tmp_path: Path
) -> None:
    pool = HostPool(settings, slots=1)
    attempt = make_attempt(
        python="tests.unit.runner.demo:sync_hang", arguments={"folder": str(tmp_path)}
    )
    stops = [Stop(), Stop()]
    outputs = [Output(name, 1, "1", sink, SystemClock()) for name in "ab"]
    first, second = (
        asyncio.ensure_future(pool.run(attempt, output, stop))
        for output, stop in zip(outputs, stops, strict=True)
    )
    await eventually((tmp_path / "host.pid").exists)

    stops[1].set(StopReason.CANCEL)
    assert (await second).ended is Ended.CANCELLED
    assert not first.done()

    stops[0].set(StopReason.CANCEL)
    assert (await first).ended is Ended.CANCELLED
    await pool.close()


async def test_an_interpreter_that_does_not_start_fails_the_attempt(
    settings: HostSettings, output: Output, make_attempt: MakeAttempt
) -> None:
    broken = replace(settings, environ={**settings.environ, "PYTHONHOME": "/nowhere"})
    pool = HostPool(broken, slots=1)

    outcome = await pool.run(make_attempt(python="demo:f"), output, Stop())

    assert outcome.ended is Ended.FAILED
    assert message_of(outcome) == "a new function host exited with code 1"
    await pool.close()


async def test_an_attempt_whose_host_is_killed_as_it_starts_is_lost(
    settings: HostSettings, output: Output, make_attempt: MakeAttempt, tmp_path: Path
) -> None:
    (tmp_path / "sitecustomize.py").write_text("import os; os.kill(os.getpid(), 9)")
    doomed = replace(settings, environ={**settings.environ, "PYTHONPATH": str(tmp_path)})
    pool = HostPool(doomed, slots=1)

    outcome = await pool.run(make_attempt(python="demo:f"), output, Stop())

    assert outcome.reason is Reason.LOST
    assert message_of(outcome).startswith("a new function host was killed by SIGKILL")
    await pool.close()


async def test_the_heartbeat_can_kill_a_jobs_host(
    run: Run, registry: ProcessRegistry, tmp_path: Path
) -> None:
    running = asyncio.ensure_future(run("sync_hang", arguments={"folder": str(tmp_path)}))
    await eventually((tmp_path / "host.pid").exists)
    assert registry.group_of("job") is not None

    await asyncio.to_thread(registry.kill_job, "job")

    assert (await running).reason is Reason.LOST


WORKER = """
import asyncio, os, sys
from pathlib import Path
from jobrunner.clock import SystemClock
from jobrunner.manifest.spec import Task
from jobrunner.runner.attempt import Attempt, Stop
from jobrunner.runner.hoststart import HostSettings
from jobrunner.runner.hostpool import HostPool
from jobrunner.runner.output import Output
from jobrunner.runner.leftovers import Ours, find_leftovers
from jobrunner.runner.processes import ProcessRegistry
from tests.unit.runner.conftest import MemorySink

async def main(folder):
    clock = SystemClock()
    settings = HostSettings(ProcessRegistry("w"), Path("."), dict(os.environ), clock, None)
    task = Task(python="tests.unit.runner.demo:sync_hang_in_c")
    attempt = Attempt("j", "t", task, 1, "1", "q", "w", "n", Path("."), {"folder": folder})
    output = Output("j", 1, "1", MemorySink(), clock)
    await HostPool(settings, 1).run(attempt, output, Stop())

asyncio.run(main(sys.argv[1]))
"""


async def test_a_host_dies_with_its_worker_even_in_the_midst_of_a_call(tmp_path: Path) -> None:
    worker = subprocess.Popen([sys.executable, "-c", WORKER, str(tmp_path)], cwd=ROOT)
    await eventually((tmp_path / "host.pid").exists)
    host = int((tmp_path / "host.pid").read_text())

    worker.send_signal(signal.SIGKILL)
    worker.wait()

    await eventually(lambda: not is_alive(host))


def test_a_host_loads_neither_pydantic_nor_taskiq() -> None:
    script = (
        "import sys, jobrunner.runner.hostchild\n"
        "print([name for name in ('pydantic', 'taskiq', 'redis', 'psutil') if name in sys.modules])"
    )

    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )

    assert done.stdout == "[]\n"


async def test_a_secret_argument_is_masked_in_result_and_progress(
    run: Run, progress: list[tuple[str, bytes]]
) -> None:
    outcome = await run(
        "sync_return_and_tell", arguments={"text": "tok-123"}, params={"text": {"secret": True}}
    )

    assert (outcome.result, progress) == (b'{"got":"***"}', [("job", b'{"at":"***"}')])


async def test_of_a_secret_where_a_message_is_cut_no_part_is_left(run: Run) -> None:
    secret = "sesame-" * 5

    outcome = await run(
        "sync_fail_long", arguments={"text": secret}, params={"text": {"secret": True}}
    )

    assert "sesame" not in str(outcome.error)
