"""Start, stop and restart of the daemon."""

import os
import signal
import socket
import stat
from collections.abc import Callable, Iterator

import psutil
import pytest

from jobrunner.model import JobState
from tests.daemon.harness import PATIENT, Project, act, eventually, is_alive

Projects = Callable[..., Project]

MANIFEST = f"""
name: demo
workers: {{processes: 1, slots: 8, drain: 20s}}
tasks:
  act: {act()}
crons:
  yearly: {{task: act, cron: "0 0 1 1 *", params: {{script: "true"}}}}
"""
ONE_AT_A_TIME = MANIFEST.replace("slots: 8", "slots: 1")
IMPATIENT = MANIFEST.replace("drain: 20s", "drain: 0.2s")


@pytest.fixture(scope="module")
def demo() -> Iterator[Project]:
    with Project(MANIFEST) as project:
        project.start()
        yield project


# What a running daemon keeps others from.


def test_a_second_daemon_on_the_same_state_folder_is_refused_with_the_pid_of_the_first(
    demo: Project,
) -> None:
    first = demo.daemons[0]

    second = demo.cli("run")

    assert f"pid {first.pid}" in second.refused(5)
    assert demo.ended(demo.act("true")).state is JobState.COMPLETED


def test_a_folder_of_another_manifest_is_refused_with_both_paths(demo: Project) -> None:
    other = demo.folder / "other.yaml"
    other.write_text(demo.manifest.read_text())

    refused = demo.cli("run", "--file", str(other)).refused(5)

    assert str(demo.manifest) in refused
    assert str(other) in refused


def test_sockets_and_folders_are_private(demo: Project) -> None:
    found = [demo.state, *demo.state.rglob("*")]

    sockets = [path for path in found if path.is_socket()]
    folders = [path for path in found if path.is_dir()]

    assert (len(sockets), len(folders) >= 2) == (1, True)
    assert {stat.S_IMODE(path.stat().st_mode) for path in sockets + folders} == {0o700}


def test_no_process_of_the_daemon_listens_on_a_port(demo: Project) -> None:
    daemon = psutil.Process(demo.daemons[0].pid)

    processes = [daemon, *daemon.children(recursive=True), psutil.Process(demo.server_pid())]

    assert len(processes) >= 3
    assert [process.net_connections("inet") for process in processes if process.is_running()] == [
        [] for _ in processes
    ]


def test_jobs_begin_in_the_order_of_their_submission(project: Projects) -> None:
    demo = project(ONE_AT_A_TIME)
    demo.start()

    demo.all_ended([demo.act(f"echo {number} >> witness") for number in range(5)])

    assert demo.lines() == [str(number) for number in range(5)]


# Drain.


def test_a_stop_lets_running_jobs_finish(project: Projects) -> None:
    demo = project(MANIFEST)
    daemon = demo.start()
    job = demo.act(PATIENT)
    eventually((demo.folder / "running").exists)

    daemon.signal(signal.SIGTERM)
    daemon.wait_for_log("INFO stopped claiming")
    later = demo.act("echo later >> witness")
    (demo.folder / "running").unlink()

    assert daemon.ended() == 0
    assert demo.lines() == ["done"]
    demo.start()
    assert demo.job(job).state is JobState.COMPLETED
    assert demo.ended(later).attempt == 1


def test_a_job_that_outlasts_the_drain_is_given_back_uncounted(project: Projects) -> None:
    demo = project(IMPATIENT)
    daemon = demo.start()
    job = demo.act('echo "attempt $JOBRUNNER_ATTEMPT" >> witness; [ -e go ] || sleep 600')
    demo.wait_for_lines(1)

    assert daemon.stop() == 0
    left = demo.processes_of(job)
    (demo.folder / "go").touch()
    demo.start()

    assert left == []
    ended = demo.ended(job)
    assert (ended.state, ended.attempt) == (JobState.COMPLETED, 1)
    assert demo.lines() == ["attempt 1", "attempt 1"]


def test_an_interrupt_from_the_terminal_drains_too(project: Projects) -> None:
    demo = project(MANIFEST)
    daemon = demo.start()
    demo.act(PATIENT)
    eventually((demo.folder / "running").exists)

    os.killpg(daemon.pid, signal.SIGINT)  # as a terminal does: to all in the foreground
    daemon.wait_for_log("INFO stopping")
    (demo.folder / "running").unlink()

    assert daemon.ended() == 0
    assert demo.lines() == ["done"]
    assert "Traceback" not in daemon.log()


def test_stop_now_gives_running_jobs_back_uncounted(project: Projects) -> None:
    demo = project(MANIFEST.replace("drain: 20s", "drain: 1h"))
    daemon = demo.start()
    job = demo.act("sleep 600")
    demo.running(job)

    demo.cli("stop", "--now").ok()  # two signals: the second one ends the drain

    assert daemon.ended(within=1) == 0
    assert demo.processes_of(job) == []
    demo.start()
    assert demo.running(job).attempt == 1


# A clean stop.


@pytest.fixture(scope="module")
def stopped() -> Iterator[Project]:
    """A project whose daemon was stopped by the command."""
    with Project(MANIFEST) as project:
        project.start()
        project.workers_ready(1)
        project.cli("stop").ok()
        yield project


def test_the_stop_command_returns_when_the_daemon_has_ended(stopped: Project) -> None:
    [daemon] = stopped.daemons

    assert daemon.ended(within=1) == 0


def test_the_server_is_started_first_and_stopped_last(stopped: Project) -> None:
    [daemon] = stopped.daemons

    lines = [line.split(maxsplit=2)[1:] for line in daemon.log().splitlines()]
    # A container's patience, say, is a warning that depends on where the test runs.
    events = [text.partition("=")[0] for level, text in lines if level == "INFO"]

    # Each process writes its own lines, so those of a worker may come a moment before earlier ones
    # of the daemon. Both have written all of theirs when they end.
    assert events[:2] == ["started the embedded server pid", "started daemon"]
    assert events.count("stopped worker worker") == 1
    assert events[-1] == "stopped daemon"
    server = int(daemon.log().split("embedded server pid=")[1].split()[0])
    assert not is_alive(server)


def test_no_socket_outlives_a_clean_stop(stopped: Project) -> None:
    assert [path for path in stopped.state.rglob("*") if path.is_socket()] == []
    assert "the daemon is not running" in stopped.cli("list").refused(4)


def test_however_many_signals_ask_for_the_stop_the_server_is_stopped(
    project: Projects,
) -> None:
    demo = project(MANIFEST)
    daemon = demo.start()
    server = demo.server_pid()

    while daemon.process.poll() is None:
        daemon.signal(signal.SIGTERM)

    assert daemon.ended() == 0
    assert not is_alive(server)


# What outlives a restart.


def test_jobs_history_and_paused_crons_survive_a_restart(project: Projects) -> None:
    demo = project(MANIFEST)
    daemon = demo.start()
    done = demo.act('echo said; echo \'{"n": 1}\' > "$JOBRUNNER_RESULT"')
    delayed = demo.act("true", delay="1h")
    demo.cli("pause", "yearly").ok()
    demo.ended(done)
    before = demo.job(done)

    daemon.stop()
    demo.start()

    assert demo.job(done) == before
    assert demo.cli("logs", done).out == "said\n"
    assert demo.job(delayed).state is JobState.SCHEDULED
    assert [cron["paused"] for cron in demo.json("crons")] == [True]


def test_once_works_off_what_waits_and_ends(project: Projects) -> None:
    demo = project(MANIFEST)
    demo.start()
    demo.daemons[0].signal(signal.SIGSTOP)
    for worker in demo.workers_ready(1):
        psutil.Process(worker.pid).kill()
    jobs = [demo.act("echo done >> witness") for _ in range(3)]
    demo.daemons[0].kill()

    once = demo.spawn("--once")

    assert once.ended() == 0
    assert demo.lines() == ["done"] * 3
    demo.start()
    assert {job.state for job in demo.all_ended(jobs)} == {JobState.COMPLETED}


def test_the_host_of_a_daemon_is_told(demo: Project) -> None:
    [daemon] = demo.json("status")["daemons"]

    assert (daemon["host"], daemon["pid"]) == (socket.gethostname(), demo.daemons[0].pid)
    assert daemon["state"] == "running"


# Signals, folders.


def test_a_signal_that_means_nothing_here_ends_neither_daemon_nor_worker(
    project: Projects,
) -> None:
    demo = project(MANIFEST)
    daemon = demo.start()
    [worker] = demo.workers_ready(1)
    job = demo.act(PATIENT)
    eventually((demo.folder / "running").exists)

    for number in (signal.SIGUSR1, signal.SIGUSR2):
        daemon.signal(number)
        os.kill(worker.pid, number)
    os.kill(worker.pid, signal.SIGQUIT)
    eventually(lambda: daemon.log().count("ignored a signal") == 5)
    (demo.folder / "running").unlink()

    assert demo.ended(job).attempt == 1
    daemon.signal(signal.SIGQUIT)
    assert daemon.ended() == 0


def test_an_ordinary_stop_warns_of_nothing(project: Projects) -> None:
    demo = project(MANIFEST)
    daemon = demo.start()
    demo.ended(demo.act("true"))

    assert daemon.stop() == 0

    stopping = daemon.log().partition("stopping")[2]
    assert [line for line in stopping.splitlines() if "WARNING" in line or "ERROR" in line] == []


def test_jobs_run_in_the_folder_that_a_deploy_has_made_anew(project: Projects) -> None:
    demo = project(MANIFEST.replace("tasks:", "tasks:\n  where: {python: 'mods:where'}", 1))
    (demo.folder / "mods.py").write_text("import os\ndef where(): return os.getcwd()\n")
    demo.start()
    assert demo.ended(demo.submit("where")).result == str(demo.folder)
    old = demo.folder.rename(f"{demo.folder}-old")
    demo.folder.mkdir()
    for name in os.listdir(old):
        os.rename(old / name, demo.folder / name)  # the state is of the same daemon
    old.rmdir()

    job = demo.act("pwd >> witness")
    assert demo.ended(job).state is JobState.COMPLETED
    assert demo.lines()[-1:] == [str(demo.folder)]
    assert demo.ended(demo.submit("where")).result == str(demo.folder)
