"""Workers that are stopped beyond their lease: nobody waits for them, nothing they write counts."""

import os
import signal
from collections.abc import Callable

from jobrunner.model import JobState
from tests.daemon.harness import ExternalServer, Project, act, eventually, is_alive
from tests.daemon.test_worker_death import HAUNTED, fences

Projects = Callable[..., Project]

MANIFEST = f"""
name: demo
workers: {{processes: 1, slots: 4}}
tasks:
  act: {act("kill_grace: 0.2s")}
"""


def test_a_stopped_worker_is_ended_with_its_jobs_before_they_run_again(project: Projects) -> None:
    demo = project(MANIFEST)
    demo.start_with_leases(0.6)
    job_id = demo.act(HAUNTED)
    pid = demo.worker_pid(demo.running(job_id))
    eventually(lambda: len(fences(demo, job_id)) > 4)

    os.kill(pid, signal.SIGSTOP)

    ended = demo.ended(job_id)
    assert (ended.state, ended.attempt) == (JobState.COMPLETED, 2)
    assert not is_alive(pid)
    seen = fences(demo, job_id)
    assert (len(set(seen)), seen) == (2, sorted(seen))


def test_a_job_longer_than_its_lease_runs_once(project: Projects) -> None:
    demo = project(MANIFEST)
    demo.start_with_leases(0.4)

    job_id = demo.act("echo $JOBRUNNER_ATTEMPT >> witness; sleep 1.5")

    ended = demo.ended(job_id)
    assert (ended.state, ended.attempt) == (JobState.COMPLETED, 1)
    assert demo.lines() == ["1"]


def test_what_a_worker_writes_after_its_lease_is_refused(
    project: Projects, server: ExternalServer
) -> None:
    # given a job on this host, whose daemon is stopped as a whole
    manifest = f"{MANIFEST}\nstore: {{url: '{server.url}'}}\n"
    here, elsewhere = project(manifest), project(manifest)
    daemon = here.start_with_leases(0.6)
    first = "[ $JOBRUNNER_ATTEMPT = 2 ] || while [ ! -e finish ]; do sleep 0.02; done"
    job_id = here.act(f'{first}; echo $JOBRUNNER_ATTEMPT > "$JOBRUNNER_RESULT"')
    here.running(job_id)
    [stopped] = here.workers_ready(1)
    elsewhere.start_with_leases(0.6, host="elsewhere")
    elsewhere.workers_ready(2)
    daemon.signal(signal.SIGSTOP)
    os.kill(stopped.pid, signal.SIGSTOP)

    # when another host takes the job back, and the first one ends it, too
    ended = elsewhere.ended(job_id)
    (here.folder / "finish").touch()
    eventually(lambda: not here.processes_of(job_id))
    os.kill(stopped.pid, signal.SIGCONT)
    daemon.signal(signal.SIGCONT)
    eventually(lambda: not is_alive(stopped.pid))

    # then the second attempt is what counts
    assert (ended.state, ended.attempt, ended.result) == (JobState.COMPLETED, 2, 2)
    assert elsewhere.job(job_id) == ended


def test_a_worker_that_lost_its_lease_is_replaced(
    project: Projects, server: ExternalServer
) -> None:
    manifest = f"{MANIFEST}\nstore: {{url: '{server.url}'}}\n"
    demo = project(manifest)
    demo.start_with_leases(0.6)
    [first] = demo.workers_ready(1)

    # As if another host had taken it for dead.
    demo.execute("ZREM", demo.keys.workers(), first.id)

    eventually(lambda: not is_alive(first.pid))
    assert demo.ended(demo.act("true")).state is JobState.COMPLETED
