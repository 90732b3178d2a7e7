"""Explanations of what no test can bring about in a store, or only in a million jobs."""

from msgspec.structs import replace

from jobrunner.explain.job import explain_job
from jobrunner.explain.model import Explanation
from jobrunner.model import JobError, JobState, Reason
from jobrunner.store.facts import COUNTED, JobFacts, Place, Surroundings
from jobrunner.store.published import PublishedTask
from tests.unit.cli.values import NOW, a_daemon, a_job, a_worker

TASK = PublishedTask("backup", "command")
AROUND = Surroundings(NOW, [a_daemon()], [a_worker(slots=2)])


def explain(facts: JobFacts) -> Explanation:
    return explain_job(replace(facts, task=TASK))


def text_of(explanation: Explanation) -> str:
    return "".join(str(part) for part in explanation.sentence)


def test_a_wait_for_a_job_without_a_record_can_be_ended() -> None:
    job = a_job(state=JobState.BLOCKED, after="g3zcys26kwma")

    said = explain(JobFacts(job, AROUND))

    assert text_of(said).endswith("waits for job g3zcys26kwma, whose record is gone")
    assert said.fix == "`jobrunner cancel k3f9x2mq7pab` ends the wait"


def test_a_very_long_line_is_not_counted_to_its_end() -> None:
    job = a_job(state=JobState.QUEUED)

    said = explain(JobFacts(job, AROUND, place=Place(None, COUNTED, 5, {"w1": 2})))

    assert text_of(said).endswith("all 2 slots of 1 worker are busy; more than 1004 are before it")
    assert said.facts["position"] is None


def test_a_long_error_is_cut_to_its_first_line() -> None:
    error = JobError("exit", f"{'x' * 500}\nsecond line")
    job = a_job(state=JobState.FAILED, reason=Reason.ERROR, error=error)

    text = text_of(explain(JobFacts(job, AROUND)))

    assert text.endswith(f"exit: {'x' * 160}…")


def test_a_job_that_is_far_back_has_a_number() -> None:
    job = a_job(state=JobState.QUEUED)

    said = explain(JobFacts(job, AROUND, place=Place(None, 13, 0, {"w1": 2})))

    assert text_of(said).endswith("; it is number 14 in line")
