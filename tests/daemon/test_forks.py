"""Functions that fork: the child is nobody's host or worker, however it ends."""

import os
import signal
from collections.abc import Callable
from typing import Any

import pytest

from jobrunner.model import JobState
from tests.daemon.harness import Project, eventually, is_alive

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")

MANIFEST = """
    imports: [forking]
    workers: {processes: 1, slots: 8}
    tasks:
      echo: {command: [echo, hello], timeout: 20s}
"""

# What the children do after the fork, by name; the parents tell how they ended.
FORKING = """
    import asyncio, concurrent.futures, multiprocessing, os, signal, sys, threading, time
    from jobrunner import Context, task


    def behave(how):
        match how:
            case "return":
                return "from the child"
            case "exit":
                sys.exit(3)
            case "exit with words":
                sys.exit("that was it")
            case "raise":
                raise ValueError("the child broke")
            case "_exit":
                os._exit(4)
            case "exec":
                os.execv("/bin/sh", ["sh", "-c", "exit 5"])


    def status_of(pid):
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


    @task
    def forks(how: str):
        pid = os.fork()
        return ["parent", status_of(pid)] if pid else behave(how)


    @task
    async def aforks(how: str):
        pid = os.fork()
        if pid:
            return ["parent", await asyncio.to_thread(status_of, pid)]
        if how == "wait":
            await asyncio.sleep(0)
        return behave(how)


    def fork_in_a_thread(how):
        pid = os.fork()
        return ["parent", status_of(pid)] if pid else behave(how)


    @task
    def forks_in_a_thread(how: str):
        found = []
        thread = threading.Thread(target=lambda: found.append(fork_in_a_thread(how)))
        thread.start()
        thread.join()
        return found[0]


    @task
    def forks_in_a_pool(how: str):
        with concurrent.futures.ThreadPoolExecutor() as pool:
            return pool.submit(fork_in_a_thread, how).result()


    @task
    async def aforks_in_a_pool(how: str):
        return await asyncio.to_thread(fork_in_a_thread, how)


    @task
    async def aforks_in_a_task(how: str):
        async def fork():
            pid = os.fork()
            return pid or behave(how)

        _, pid = await asyncio.gather(asyncio.sleep(0), fork())
        return ["parent", await asyncio.to_thread(status_of, pid)]


    @task
    async def aforks_in_a_callback():
        pids = []
        asyncio.get_running_loop().call_soon(lambda: pids.append(os.fork()))
        await asyncio.sleep(0.05)
        return ["parent", await asyncio.to_thread(status_of, pids[0])]


    def square(x):
        return x * x


    def is_untraced(_):
        return sys.getprofile() is None


    @task
    def maps():
        with multiprocessing.get_context("fork").Pool(2) as pool:
            return pool.map(square, range(4))


    @task
    async def amaps():
        loop = asyncio.get_running_loop()
        context = multiprocessing.get_context("fork")
        with concurrent.futures.ProcessPoolExecutor(2, mp_context=context) as pool:
            return [await loop.run_in_executor(pool, work, 3) for work in (square, is_untraced)]


    @task
    async def aruns():
        process = await asyncio.create_subprocess_exec(
            "/bin/sh", "-c", "kill -TERM $$", stdin=asyncio.subprocess.DEVNULL
        )
        return await process.wait()


    @task
    def prints_before_forking():
        sys.stdout.write("once ")
        pid = os.fork()
        if not pid:
            sys.stdout.write("child")
            return
        status_of(pid)
        print(" parent")


    @task
    def reports_in_the_child(ctx: Context):
        pid = os.fork()
        if not pid:
            ctx.progress("from the child")
            return
        return status_of(pid)


    @task
    def leaves_one(seconds: float):
        pid = os.fork()
        if not pid:
            os.setsid()
            time.sleep(seconds)
            return
        return pid


    @task
    async def aleaves_one(seconds: float):
        pid = os.fork()
        if not pid:
            os.setsid()
            time.sleep(seconds)
            return
        return pid


    @task
    def other(n: int):
        time.sleep(0.01)
        return n


    @task
    async def aother(n: int):
        await asyncio.sleep(0.01)
        return n
"""

# How a child behaves, and its exit code.
ENDS = {"return": 0, "exit": 3, "exit with words": 1, "raise": 1, "_exit": 4, "exec": 5}


@pytest.fixture
def started(project: Callable[..., Project]) -> Project:
    made = project(MANIFEST, {"forking": FORKING})
    made.start()
    return made


def results(started: Project, task: str, params: list[dict[str, Any]]) -> list[Any]:
    """What jobs of a task, submitted together, have given; all have to complete."""
    jobs = started.all_ended([started.submit(task, given) for given in params])
    assert {job.state for job in jobs} == {JobState.COMPLETED}, [job.error for job in jobs]
    return [job.result for job in jobs]


def assert_others_are_right(started: Project) -> None:
    """All jobs of other functions get their own results, from the same two processes or more."""
    numbers: list[dict[str, Any]] = [{"n": number} for number in range(30)]
    assert results(started, "other", numbers) == list(range(30))
    assert results(started, "aother", numbers) == list(range(30))


@pytest.mark.parametrize("task", ["forks", "aforks"])
def test_a_forked_child_ends_by_its_exit_code_and_its_parent_gives_the_result(
    started: Project, task: str
) -> None:
    found = results(started, task, [{"how": how} for how in ENDS])

    assert found == [["parent", code] for code in ENDS.values()]
    assert_others_are_right(started)
    assert len(started.workers()) == 1
    # What the child of an async function says goes where the worker's own goes.
    is_in_log = "ValueError: the child broke" in started.daemons[0].log()
    assert is_in_log == (task == "aforks")


@pytest.mark.parametrize("task", ["forks_in_a_thread", "forks_in_a_pool", "aforks_in_a_pool"])
def test_a_child_that_a_thread_has_forked_ends_with_the_function_of_the_thread(
    started: Project, task: str
) -> None:
    found = results(started, task, [{"how": how} for how in ("return", "_exit", "exec")])

    assert found == [["parent", 0], ["parent", 4], ["parent", 5]]
    assert_others_are_right(started)


def test_a_child_of_an_async_function_never_goes_back_to_the_loop(started: Project) -> None:
    waited = results(started, "aforks", [{"how": "wait"}])
    in_tasks = results(started, "aforks_in_a_task", [{"how": how} for how in ("return", "raise")])
    in_callbacks = results(started, "aforks_in_a_callback", [{}])

    assert waited == [["parent", 1]]
    assert in_tasks == [["parent", 0], ["parent", 1]]
    assert in_callbacks == [["parent", 0]]
    assert "it waited for something in the event loop" in started.daemons[0].log()
    assert_others_are_right(started)


def test_pools_of_processes_and_programs_work_in_functions(started: Project) -> None:
    assert results(started, "maps", [{}]) == [[0, 1, 4, 9]]
    assert results(started, "amaps", [{}]) == [[9, True]]  # at full speed: nothing traces them
    assert results(started, "aruns", [{}]) == [-signal.SIGTERM]
    assert len(started.workers()) == 1
    assert "Traceback" not in started.daemons[0].log()


def test_what_was_printed_before_a_fork_is_printed_once(started: Project) -> None:
    job_id = started.submit("prints_before_forking")
    started.ended(job_id)

    assert [line.text for line in started.client.logs(job_id)] == ["once child parent"]


def test_a_child_cannot_tell_progress_in_the_name_of_the_function(started: Project) -> None:
    job_id = started.submit("reports_in_the_child")
    job = started.ended(job_id)

    assert (job.result, job.progress) == (1, None)
    assert any("only by the process that" in line.text for line in started.client.logs(job_id))


@pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="this system has no /proc")
@pytest.mark.parametrize("task", ["leaves_one", "aleaves_one"])
def test_a_child_that_stays_holds_nothing_of_its_parent(
    started: Project, cleanup: Any, task: str
) -> None:
    [pid] = results(started, task, [{"seconds": 60}])
    cleanup.callback(_kill, pid)

    def is_apart() -> bool:
        """The child has none of its parent's sockets."""
        # The pair by which signals wake an event loop leads to nobody but the worker's own loop.
        return len(_sockets(pid)) <= (2 if task == "aleaves_one" else 0)

    eventually(is_apart)
    [echo] = started.all_ended([started.submit("echo")])
    assert echo.finished_at is not None
    assert echo.started_at is not None
    assert (echo.finished_at - echo.started_at).total_seconds() < 0.9  # waits for no open pipe


def test_a_signal_to_a_child_of_the_worker_is_not_for_the_worker(
    started: Project, cleanup: Any
) -> None:
    [pid] = results(started, "aleaves_one", [{"seconds": 60}])
    cleanup.callback(_kill, pid)
    [worker] = started.workers()

    os.kill(pid, signal.SIGTERM)

    eventually(lambda: not is_alive(pid))
    assert_others_are_right(started)
    assert [each.id for each in started.workers()] == [worker.id]


def _sockets(pid: int) -> list[str]:
    folder = f"/proc/{pid}/fd"
    opened = [os.readlink(f"{folder}/{number}") for number in os.listdir(folder)]
    return [path for path in opened if path.startswith("socket:")]


def _kill(pid: int) -> None:
    if is_alive(pid):
        os.kill(pid, signal.SIGKILL)
