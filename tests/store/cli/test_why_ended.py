"""`jobrunner why` of jobs that have ended."""

import msgspec
import pytest

from jobrunner.model import JobError, JobState, Reason
from jobrunner.store.cancelling import cancel
from jobrunner.store.crons import fire
from tests.store.cli.explaining import answer, serve
from tests.store.factories import Store, minutes
from tests.store.fires import ID_ONE, ID_TWO, ONE, TWO, a_fire
from tests.unit.cli.conftest import Invoke


@pytest.fixture
def store(store: Store) -> Store:
    """A namespace with a daemon and a worker."""
    serve(store)
    return store


def failed(store: Store, reason: Reason, error: str = "", detail: str = "") -> str:
    entry = store.running()
    body = msgspec.json.encode(JobError("exit", error)) if error else b""
    store.finish(entry, JobState.FAILED, reason=reason, error=body, detail=detail)
    return entry.job_id


def test_a_completed_job_says_when(invoke: Invoke, store: Store) -> None:
    job_id = store.finished()

    said = answer(invoke, job_id)

    assert (said.code, said.exit_code, said.fix) == ("completed", 0, None)
    assert said.sentence == f"job {job_id} (demo) completed at T after D"
    assert said.facts["duration_ms"] == 5


@pytest.mark.parametrize(
    ("reason", "error", "words", "fix"),
    [
        (Reason.ERROR, "ended with 3\nmore", "exit: ended with 3", "jobrunner logs"),
        (Reason.TIMEOUT, "", "its timeout was over, and it was stopped after D", "raise `timeout`"),
        (Reason.LOST, "", "its worker or process died while it ran", "look for what kills it"),
        (Reason.UNKNOWN_TASK, "", "has no task 'demo' in its manifest", "declare 'demo'"),
        (Reason.INVALID_ARGUMENTS, "no day", "its arguments are not valid: no day", "submit it"),
    ],
)
def test_a_failed_job_tells_the_reason_and_the_fix(
    invoke: Invoke, store: Store, reason: Reason, error: str, words: str, fix: str
) -> None:
    job_id = failed(store, reason, error)

    said = answer(invoke, job_id)

    assert said.code == "failed"
    assert said.facts["reason"] == reason
    assert said.sentence.startswith(f"job {job_id} (demo) failed at T: ")
    assert words in said.sentence
    assert fix in (said.fix or "")


def test_a_job_that_failed_for_its_upstream_job_names_it(invoke: Invoke, store: Store) -> None:
    first = store.submit(delay=minutes(1))
    job_id = store.submit(after=first)
    woken = store.run(cancel(store.keys, first)).woken
    store.promote(*woken)

    said = answer(invoke, job_id)

    assert said.sentence == (
        f"job {job_id} (demo) failed at T: "
        f"it was to begin after {first} has completed, which was cancelled"
    )
    assert said.fix is not None
    assert f"jobrunner why {first}" in said.fix


@pytest.mark.parametrize(
    ("state", "verb"), [(JobState.SKIPPED, "was skipped"), (JobState.FAILED, "failed")]
)
def test_a_job_that_found_its_lock_taken_names_the_holder(
    invoke: Invoke, store: Store, state: JobState, verb: str
) -> None:
    holder = store.running(task="other").job_id
    entry = store.claimed()
    store.finish(entry, state, reason=Reason.LOCKED, detail=holder)

    said = answer(invoke, entry.job_id)

    assert said.sentence == (
        f"job {entry.job_id} (demo) {verb} at T: "
        f"its lock was held by {holder} (other, which is running by now)"
    )
    assert "conflict: wait" in (said.fix or "")


def test_an_overlap_names_the_job_in_the_way(invoke: Invoke, store: Store) -> None:
    store.run(fire(store.keys, [a_fire(ONE)]))
    store.run(fire(store.keys, [a_fire(TWO, overlap="skip", previous=ID_ONE)]))

    said = answer(invoke, ID_TWO)

    assert said.code == "skipped"
    assert said.sentence == (
        f"job {ID_TWO} (demo) was skipped at T: the previous job of cron 'nightly', {ID_ONE}, "
        "had not ended (demo, which is queued by now)"
    )
    assert "overlap: queue" in (said.fix or "")


def test_a_misfire_tells_how_many_fire_times_it_stands_for(invoke: Invoke, store: Store) -> None:
    span = "5 fire times from 2026-11-20T01:00:00Z to 2026-11-21T01:00:00Z"
    store.run(fire(store.keys, [a_fire(ONE, skip=Reason.MISFIRE, detail=span)]))

    said = answer(invoke, ID_ONE)

    assert said.sentence == (
        f"job {ID_ONE} (demo) was skipped at T: {span} were noticed too late, "
        "and the misfire policy did not ask for them"
    )


def test_a_cancelled_job_says_why(invoke: Invoke, store: Store) -> None:
    waiting = store.submit()
    store.run(cancel(store.keys, waiting))
    running = store.running()
    store.finish(running, JobState.CANCELLED)

    assert answer(invoke, waiting).sentence == (
        f"job {waiting} (demo) was cancelled at T before it began, "
        "as a user or program asked for it"
    )
    assert answer(invoke, running.job_id).sentence.endswith(
        "while it ran, as a user or program asked for it"
    )


def test_a_replaced_job_names_the_policy(invoke: Invoke, store: Store) -> None:
    store.run(fire(store.keys, [a_fire(ONE)]))
    store.run(cancel(store.keys, ID_ONE, Reason.REPLACED))

    said = answer(invoke, ID_ONE)

    assert said.code == "cancelled"
    assert said.sentence.endswith(
        "overlap policy 'replace' let the next job of cron 'nightly' take its place"
    )


def test_an_ended_job_is_explained_without_a_daemon(invoke: Invoke, store: Store) -> None:
    job_id = store.finished()
    store.command("DEL", store.keys.daemon("d1"))

    said = answer(invoke, job_id)

    assert (said.code, said.exit_code) == ("completed", 0)
