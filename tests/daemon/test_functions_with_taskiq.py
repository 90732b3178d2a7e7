"""Programs and functions on both sides of a real daemon: kiq, results, dependencies, hooks."""

import subprocess
import sys
import textwrap
from collections.abc import Iterator

import pytest

from jobrunner.errors import JobFailed, JobNotFound
from jobrunner.model import JobState, Reason
from tests.daemon.harness import Project, eventually

MANIFEST = """
name: shop
imports: [shop]
workers: {processes: 1}
tasks:
  small: {python: 'shop:shrink'}
"""

SHOP = """
from datetime import date
from typing import Annotated

from taskiq import Context as TaskiqContext
from taskiq import TaskiqDepends, TaskiqEvents, TaskiqMiddleware

from jobrunner import Context, task
from jobrunner.broker import default_broker


class Witness(TaskiqMiddleware):
    def note(self, hook, message):
        with open("hooks", "a") as file:
            print(hook, message.task_name, file=file)

    def pre_execute(self, message):
        self.note("pre_execute", message)
        return message

    async def on_error(self, message, result, exception):
        self.note(f"on_error {type(exception).__name__}", message)

    async def post_save(self, message, result):
        self.note("post_save", message)


async def open_database(state):
    state.database = "the database"


default_broker().add_middlewares(Witness())
default_broker().add_event_handler(TaskiqEvents.WORKER_STARTUP, open_database)


def database(ctx: Annotated[TaskiqContext, TaskiqDepends()]) -> str:
    return ctx.state.database


@task
async def greet(
    name: str,
    day: date,
    db: Annotated[str, TaskiqDepends(database)],
    ctx: Annotated[Context, TaskiqDepends()],
) -> dict:
    print(f"greeting {name}")
    return {"hello": name, "year": day.year, "db": db, "job": ctx.job_id}


@task
async def shrink(path: str) -> str:
    return f"small {path}"


@task
async def unspeakable() -> object:
    return object()


@task
async def broken() -> None:
    raise LookupError("no such picture")


@task
async def parent() -> str:
    child = await shrink.kiq("b.png")
    return (await child.wait_result(timeout=20)).return_value


@task
def counted(upto: int, ctx: Annotated[TaskiqContext, TaskiqDepends()]) -> str:
    return f"{sum(range(upto))} in {ctx.message.task_id}"
"""

PROGRAM = """
import asyncio
from datetime import date

import shop


async def main():
    sent = await shop.greet.kiq("ada", day=date(2026, 11, 21))
    result = await sent.wait_result(timeout=20)
    print(result.return_value == {
        "hello": "ada", "year": 2026, "db": "the database", "job": sent.task_id
    })
    small = await shop.shrink.kiq("a.png")
    print((await small.wait_result(timeout=20)).return_value)
    await shop.default_broker().shutdown()


asyncio.run(main())
"""


@pytest.fixture(scope="module")
def shop() -> Iterator[Project]:
    with Project(MANIFEST, {"shop": SHOP}) as project:
        project.start()
        yield project


def test_a_program_submits_functions_and_waits_for_them(shop: Project) -> None:
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(PROGRAM)],
        cwd=shop.folder,
        env=shop.environ,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert (done.stdout.splitlines(), done.stderr) == (["True", "small a.png"], "")


def test_a_function_may_submit_another_and_wait_for_it(shop: Project) -> None:
    assert shop.client.submit("parent").wait(timeout=30) == "small b.png"


def test_a_synchronous_function_gets_its_dependencies_in_its_process(shop: Project) -> None:
    job = shop.client.submit("counted", {"upto": 5})

    assert job.wait(timeout=30) == f"10 in {job.id}"


def test_an_unencodable_result_fails_the_job_instead_of_hanging_the_waiter(shop: Project) -> None:
    with pytest.raises(JobFailed, match="cannot be written as JSON"):
        shop.client.submit("unspeakable").wait(timeout=30)


def test_middlewares_are_told_of_errors_and_of_saved_ends(shop: Project) -> None:
    job = shop.client.submit("broken")

    with pytest.raises(JobFailed, match="LookupError: no such picture"):
        job.wait(timeout=30)

    def told() -> bool:
        """All hooks were called, in order."""
        lines = [line for line in shop.lines("hooks") if line.endswith(" broken")]
        return lines == ["pre_execute broken", "on_error LookupError broken", "post_save broken"]

    eventually(told)


def test_arguments_are_checked_again_by_the_worker(shop: Project) -> None:
    # As a program with an older manifest, or another language, could have submitted it.
    job = shop.client.submit("greet", {"name": "ada", "day": "2026-11-21"}, delay=3600)
    message = b'["greet",{"name":"ada","day":"never"}]'
    shop.execute("HSET", shop.keys.job(job.id), "message", message.decode())
    shop.execute("ZADD", shop.keys.scheduled(), "XX", "1", job.id)
    shop.execute("PUBLISH", shop.keys.wake_channel(), "1")

    ended = shop.ended(job.id)

    assert (ended.state, ended.reason) == (JobState.FAILED, Reason.INVALID_ARGUMENTS)


def test_a_job_of_an_unknown_task_is_a_dead_letter(shop: Project) -> None:
    with pytest.raises(JobNotFound):
        shop.client.submit("greed")
    job = shop.client.submit("small", {"path": "a.png"}, delay=3600)
    shop.execute("HSET", shop.keys.job(job.id), "message", '["gone",{}]')
    shop.execute("ZADD", shop.keys.scheduled(), "XX", "1", job.id)
    shop.execute("PUBLISH", shop.keys.wake_channel(), "1")

    ended = shop.ended(job.id)

    assert (ended.state, ended.reason) == (JobState.FAILED, Reason.UNKNOWN_TASK)
