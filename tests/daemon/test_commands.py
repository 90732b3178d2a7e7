"""Commands and scripts as a user meets them: options in values, folders, interpreters, output."""

import re
import shutil
from collections.abc import Callable, Iterator

import pytest

from jobrunner.message import Message, encode
from jobrunner.model import JobState, Reason
from jobrunner.store.submission import Submission, submit
from tests.daemon.harness import Project

Projects = Callable[..., Project]

MANIFEST = """
name: demo
workers: {processes: 1}
include: [jobs.d/*.yaml]
x-slow: &slow {timeout: 2m}
tasks:
  show: {<<: *slow, command: [echo, "{what}"], params: {what: {}}}
  where: {command: [pwd], cwd: "sites/{site}", params: {site: {}}}
  noisy: {shell: "echo fine; echo '2 rows odd' >&2"}
  fatal: {command: [echo, "FATAL: x"], fail_when: {output: ^FATAL}}
  pipe: {shell: "false | cat", interpreter: bash}
crons:
  early: {task: noisy, cron: "0 5 * * *"}
"""


@pytest.fixture(scope="module")
def demo() -> Iterator[Project]:
    with Project(MANIFEST) as project:
        (project.folder / "sites" / "eu").mkdir(parents=True)
        project.start(environ={"TZ": "Asia/Tokyo"})
        yield project


def test_an_option_is_refused_at_submit_and_on_the_worker(demo: Project) -> None:
    refused = demo.cli("submit", "show", "what=-n").refused(2)
    past_the_check = Submission("raw", "show", encode(Message("show", {"what": "-n"})))
    demo.store.run(submit(demo.keys, [past_the_check]))

    job = demo.ended("raw")

    assert "must not begin with '-', and '-n' does" in refused
    assert (job.state, job.reason) == (JobState.FAILED, Reason.INVALID_ARGUMENTS)
    assert job.error is not None
    assert "must not begin with '-'" in job.error.message


def test_parameters_do_not_lead_out_of_the_folder_that_is_written(demo: Project) -> None:
    good = demo.ended(demo.submit("where", {"site": "eu"}))
    bad = demo.ended(demo.submit("where", {"site": "../.."}))

    assert good.state is JobState.COMPLETED
    assert (bad.state, bad.reason) == (JobState.FAILED, Reason.INVALID_ARGUMENTS)


def test_show_tells_what_a_success_said_last_on_stderr(demo: Project) -> None:
    job_id = demo.submit("noisy")
    demo.ended(job_id)

    assert demo.json("show", job_id)["last_stderr"] == "2 rows odd"
    assert re.search(r"^stderr +2 rows odd$", demo.cli("show", job_id).ok().out, re.M)


def test_output_makes_a_failure_of_a_success(demo: Project) -> None:
    job = demo.ended(demo.submit("fatal"))

    assert (job.state, job.reason) == (JobState.FAILED, Reason.ERROR)
    assert job.error is not None
    assert job.error.message == "exit code 0, but its output matches '^FATAL': FATAL: x"


@pytest.mark.skipif(shutil.which("bash") is None, reason="no bash here")
def test_a_failing_pipe_is_no_success_by_bash(demo: Project) -> None:
    assert demo.ended(demo.submit("pipe")).state is JobState.FAILED


def test_the_daemon_tells_once_what_the_manifest_may_not_mean(demo: Project) -> None:
    demo.cli("reload").ok()

    log = demo.daemons[0].log()
    assert log.count("TZ is 'Asia/Tokyo', and has no say: 1 cron is in UTC (early)") == 1
    assert log.count("'include' has 'jobs.d/*.yaml', which matches no file") == 1
