"""A reload: all of a good manifest, nothing of a bad one, and no job cut short."""

import signal
from collections.abc import Callable, Iterator
from contextlib import suppress

import pytest

from jobrunner.chaos.proxy import FaultProxy
from jobrunner.errors import JobNotFound
from jobrunner.model import JobState, Reason
from jobrunner.store.address import StoreAddress
from tests.daemon.harness import PATIENT, ExternalServer, Project, act, eventually

Projects = Callable[..., Project]

MANIFEST = f"""
name: demo
workers: {{processes: 2, slots: 4}}
tasks:
  act: {act("kill_grace: 0.1s")}
  old: {act()}
crons:
  tick: {{task: act, cron: "0 0 1 1 *", params: {{script: "echo old >> tick"}}}}
"""
CHANGED = f"""
name: demo
workers: {{processes: 1, slots: 4}}
tasks:
  act: {act("kill_grace: 0.1s, env: {CHANGED: 'yes'}")}
  new: {act()}
  aside: {act("queue: brand-new")}
crons:
  tick: {{task: act, cron: "* * * * * *", params: {{script: "echo new >> tick"}}}}
"""

# A module that is imported anew by each start and reload, and then waits for the test.
GATE = """
    import time
    from pathlib import Path
    while Path("shut").exists():
        Path("reading").touch()
        time.sleep(0.01)
"""


def shut(demo: Project) -> None:
    """From now on the import of the module waits, until the file is removed."""
    (demo.folder / "shut").touch()


@pytest.fixture
def demo(project: Projects) -> Project:
    demo = project(MANIFEST)
    demo.start()
    return demo


@pytest.fixture(scope="module")
def steady() -> Iterator[Project]:
    """A project whose daemon is never given a good manifest."""
    with Project(MANIFEST) as demo:
        demo.start()
        yield demo


def submit_as_soon_as_known(demo: Project, task: str) -> str:
    """Submit a job of a task that is about to be published; returns the id."""
    while True:
        with suppress(JobNotFound):
            return demo.submit(task, {"script": "true"})


def test_a_reload_takes_up_tasks_crons_and_workers_without_cutting_a_job_short(
    demo: Project,
) -> None:
    before = {worker.pid for worker in demo.workers_ready(2)}
    long = demo.act(PATIENT)
    demo.running(long)
    demo.write(CHANGED)

    # A new task is performed from the moment it is known.
    demo.daemons[0].signal(signal.SIGHUP)
    new = submit_as_soon_as_known(demo, "new")
    demo.daemons[0].wait_for_log("INFO reloaded")
    aside = demo.submit("aside", {"script": "true"})
    changed = demo.act("echo $CHANGED >> changed")
    assert [job.state for job in demo.all_ended([new, aside, changed])] == [JobState.COMPLETED] * 3
    assert demo.lines("changed") == ["yes"]
    assert set(demo.wait_for_lines(1, "tick")) == {"new"}
    # The long job goes on in its old worker, which ends after it.
    assert demo.job(long).state is JobState.RUNNING
    (demo.folder / "running").unlink()
    ended = demo.ended(long)
    assert (ended.state, ended.attempt) == (JobState.COMPLETED, 1)
    [after] = demo.workers_ready(1)
    assert after.pid not in before


def test_the_queued_job_of_a_removed_task_fails_as_unknown(demo: Project) -> None:
    blocker = demo.act(PATIENT)
    demo.running(blocker)
    removed = demo.submit("old", {"script": "true"}, after=blocker)
    demo.write(CHANGED)

    demo.cli("reload").ok()
    (demo.folder / "running").unlink()

    failed = demo.ended(removed)
    assert (failed.state, failed.reason) == (JobState.FAILED, Reason.UNKNOWN_TASK)
    demo.cli("submit", "old", "script=true").refused(3)


def test_a_bad_manifest_changes_nothing_and_the_command_says_why(steady: Project) -> None:
    [daemon] = steady.daemons
    workers = {worker.id for worker in steady.workers_ready(2)}
    steady.write(CHANGED.replace("queue:", "queeu:"))

    refused = steady.cli("reload").refused(2)

    assert "unknown key 'queeu'" in refused
    daemon.wait_for_log("refused the manifest")
    steady.write(MANIFEST)
    assert steady.ended(steady.submit("old", {"script": "true"})).state is JobState.COMPLETED
    assert {worker.id for worker in steady.workers_ready(2)} == workers


def test_another_name_or_store_is_refused(steady: Project) -> None:
    [daemon] = steady.daemons
    steady.write(MANIFEST.replace("name: demo", "name: other"))

    daemon.signal(signal.SIGHUP)

    daemon.wait_for_log("name has changed")
    steady.write(MANIFEST)
    assert steady.ended(steady.act("true")).state is JobState.COMPLETED


def test_jobs_that_come_during_reloads_all_end_once(demo: Project) -> None:
    [daemon] = demo.daemons
    jobs: list[str] = []

    for generation in (2, 3, 4):
        daemon.signal(signal.SIGHUP)

        def is_reloaded(generation: int = generation) -> bool:
            jobs.append(demo.act(f"echo {len(jobs)} >> witness; sleep 0.02"))
            return f"generation={generation}" in daemon.log()

        eventually(is_reloaded)

    ended = demo.all_ended(jobs)
    assert {(job.state, job.attempt) for job in ended} == {(JobState.COMPLETED, 1)}
    assert sorted(map(int, demo.lines())) == list(range(len(jobs)))
    demo.workers_ready(2)


def test_a_change_during_a_reload_is_taken_up_after_it(project: Projects) -> None:
    demo = project(f"imports: [gate]\n{MANIFEST}", {"gate": GATE})
    daemon = demo.start()
    shut(demo)
    daemon.signal(signal.SIGHUP)
    eventually((demo.folder / "reading").exists)

    demo.write(f"imports: [gate]\n{CHANGED}")
    daemon.signal(signal.SIGHUP)
    (demo.folder / "shut").unlink()

    daemon.wait_for_log("generation=3")
    assert demo.ended(demo.submit("new", {"script": "true"})).state is JobState.COMPLETED


def test_signals_during_the_start_stop_the_daemon_or_leave_it_alone(project: Projects) -> None:
    demo = project(f"imports: [gate]\n{MANIFEST}", {"gate": GATE})
    shut(demo)
    daemon = demo.spawn()
    eventually((demo.folder / "reading").exists)

    daemon.signal(signal.SIGHUP)
    daemon.signal(signal.SIGTERM)

    assert daemon.ended() == 0


def test_a_stop_during_a_reload_drains_old_and_new_workers(demo: Project) -> None:
    [daemon] = demo.daemons
    job = demo.act(PATIENT)
    demo.running(job)

    daemon.signal(signal.SIGHUP)
    daemon.signal(signal.SIGTERM)
    daemon.wait_for_log("INFO stopping")
    (demo.folder / "running").unlink()

    assert daemon.ended() == 0
    assert demo.lines() == ["done"]


def test_what_only_the_daemon_refuses_is_told_without_waiting(project: Projects) -> None:
    picky = "import os\nif 'OF_DAEMON' in os.environ: raise RuntimeError('not here')\n"
    demo = project(MANIFEST, {"picky": picky})
    demo.start(environ={"OF_DAEMON": "1"})
    demo.write(f"{MANIFEST}\nimports: [picky]\n")

    result = demo.cli("reload", within=20)  # it would wait 35 s for a good answer

    assert result.code != 0
    assert "the daemon goes on with the manifest it had" in result.err
    demo.write(MANIFEST)
    demo.cli("reload").ok()


def test_a_worker_that_retires_keeps_no_job_that_it_has_not_begun(
    project: Projects, server: ExternalServer
) -> None:
    """Else it would hold them until its last job ends, and that may take hours."""
    with FaultProxy(StoreAddress("demo", url=server.url)) as far:
        far.slow(0.01)  # so that it always waits for the reply to a claim
        far_away = f"store: {{url: '{far.address.url}'}}"
        demo = project(f"{far_away}\n{MANIFEST}".replace("processes: 2", "processes: 1"))
        daemon = demo.start()
        long = demo.act("sleep 60")
        demo.running(long)
        quick = [demo.act("true") for _ in range(250)]

        demo.write(f"{far_away}\n{CHANGED}")
        daemon.signal(signal.SIGHUP)

        assert {job.state for job in demo.all_ended(quick)} == {JobState.COMPLETED}
        demo.client.cancel(long, wait=True)
        daemon.stop()  # while it reaches the store
