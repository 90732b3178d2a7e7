"""Functions as jobs: stopped, killed and reloaded like commands."""

import os
import signal
from collections.abc import Iterator

import pytest

from jobrunner.model import JobState, Reason
from tests.daemon.harness import Project, eventually, is_alive

MANIFEST = """
name: demo
workers: {processes: 2, slots: 8}
imports: [shop]
tasks:
  hasty: {python: "shop:hang", timeout: 0.3s, kill_grace: 0.1s}
  hasty-async: {python: "shop:hang_async", timeout: 0.3s, kill_grace: 0.1s}
  hang: {python: "shop:hang", kill_grace: 0.1s}
  hang-async: {python: "shop:hang_async", kill_grace: 0.1s}
  frail: {python: "shop:block_loop", lock_ttl: 1s}
"""
SHOP = """
import asyncio, os, signal, time
from pathlib import Path

from jobrunner import Context, task

VERSION = 1


def note(name, text):
    with Path(name).open("a") as file:
        file.write(f"{text}\\n")


@task
def version() -> int:
    return VERSION


@task
def add(a: int, b: int = 1) -> int:
    print("adding", a, b)
    return a + b


@task
async def add_async(a: int, b: int = 1) -> int:
    print("adding", a, b)
    await asyncio.sleep(0)
    return a + b


@task(retry={"attempts": 3, "delay": 0.01, "exceptions": ["LookupError"]})
def flaky(error: str, ctx: Context) -> int:
    if ctx.attempt < 3:
        raise {"KeyError": KeyError, "ValueError": ValueError}[error]("no")
    return ctx.attempt


def hang(name: str) -> None:
    note(name, os.getpid())
    time.sleep(600)


async def hang_async(name: str) -> None:
    note(name, os.getpid())
    await asyncio.sleep(600)


@task
def die_once(name: str, ctx: Context) -> int:
    note(name, os.getpid())
    if ctx.attempt == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    return ctx.attempt


@task
def slow_once(name: str, ctx: Context) -> int:
    note(name, os.getpid())
    if ctx.attempt == 1:
        time.sleep(600)
    return ctx.attempt


@task
async def block_loop(name: str, seconds: float, ctx: Context) -> int:
    note(name, os.getpid())
    if ctx.attempt == 1:
        time.sleep(seconds)
    return ctx.attempt
"""


@pytest.fixture(scope="module")
def demo() -> Iterator[Project]:
    with Project(MANIFEST, {"shop": SHOP}) as project:
        project.start()
        yield project


@pytest.mark.parametrize("task", ["add", "add_async"])
def test_a_function_returns_its_result_and_its_prints_are_output(demo: Project, task: str) -> None:
    job = demo.ended(demo.submit(task, {"a": 2}))

    assert (job.state, job.result) == (JobState.COMPLETED, 3)
    assert [line.text for line in demo.client.logs(job.id)] == ["adding 2 1"]


@pytest.mark.parametrize(("error", "attempts"), [("KeyError", 3), ("ValueError", 1)])
def test_only_the_listed_exceptions_are_retried(demo: Project, error: str, attempts: int) -> None:
    job = demo.ended(demo.submit("flaky", {"error": error}))

    assert job.attempt == attempts
    if job.state is JobState.FAILED:
        assert job.error is not None
        assert job.error.type == "ValueError"
        assert "shop.py" in (job.error.traceback or "")


@pytest.mark.parametrize("task", ["hasty", "hasty-async"])
def test_a_timeout_stops_a_function(demo: Project, task: str) -> None:
    job = demo.ended(demo.submit(task, {"name": task}))

    assert (job.state, job.reason) == (JobState.FAILED, Reason.TIMEOUT)
    if task == "hasty":
        eventually(lambda: not is_alive(int(demo.lines(task)[0])))


@pytest.mark.parametrize("task", ["hang", "hang-async"])
def test_cancel_stops_a_function(demo: Project, task: str) -> None:
    job = demo.submit(task, {"name": task})
    demo.running(job)
    [pid] = demo.wait_for_lines(1, task)

    demo.cli("cancel", job).ok()

    assert demo.job(job).state is JobState.CANCELLED
    if task == "hang":
        assert not is_alive(int(pid))


def test_a_function_that_kills_its_process_is_lost_and_its_worker_goes_on(demo: Project) -> None:
    workers = {worker.pid for worker in demo.workers_ready(2)}

    job = demo.ended(demo.submit("die_once", {"name": "die"}))

    assert (job.state, job.attempt, job.result) == (JobState.COMPLETED, 2, 2)
    assert {worker.pid for worker in demo.workers_ready(2)} == workers


def test_a_function_dies_with_its_worker_before_it_runs_again(demo: Project) -> None:
    job = demo.submit("slow_once", {"name": "slow"})
    running = demo.running(job)
    [pid] = demo.wait_for_lines(1, "slow")

    os.kill(demo.worker_pid(running), signal.SIGKILL)

    ended = demo.ended(job)
    assert (ended.state, ended.attempt, ended.result) == (JobState.COMPLETED, 2, 2)
    assert not is_alive(int(pid))
    demo.workers_ready(2)


def test_a_function_that_blocks_the_loop_keeps_lease_and_locks() -> None:
    with Project(MANIFEST.replace("processes: 2", "processes: 1"), {"shop": SHOP}) as own:
        own.start_with_leases(0.6)

        job = own.ended(own.submit("frail", {"name": "block", "seconds": 1.5}))

        assert (job.state, job.attempt) == (JobState.COMPLETED, 1)


def test_a_function_that_blocks_the_loop_is_dead_once_its_lock_is_lost(demo: Project) -> None:
    job = demo.submit("frail", {"name": "frail", "seconds": 600})
    [pid] = demo.wait_for_lines(1, "frail")

    demo.cli("locks", "--break", "frail", "--yes").ok()

    ended = demo.ended(job)
    assert (ended.state, ended.attempt) == (JobState.COMPLETED, 2)
    assert not is_alive(int(pid))
    demo.workers_ready(2)


def test_a_reload_runs_the_code_as_it_is_now(demo: Project) -> None:
    assert demo.ended(demo.submit("version")).result == 1
    (demo.folder / "shop.py").write_text(SHOP.replace("VERSION = 1", "VERSION = 22"))

    demo.cli("reload").ok()
    demo.daemons[0].wait_for_log("INFO reloaded")

    assert demo.ended(demo.submit("version")).result == 22


def test_a_module_that_cannot_be_imported_is_refused_at_a_reload(demo: Project) -> None:
    module = demo.folder / "shop.py"
    good = module.read_text()
    module.write_text(good + "\nraise RuntimeError('half an edit')\n")

    refused = demo.cli("reload").refused(2)
    module.write_text(good)

    assert "half an edit" in refused
    assert demo.ended(demo.submit("add_async", {"a": 1})).result == 2
