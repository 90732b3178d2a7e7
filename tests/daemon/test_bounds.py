"""What a job carries is bounded, told clearly, and costs time that grows with its size only."""

import time
from collections.abc import Callable, Iterator

import pytest

from jobrunner.errors import InvalidArguments
from jobrunner.message import Message, encode
from jobrunner.model import JobState, Reason
from jobrunner.store.submission import Submission, submit
from tests.daemon.harness import Project

MANIFEST = """
name: demo
workers: {processes: 1}
bounds: {arguments: 100k, result: 1M}
tasks:
  sync: {python: "big:sync"}
  aio: {python: "big:aio"}
  progress: {python: "big:progress"}
  command:
    shell: '{ printf \\"; head -c $N /dev/zero | tr "\\\\0" x; printf \\"; } > $JOBRUNNER_RESULT'
    params: {n: {type: integer}}
  take: {command: ["true"], params: {text: {}}}
"""
MODULE = """
from jobrunner import Context
def sync(n: int):
    return "x" * n
async def aio(n: int):
    return "x" * n
def progress(n: int, context: Context):
    context.progress("x" * n)
"""
KINDS = ("sync", "aio", "command")


@pytest.fixture(scope="module")
def demo() -> Iterator[Project]:
    with Project(MANIFEST, {"big": MODULE}) as project:
        project.start()
        yield project


@pytest.mark.parametrize("task", KINDS)
def test_a_result_up_to_the_bound_arrives(demo: Project, task: str) -> None:
    ended = demo.ended(demo.submit(task, {"n": (1 << 20) - 2}))

    assert ended.result == "x" * ((1 << 20) - 2)


@pytest.mark.parametrize("task", KINDS)
def test_a_larger_result_fails_its_job_and_is_not_stored(demo: Project, task: str) -> None:
    job_id = demo.submit(task, {"n": 1 << 20})
    ended = demo.ended(job_id)

    assert ended.state is JobState.FAILED
    assert ended.error is not None
    assert "1,048,576" in ended.error.message
    assert "bounds.result" in ended.error.message
    assert not demo.execute("HEXISTS", demo.keys.job(job_id), "result")


def test_arguments_beyond_the_bound_are_refused_before_they_are_sent(demo: Project) -> None:
    before = int(demo.info("stats")["total_net_input_bytes"])

    with pytest.raises(InvalidArguments, match="more than the 102,400 of bounds"):
        demo.submit("take", {"text": "x" * 102_400})
    refused = demo.cli("submit", "take", "text=" + "x" * 102_400).refused(2)

    assert int(demo.info("stats")["total_net_input_bytes"]) - before < 50_000
    assert "bounds.arguments" in refused
    assert "fix:" in refused
    assert demo.ended(demo.submit("take", {"text": "x" * 102_000})).state is JobState.COMPLETED


def test_a_message_beyond_the_bound_in_the_store_is_not_performed(demo: Project) -> None:
    text = encode(Message("take", {"text": "x" * 5_000_000}))

    demo.store.run(submit(demo.keys, [Submission("raw", "take", text)]))
    ended = demo.ended("raw")

    assert (ended.state, ended.reason) == (JobState.FAILED, Reason.INVALID_ARGUMENTS)
    assert ended.error is not None
    assert "bounds.arguments" in ended.error.message


def test_progress_beyond_its_bound_is_an_error_of_the_function(demo: Project) -> None:
    failed = demo.ended(demo.submit("progress", {"n": 65_535}))
    fine = demo.ended(demo.submit("progress", {"n": 65_534}))

    assert failed.error is not None
    assert "65,536" in failed.error.message
    assert fine.state is JobState.COMPLETED


def test_large_results_arrive_in_time_that_grows_with_their_size_only(
    project: Callable[..., Project],
) -> None:
    large = project(MANIFEST.replace("result: 1M", "result: 64M"), {"big": MODULE})
    large.start()
    large.ended(large.submit("sync", {"n": 1}))
    began = time.monotonic()

    for task in KINDS:
        ended = large.ended(large.submit(task, {"n": 60_000_000}), within=60)
        assert len(ended.result) == 60_000_000

    assert time.monotonic() - began < 60  # on a busy machine; one alone took a minute and more


def test_output_without_a_line_end_or_with_very_many_costs_no_more(demo: Project) -> None:
    began = time.monotonic()
    with Project(
        """
        name: talk
        workers: {processes: 1}
        tasks:
          endless: {shell: 'head -c 300000000 /dev/zero | tr "\\\\0" x'}
          lines: {shell: 'yes line | head -n 1000000'}
        """
    ) as talk:
        talk.start()
        ends = talk.all_ended([talk.submit("endless"), talk.submit("lines")], within=90)

    assert [job.state for job in ends] == [JobState.COMPLETED] * 2
    assert time.monotonic() - began < 90
