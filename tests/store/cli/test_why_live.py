"""`jobrunner why` of jobs that wait or run."""

from collections.abc import Callable

import msgspec
import pytest
from msgspec.structs import replace

from jobrunner.model import JobError, JobState, Priority, Reason
from jobrunner.store.attempts import requeue
from jobrunner.store.cancelling import cancel
from jobrunner.store.crons import fire
from jobrunner.store.leases import enlist
from jobrunner.store.progress import note_progress
from tests.store.cli.explaining import answer, says, serve
from tests.store.factories import A_WAITED_LOCK, LONG_AGO, Store, a_worker, minutes
from tests.store.fires import ID_ONE, ID_TWO, ONE, TWO, a_fire
from tests.unit.cli.conftest import Invoke

UNKNOWN = msgspec.json.encode(JobError("unknown_task", "this worker's manifest has no task"))


@pytest.fixture
def store(store: Store) -> Store:
    """A namespace with a daemon and a worker of 64 slots, for queues `default` and `web`."""
    serve(store)
    return store


def fill(store: Store, slots: int = 1) -> None:
    """All slots of the worker are busy, whatever its last heartbeat said."""
    store.command("HSET", store.keys.worker("w1"), "slots", slots, "busy", 0)
    for _ in range(slots):
        store.claimed(queue="web")


def test_a_delayed_job_is_not_due(invoke: Invoke, store: Store) -> None:
    job_id = store.submit(delay=minutes(10))

    said = answer(invoke, job_id)

    assert (said.code, said.exit_code) == ("not_due", 0)
    assert said.sentence == (
        f"job {job_id} (demo) is not due until T, in D, as it was submitted with a delay"
    )
    assert said.facts["due_at"] is not None


def test_a_fire_that_jitter_delays_says_so(invoke: Invoke, store: Store) -> None:
    store.run(fire(store.keys, [a_fire(delay=minutes(1))]))

    says(
        invoke,
        ID_ONE,
        "not_due",
        "is not due until T, in D, since jitter spreads the jobs of cron 'nightly'",
    )


def test_a_job_that_waits_for_its_retry_names_the_attempt_and_the_error(
    invoke: Invoke, store: Store
) -> None:
    job_id = store.retrying()

    said = says(
        invoke,
        job_id,
        "waiting_to_retry",
        "waits to retry: attempt 1 failed with ValueError: bad input; "
        "the next one is not due until T, in D",
    )
    assert said.facts["last_error"] == "bad input"


def test_a_job_that_is_due_is_about_to_be_queued(invoke: Invoke, store: Store) -> None:
    job_id = store.submit(delay=minutes(1))
    store.command("HSET", store.keys.job(job_id), "due_at", LONG_AGO)

    sentence = answer(invoke, job_id).sentence

    assert sentence.startswith(f"job {job_id} (demo) is due since T and is about to be queued")


def test_a_job_that_waits_for_a_lock_names_the_holder_and_its_place(
    invoke: Invoke, store: Store
) -> None:
    holder = store.running(lock=A_WAITED_LOCK, task="other").job_id
    first, second = store.blocked(), store.blocked()

    said = says(
        invoke,
        second,
        "waiting_for_lock",
        f"waits for lock 'report', held by {holder} since T (other on host); it is second in line",
    )
    assert (said.facts["held_by"], said.facts["position"]) == ([holder], 2)
    assert said.facts["lease_ends_at"] is not None
    assert said.fix == f"`jobrunner why {holder}` tells how that one goes on"
    assert answer(invoke, first).facts["position"] == 1


def test_a_lock_of_several_slots_tells_of_the_other_holders(invoke: Invoke, store: Store) -> None:
    lock = replace(A_WAITED_LOCK, slots=2)
    holders = [store.running(lock=lock).job_id for _ in range(2)]
    job_id = store.blocked(lock)

    said = answer(invoke, job_id)

    assert "and 1 other since T" in said.sentence
    assert sorted(said.facts["held_by"]) == sorted(holders)


def test_a_lock_that_a_dead_worker_holds_says_until_when(invoke: Invoke, store: Store) -> None:
    holder = store.running(lock=A_WAITED_LOCK).job_id
    job_id = store.blocked()
    store.end_lease("w1")

    assert answer(invoke, job_id).sentence == (
        f"job {job_id} (demo) waits for lock 'report', held by {holder} (demo), whose worker died; "
        "it keeps the lock until T at most; it is first in line"
    )


def test_a_lock_of_a_job_that_was_given_back_says_until_when(invoke: Invoke, store: Store) -> None:
    entry = store.running(lock=A_WAITED_LOCK)
    job_id = store.blocked()
    store.run(requeue(store.keys, [entry], is_lost=True))

    assert answer(invoke, job_id).sentence == (
        f"job {job_id} (demo) waits for lock 'report', held by {entry.job_id} (demo), "
        "which was taken from its worker and is queued again; "
        "it keeps the lock until T at most; it is first in line"
    )


def test_a_lock_that_is_free_is_about_to_be_taken(invoke: Invoke, store: Store) -> None:
    entry = store.running(lock=A_WAITED_LOCK)
    job_id = store.blocked()
    store.finish(entry, lock=A_WAITED_LOCK)

    said = answer(invoke, job_id)

    assert "which is free now; it is about to be queued" in said.sentence


def test_a_job_that_waits_for_another_tells_its_state(invoke: Invoke, store: Store) -> None:
    first = store.submit(delay=minutes(1))
    job_id = store.submit(after=first)

    said = says(
        invoke, job_id, "waiting_for_job", f"waits for the end of job {first}, which is scheduled"
    )
    assert said.facts["after_state"] == "scheduled"


def test_a_fire_that_waits_for_the_previous_one_says_so(invoke: Invoke, store: Store) -> None:
    store.run(fire(store.keys, [a_fire(ONE)]))
    store.run(fire(store.keys, [a_fire(TWO, overlap="queue", previous=ID_ONE)]))

    assert answer(invoke, ID_TWO).sentence == (
        f"job {ID_TWO} (demo) waits for the end of the previous job of cron 'nightly', "
        f"{ID_ONE}, which is queued"
    )


def test_a_queued_job_with_free_workers_is_about_to_start(invoke: Invoke, store: Store) -> None:
    job_id = store.submit()

    says(
        invoke,
        job_id,
        "about_to_start",
        "is queued and about to start: it is first in line, "
        "and 64 of 64 slots of 1 worker are free",
    )


def test_a_job_without_a_free_slot_tells_its_place_across_priorities(
    invoke: Invoke, store: Store
) -> None:
    fill(store)
    store.submit(priority=Priority.LOW)
    store.submit(priority=Priority.NORMAL)
    job_id = store.submit(priority=Priority.NORMAL)
    store.submit(priority=Priority.NORMAL)
    for _ in range(2):
        store.submit(priority=Priority.HIGH)

    said = says(
        invoke,
        job_id,
        "waiting_for_slot",
        "is queued and waits for a slot: the only slot of 1 worker is busy; "
        "it is number 4 in line, behind 2 of higher priority",
    )
    assert (said.facts["position"], said.facts["ahead"]) == (4, 1)


def test_jobs_that_workers_have_taken_are_not_ahead_in_line(invoke: Invoke, store: Store) -> None:
    store.claimed()
    fill(store, slots=2)
    store.command("HSET", store.keys.worker("w1"), "slots", 3)
    job_id = store.submit()

    assert answer(invoke, job_id).sentence.endswith(
        "all 3 slots of 1 worker are busy; it is first in line"
    )


def test_a_queue_that_no_worker_serves_is_named(invoke: Invoke, store: Store) -> None:
    job_id = store.submit(queue="reports")

    said = says(
        invoke,
        job_id,
        "no_worker",
        "is queued, but no worker serves queue 'reports': they serve default, web",
    )
    assert said.fix is not None
    assert "workers.queues" in said.fix


def test_a_daemon_whose_workers_are_dead_is_told(invoke: Invoke, store: Store) -> None:
    store.end_lease("w1")

    said = answer(invoke, store.submit())

    assert said.code == "no_worker"
    assert "the daemon has no worker that lives" in said.sentence


def test_a_daemon_that_drains_takes_no_more_jobs(invoke: Invoke, store: Store) -> None:
    serve(store, state="draining")

    said = answer(invoke, store.submit())

    assert said.code == "draining"
    assert said.sentence.endswith("is queued, but the daemon is stopping and takes no more jobs")


def test_a_worker_beside_one_that_drains_takes_the_job(invoke: Invoke, store: Store) -> None:
    serve(store, state="draining")
    store.run(enlist(store.keys, replace(a_worker("w2"), daemon="d2")))

    assert answer(invoke, store.submit()).code == "about_to_start"


def test_a_task_that_no_daemon_knows_is_named(invoke: Invoke, store: Store) -> None:
    job_id = store.submit(task="gone")

    said = answer(invoke, job_id)

    assert said.code == "unknown_task"
    assert said.sentence == (
        f"job {job_id} (gone) is queued, but the manifest that a daemon published last "
        "has no task 'gone'"
    )


def test_a_job_that_a_worker_put_back_waits_for_one_that_knows_its_task(
    invoke: Invoke, store: Store
) -> None:
    entry = store.claimed()
    store.finish(
        entry,
        JobState.FAILED,
        reason=Reason.UNKNOWN_TASK,
        error=UNKNOWN,
        retry_delay_ms=500,
        counts_attempt=False,
    )

    said = answer(invoke, entry.job_id)

    assert said.code == "unknown_task"
    assert "waits for a worker that knows task 'demo'" in said.sentence


def test_a_claimed_job_names_its_worker(invoke: Invoke, store: Store) -> None:
    job_id = store.claimed().job_id

    says(invoke, job_id, "about_to_start", "was taken by worker w1 on host and begins now")


def test_a_job_claimed_by_a_dead_worker_is_about_to_be_queued_again(
    invoke: Invoke, store: Store
) -> None:
    job_id = store.claimed().job_id
    store.end_lease("w1")

    said = answer(invoke, job_id)

    assert said.code == "worker_lost"
    assert said.sentence.endswith(
        "was taken by worker w1, which is gone; it is about to be queued again"
    )


def test_a_claimed_job_that_is_being_cancelled_says_so(invoke: Invoke, store: Store) -> None:
    job_id = store.claimed().job_id
    store.run(cancel(store.keys, job_id))

    assert answer(invoke, job_id).code == "cancelling"


def test_a_running_job_tells_where_and_since_when(invoke: Invoke, store: Store) -> None:
    entry = store.running()
    store.run(note_progress(store.keys, entry.job_id, entry.fence, {"done": 4}))

    said = answer(invoke, entry.job_id)

    assert said.code == "running"
    assert said.sentence == (
        f'job {entry.job_id} (demo) runs on host since T, for D; its progress: {{"done": 4}}'
    )
    assert (said.facts["timeout_ms"], said.facts["progress"]) == (60_000, {"done": 4})


def test_a_job_that_outlasts_its_timeout_says_so(invoke: Invoke, store: Store) -> None:
    job_id = store.running().job_id
    store.command("HSET", store.keys.job(job_id), "started_at", store.now_ms() - 100_000)

    said = answer(invoke, job_id)

    assert said.code == "overdue"
    assert said.sentence.endswith("for D; its timeout of D is over and it is being stopped")


def test_a_running_job_that_is_being_cancelled_says_so(invoke: Invoke, store: Store) -> None:
    job_id = store.running().job_id
    store.run(cancel(store.keys, job_id))

    said = answer(invoke, job_id)

    assert said.code == "cancelling"
    assert said.sentence.endswith("; it was told to stop and is ending")


def test_a_job_whose_worker_is_gone_is_about_to_be_rescued(invoke: Invoke, store: Store) -> None:
    job_id = store.running().job_id
    store.end_lease("w1")

    assert answer(invoke, job_id).code == "worker_lost"


@pytest.mark.parametrize("kind", ["queued", "scheduled", "running", "retrying"])
def test_without_a_daemon_every_live_job_says_so_and_exits_4(
    invoke: Invoke, store: Store, kind: str
) -> None:
    makers: dict[str, Callable[[], str]] = {
        "queued": store.submit,
        "scheduled": lambda: store.submit(delay=minutes(1)),
        "running": lambda: store.running().job_id,
        "retrying": store.retrying,
    }
    job_id = makers[kind]()
    store.command("DEL", store.keys.daemon("d1"))

    said = answer(invoke, job_id)

    assert (said.code, said.exit_code) == ("daemon_not_running", 4)
    assert said.sentence.endswith(", but no daemon is running, so nothing fires or starts")
    assert said.fix == "`jobrunner run` starts the daemon"
