"""A killed supervisor: its guard kills what its workers had started, and nothing else."""

import os
import signal
from collections.abc import Callable

import psutil

from jobrunner.model import JobState
from jobrunner.runner.proctable import descendants
from tests.daemon.harness import PATIENT, Daemon, Project, act, eventually, is_alive

Projects = Callable[..., Project]

MANIFEST = f"""
name: demo
workers: {{processes: 1, slots: 4}}
tasks:
  act: {act("kill_grace: 0.1s")}
"""


def guards(daemon: Daemon) -> list[psutil.Process]:
    """The guard's shell, once it waits, and what it waits with."""
    own = psutil.Process(daemon.pid).children()
    [shell] = [child for child in own if "jobrunner-guard" in child.cmdline()]
    eventually(shell.children)
    return [shell, *shell.children()]


def start_a_job(demo: Project) -> tuple[str, list[int]]:
    """A job that would go on for ever, and its processes."""
    job_id = demo.act("setsid sleep 600 & sleep 600")
    demo.running(job_id)
    return job_id, eventually(lambda: _all_of(demo, job_id))


def _all_of(demo: Project, job_id: str) -> list[int] | None:
    found = demo.processes_of(job_id)
    return found if len(found) >= 3 else None


def test_the_commands_of_a_killed_supervisor_die_without_another_daemon(project: Projects) -> None:
    demo = project(MANIFEST)
    daemon = demo.start()
    job_id, _ = start_a_job(demo)
    guard = guards(daemon)

    daemon.kill()

    eventually(lambda: not demo.processes_of(job_id))
    eventually(lambda: not any(is_alive(process.pid) for process in guard))
    assert is_alive(demo.server_pid())


def test_a_guard_outlives_the_killed_process_group_of_its_supervisor(project: Projects) -> None:
    demo = project(MANIFEST)
    daemon = demo.start()
    job_id, _ = start_a_job(demo)

    os.killpg(daemon.pid, signal.SIGKILL)
    daemon.ended()

    eventually(lambda: not demo.processes_of(job_id))


def test_a_guard_that_is_killed_is_started_again(project: Projects) -> None:
    demo = project(MANIFEST)
    daemon = demo.start()
    job_id, _ = start_a_job(demo)
    first = guards(daemon)

    first[0].kill()
    daemon.wait_for_log("lost the guard")
    eventually(lambda: not any(is_alive(process.pid) for process in first))
    daemon.kill()

    eventually(lambda: not demo.processes_of(job_id))


def test_a_guard_that_loses_its_pipe_kills_nothing_while_its_supervisor_lives(
    project: Projects,
) -> None:
    demo = project(MANIFEST)
    daemon = demo.start()
    job_id = demo.act(PATIENT)
    demo.running(job_id)

    guards(daemon)[1].kill()
    daemon.wait_for_log("lost the guard")
    (demo.folder / "running").unlink()

    ended = demo.ended(job_id)
    assert (ended.state, ended.attempt) == (JobState.COMPLETED, 1)


def test_a_guard_without_a_job_ends_with_its_supervisor(project: Projects) -> None:
    demo = project(MANIFEST)
    daemon = demo.start()
    guard = guards(daemon)

    daemon.kill()

    eventually(lambda: not any(is_alive(process.pid) for process in guard))


def test_a_stop_leaves_no_process(project: Projects) -> None:
    demo = project(MANIFEST)
    daemon = demo.start()
    demo.workers_ready(1)
    below = [*descendants(daemon.pid), demo.server_pid()]
    assert {process.pid for process in guards(daemon)} <= set(below)

    assert daemon.stop() == 0

    eventually(lambda: not any(is_alive(pid) for pid in below))
    assert "lost the guard" not in daemon.log()


def test_a_guard_leaves_another_daemon_of_its_host_alone(project: Projects) -> None:
    one, other = project(MANIFEST), project(MANIFEST)
    killed = one.start()
    lost, _ = start_a_job(one)
    other.start()
    kept = other.act(PATIENT)
    other.running(kept)

    killed.kill()

    eventually(lambda: not one.processes_of(lost))
    (other.folder / "running").unlink()
    assert other.ended(kept).attempt == 1


def test_a_waiting_guard_costs_little_memory(project: Projects) -> None:
    demo = project(MANIFEST)
    daemon = demo.start()

    own = sum(process.memory_full_info().uss for process in guards(daemon))

    assert own < 2_000_000
