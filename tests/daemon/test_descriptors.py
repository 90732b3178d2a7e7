"""What a job has open: 0, 1 and 2, however it is started, whatever its daemon was given."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

from jobrunner.model import JobState
from tests.daemon.harness import START_WITHIN_S, Daemon, Project, eventually

pytestmark = pytest.mark.skipif(
    not os.path.isdir("/proc/self/fd"), reason="what is open is read from /proc"
)
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root may change the user")

LISTING = """
    import json, os
    found = {}
    for number in os.listdir("/proc/self/fd"):
        try:
            found[number] = os.readlink(f"/proc/self/fd/{number}")
        except OSError:
            pass  # that of the listing itself
    print(json.dumps(found))
"""
FUNCTIONS = """
    import asyncio, os, subprocess, sys
    from jobrunner import task

    LIST = [sys.executable, "-I", "listing.py"]
    subprocess.run(LIST, close_fds=False, stdout=open(f"imported-{os.getpid()}", "w"))


    def fork_and_execute():
        pid = os.fork()
        if not pid:
            os.execv(LIST[0], LIST)
        os.waitpid(pid, 0)


    def start(how):
        match how:
            case "subprocess":
                subprocess.run(LIST, close_fds=False)
            case "system":
                os.system(" ".join(LIST))
            case "fork":
                fork_and_execute()
            case "spawn":
                os.waitpid(os.posix_spawn(LIST[0], LIST, os.environ), 0)


    @task
    def starts(how: str):
        start(how)


    @task
    async def astarts(how: str):
        if how == "asyncio":
            process = await asyncio.create_subprocess_exec(*LIST)
            await process.wait()
        else:
            start(how)
"""
PLAIN = ("plain", "elsewhere", "narrow", "gated", "nice", "shell")
AS_ANOTHER = ("other", "other_gated", "other_nice")
WAYS = ("subprocess", "system", "fork", "spawn")


# For users who may not start this Python: the shell has itself listed, and waits for that.
MANIFEST = """
    imports: [starting]
    workers: {processes: 1}
    adhoc: true
    tasks:
      plain: {command: [PYTHON, -I, FOLDER/listing.py]}
      elsewhere: {command: [PYTHON, -I, FOLDER/listing.py], cwd: /}
      narrow: {command: [PYTHON, -I, FOLDER/listing.py], umask: "077"}
      gated: {command: [PYTHON, -I, FOLDER/listing.py], limits: {files: 64}}
      nice: {command: [PYTHON, -I, FOLDER/listing.py], nice: 5}
      shell: {shell: PYTHON -I FOLDER/listing.py}
      other: {shell: "ls -l /proc/$$/fd; true", user: nobody}
      other_gated: {shell: "ls -l /proc/$$/fd; true", user: nobody, limits: {files: 64}}
      other_nice: {shell: "ls -l /proc/$$/fd; true", user: nobody, nice: 5}
"""


@pytest.fixture
def started(project: Callable[..., Project], cleanup: Any) -> Project:
    """Its daemon was given a descriptor by its parent, as a careless program does."""
    made = project("", {"listing": LISTING, "starting": FUNCTIONS})
    made.folder.chmod(0o755)
    made.write(MANIFEST.replace("PYTHON", sys.executable).replace("FOLDER", str(made.folder)))
    (made.folder / "secret").write_text("of the daemon's parent")
    opened = os.open(made.folder / "secret", os.O_RDONLY)
    cleanup.callback(os.close, opened)
    log = made.folder / "daemon-1.log"
    with log.open("w") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "jobrunner", "run"],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            pass_fds=[opened],
            text=True,
            env=made.environ,
            cwd=made.folder,
            process_group=0,
        )
    made.daemons.append(Daemon(process, log))
    made.daemons[0].wait_for_log("INFO started daemon=", START_WITHIN_S)
    return made


def of_job(started: Project, job_id: str) -> dict[str, str]:
    """What the job has found open, with pipes as such."""
    job = started.ended(job_id)
    assert job.state is JobState.COMPLETED, job.error
    lines = [line.text for line in started.client.logs(job_id)]
    if lines[0].startswith("{"):
        return in_text(lines[0])
    links = [line.split(" -> ") for line in lines if " -> " in line]
    return as_kinds({name.split()[-1]: path for name, path in links})


def in_text(text: str) -> dict[str, str]:
    return as_kinds(json.loads(text))


def as_kinds(found: dict[str, str]) -> dict[str, str]:
    """With the word `pipe` for each of them."""
    return {number: "pipe" if "pipe:" in path else path for number, path in found.items()}


CLEAN = {"0": "/dev/null", "1": "pipe", "2": "pipe"}


@pytest.mark.parametrize(
    "tasks", [PLAIN, pytest.param(AS_ANOTHER, marks=needs_root)], ids=["own", "user"]
)
def test_a_command_has_nothing_open_but_its_three_streams(
    started: Project, tasks: tuple[str, ...]
) -> None:
    found = {task: of_job(started, started.submit(task)) for task in tasks}

    assert found == dict.fromkeys(tasks, CLEAN)


def test_a_command_without_a_task_has_nothing_open_but_its_three_streams(started: Project) -> None:
    said = started.cli("exec", "--wait", "--", sys.executable, "-I", "listing.py").ok()

    assert of_job(started, said.out.split()[0]) == CLEAN


def test_what_a_function_starts_has_nothing_open_but_its_three_streams(started: Project) -> None:
    found = {way: of_job(started, started.submit("starts", {"how": way})) for way in WAYS}

    assert found == dict.fromkeys(WAYS, CLEAN)


def test_what_an_async_function_starts_has_the_streams_of_the_worker(started: Project) -> None:
    ways = (*WAYS, "asyncio")
    for way in ways:
        assert started.ended(started.submit("astarts", {"how": way})).state is JobState.COMPLETED

    log = started.daemons[0].log_path

    def listed() -> list[str]:
        return [line for line in log.read_text().splitlines() if line.startswith("{")]

    eventually(lambda: len(listed()) >= len(ways))  # by way of the daemon
    found = [in_text(line) for line in listed()]
    streams = CLEAN
    assert found[:-1] == [streams] * len(WAYS)
    # uvloop leaves a program copies of its three streams under other numbers.
    assert {**found[-1], **streams} == found[-1]
    assert set(found[-1].values()) == set(streams.values())


def test_what_a_module_starts_at_import_has_nothing_of_who_imports_it(started: Project) -> None:
    started.ended(started.submit("starts", {"how": "system"}))

    def all_lists() -> list[Path]:
        return list(started.folder.glob("imported-*"))

    # The child that looks for tasks, the worker and the function host.
    eventually(lambda: len(all_lists()) == 3)
    for path in all_lists():
        found = in_text(path.read_text())
        assert sorted(found) == ["0", "1", "2"]
        assert found["0"] == "/dev/null"


def test_no_process_below_the_daemon_has_what_its_parent_had_open(started: Project) -> None:
    started.ended(started.submit("starts", {"how": "system"}))

    below = psutil.Process(started.daemons[0].pid).children(recursive=True)

    assert len(below) >= 4  # server, guard, worker, function host
    for process in below:
        opened = [file.path for file in process.open_files()]
        assert str(started.folder / "secret") not in opened, process.cmdline()
