"""`fire.lua`, `enrol.lua`, `resume.lua`: one job per fire time, whoever asks."""

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from msgspec.structs import replace

from jobrunner.clock import from_ms, to_ms
from jobrunner.model import JobState, Priority, Reason
from jobrunner.store.cancelling import cancel, cancel_unclaimed
from jobrunner.store.crons import (
    LARGEST_SKEW,
    CronRecord,
    Enrolled,
    Enrolment,
    Fired,
    enrol,
    fire,
    note_next_fires,
    pause_cron,
    read_crons,
    resume_cron,
)
from jobrunner.store.lookup import find_id
from jobrunner.store.submission import retry_job, submit
from tests.store.factories import Store
from tests.store.fires import ID_ONE, ID_TWO, ONE, TWO, a_fire, send


def wishes(store: Store) -> set[str]:
    """What a worker is told to cancel by its next heartbeat."""
    return set(store.texts("SMEMBERS", store.keys.cancelling()))


def record(store: Store) -> CronRecord:
    return store.run(read_crons(store.keys, ["nightly"]))[0]


def test_a_fire_time_makes_its_job(store: Store) -> None:
    store.add_worker()

    assert send(store, a_fire(queue="web", priority=Priority.LOW)) == ["queued"]

    job = store.job(ID_ONE)
    assert (job.cron, job.fire_time, job.task) == ("nightly", ONE, "demo")
    assert (job.queue, job.priority, job.state) == ("web", Priority.LOW, JobState.QUEUED)
    assert record(store).handled == ONE
    assert record(store).job == ID_ONE
    assert [entry.job_id for entry in store.claim()] == [ID_ONE]


def test_a_crons_job_is_known_as_the_last_and_so_is_its_queue(store: Store) -> None:
    send(store, a_fire(queue="reports"))

    assert store.run(find_id(store.keys, "@last:demo")) == ID_ONE
    assert store.texts("SMEMBERS", store.keys.queues()) == ["reports"]


def test_two_schedulers_make_one_job_of_a_fire_time(store: Store) -> None:
    send(store, a_fire())
    before = store.snapshot()

    assert send(store, a_fire()) == ["handled"]
    assert send(store, a_fire(previous=ID_ONE)) == ["handled"]
    assert store.snapshot() == before


def test_fire_times_go_forward_only(store: Store) -> None:
    assert send(store, a_fire(TWO), a_fire(ONE, previous=ID_TWO)) == ["queued", "handled"]
    assert store.records().keys() == {ID_TWO}


def test_crons_do_not_hinder_each_other(store: Store) -> None:
    assert send(store, a_fire(), a_fire(cron="other")) == ["queued", "queued"]


def test_a_fire_time_whose_job_a_backfill_made_is_handled(store: Store) -> None:
    store.run(submit(store.keys, [store.submission(id=ID_ONE, cron="nightly", fire_time=ONE)]))

    assert send(store, a_fire()) == ["handled"]
    assert record(store).handled == ONE
    assert len(store.entries()) == 1


def test_a_paused_cron_makes_no_job_and_its_fire_times_count_as_handled(store: Store) -> None:
    store.run(pause_cron(store.keys, "nightly"))

    assert send(store, a_fire()) == ["paused"]
    assert record(store).is_paused
    assert record(store).handled == ONE
    assert store.records() == {}


def test_a_resumed_cron_goes_on_after_its_pause(store: Store) -> None:
    store.run(pause_cron(store.keys, "nightly"))
    paused_at = from_ms(store.now_ms())

    store.run(resume_cron(store.keys, "nightly"))

    handled = record(store).handled
    assert not record(store).is_paused
    assert handled is not None
    assert paused_at <= handled <= from_ms(store.now_ms())
    assert send(store, a_fire(handled - timedelta(seconds=1))) == ["handled"]
    wait_for(store, handled + timedelta(milliseconds=2))
    assert send(store, a_fire(handled + timedelta(milliseconds=1))) == ["queued"]


def test_resuming_a_cron_that_is_not_paused_changes_nothing(store: Store) -> None:
    send(store, a_fire())
    before = store.snapshot()

    store.run(resume_cron(store.keys, "nightly"))

    assert store.snapshot() == before


def test_a_resume_does_not_go_back_before_what_was_handled(store: Store) -> None:
    ahead = handle(store, 3_000)
    store.run(pause_cron(store.keys, "nightly"))

    store.run(resume_cron(store.keys, "nightly"))

    assert record(store).handled == ahead


def test_jitter_delays_the_job_and_not_the_fire_time(store: Store) -> None:
    before = store.now_ms()

    assert send(store, a_fire(delay=timedelta(seconds=20))) == ["scheduled"]

    job = store.job(ID_ONE)
    assert job.fire_time == ONE
    assert job.due_at is not None
    assert before + 20_000 <= to_ms(job.due_at) <= store.now_ms() + 20_000


@pytest.mark.parametrize("overlap", ["skip", "queue", "replace"])
def test_a_job_whose_predecessor_has_ended_is_queued(store: Store, overlap: str) -> None:
    store.add_worker()
    send(store, a_fire(ONE))
    (entry,) = store.claim()
    store.finish(entry)

    assert send(store, a_fire(TWO, overlap=overlap, previous=ID_ONE)) == ["queued"]


def test_overlap_allow_lets_both_run(store: Store) -> None:
    assert send(store, a_fire(ONE), a_fire(TWO, previous=ID_ONE)) == ["queued", "queued"]


def test_overlap_skip_records_a_skipped_job_with_the_one_in_its_way(store: Store) -> None:
    store.add_worker()
    store.finish(store.claimed(), cron="nightly", duration_ms=70)
    send(store, a_fire(ONE))

    assert send(store, a_fire(TWO, overlap="skip", previous=ID_ONE)) == ["skipped"]

    job = store.job(ID_TWO)
    assert (job.state, job.reason, job.detail) == (JobState.SKIPPED, Reason.OVERLAP, ID_ONE)
    assert job.finished_at is not None
    cron = record(store)
    assert (cron.last_id, cron.last_state) == (ID_TWO, JobState.SKIPPED)
    assert cron.last_duration is None
    assert cron.job == ID_ONE  # the next one still has to look at the job that runs


def test_overlap_queue_waits_for_the_end_of_the_one_before_however_it_ends(store: Store) -> None:
    store.add_worker()
    send(store, a_fire(ONE))
    (entry,) = store.claim()

    assert send(store, a_fire(TWO, overlap="queue", previous=ID_ONE)) == ["blocked"]
    assert store.claim() == []

    store.promote(*store.finish(entry, JobState.FAILED).woken)
    assert [entry.job_id for entry in store.claim()] == [ID_TWO]


def test_overlap_queue_goes_on_waiting_when_the_one_before_is_retried_first(store: Store) -> None:
    store.add_worker()
    send(store, a_fire(ONE))
    (entry,) = store.claim()
    send(store, a_fire(TWO, overlap="queue", previous=ID_ONE))
    woken = store.finish(entry, JobState.FAILED).woken
    store.run(retry_job(store.keys, ID_ONE))

    assert store.promote(*woken) == 0
    assert store.state(ID_TWO) is JobState.BLOCKED
    assert store.job(ID_TWO).after == ID_ONE


def test_overlap_replace_runs_once_the_one_before_is_cancelled(store: Store) -> None:
    store.add_worker()
    send(store, a_fire(ONE))

    assert store.run(fire(store.keys, [a_fire(TWO, overlap="replace", previous=ID_ONE)])) == [
        Fired("blocked", ID_ONE)
    ]
    store.run(cancel(store.keys, ID_ONE, Reason.REPLACED))

    assert store.job(ID_ONE).reason is Reason.REPLACED
    assert [entry.job_id for entry in store.claim()] == [ID_TWO]


def test_overlap_replace_stops_the_one_before_also_when_the_scheduler_dies_at_once(
    store: Store,
) -> None:
    store.add_worker()
    send(store, a_fire(ONE))
    (entry,) = store.claim()

    send(store, a_fire(TWO, overlap="replace", previous=ID_ONE))

    assert wishes(store) == {ID_ONE}
    store.finish(entry, JobState.CANCELLED)
    assert (store.job(ID_ONE).reason, store.state(ID_TWO)) == (Reason.REPLACED, JobState.BLOCKED)
    assert wishes(store) == set()


def leave_queued(store: Store) -> None:
    assert store.state(ID_ONE) is JobState.QUEUED


def fail_for_a_retry(store: Store) -> None:
    (entry,) = store.claim()
    store.finish(entry, JobState.FAILED, reason=Reason.ERROR, retry_delay_ms=60_000)


@pytest.mark.parametrize("wait", [leave_queued, fail_for_a_retry])
def test_overlap_replace_ends_a_waiting_job_also_when_the_scheduler_dies_at_once(
    store: Store, wait: Callable[[Store], None]
) -> None:
    store.add_worker()
    send(store, a_fire(ONE))
    wait(store)
    send(store, a_fire(TWO, overlap="replace", previous=ID_ONE))

    assert store.run(cancel_unclaimed(store.keys)) == [ID_ONE]

    job = store.job(ID_ONE)
    assert (job.state, job.reason) == (JobState.CANCELLED, Reason.REPLACED)
    assert [entry.job_id for entry in store.claim()] == [ID_TWO]


def test_the_cancel_of_a_job_that_a_worker_has_is_left_to_the_worker(store: Store) -> None:
    store.add_worker()
    send(store, a_fire(ONE))
    (entry,) = store.claim()
    send(store, a_fire(TWO, overlap="replace", previous=ID_ONE))

    assert store.run(cancel_unclaimed(store.keys)) == []

    assert wishes(store) == {ID_ONE}
    assert store.state(ID_TWO) is JobState.BLOCKED
    store.finish(entry, JobState.CANCELLED)
    assert store.run(cancel_unclaimed(store.keys)) == []


def test_a_waiting_job_that_was_replaced_leaves_no_wish_behind(store: Store) -> None:
    store.add_worker()
    send(store, a_fire(ONE))
    send(store, a_fire(TWO, overlap="replace", previous=ID_ONE))

    store.run(cancel(store.keys, ID_ONE, Reason.REPLACED))

    assert wishes(store) == set()


def test_a_scheduler_that_knows_another_predecessor_looks_again(store: Store) -> None:
    send(store, a_fire(ONE))
    before = store.snapshot()

    assert store.run(fire(store.keys, [a_fire(TWO)])) == [Fired("changed", ID_ONE)]
    assert store.run(fire(store.keys, [a_fire(TWO, previous="x")])) == [Fired("changed", ID_ONE)]

    assert store.snapshot() == before


def test_a_misfire_is_recorded_and_does_not_count_as_the_crons_job(store: Store) -> None:
    misfire = a_fire(skip=Reason.MISFIRE, detail="3 fire times from 01:00 to 03:00")

    assert send(store, misfire) == ["skipped"]

    job = store.job(ID_ONE)
    assert (job.state, job.reason, job.fire_time) == (JobState.SKIPPED, Reason.MISFIRE, ONE)
    assert job.detail == "3 fire times from 01:00 to 03:00"
    assert (record(store).job, record(store).last_reason) == (None, Reason.MISFIRE)


def test_a_row_of_misfires_some_of_which_another_scheduler_fired_is_decided_again(
    store: Store,
) -> None:
    send(store, a_fire(ONE))
    before = store.snapshot()
    row = a_fire(TWO, skip=Reason.MISFIRE, first=ONE, previous=ID_ONE)

    assert store.run(fire(store.keys, [row])) == [Fired("moved", str(to_ms(ONE)))]

    assert store.snapshot() == before
    assert send(store, replace(row, first=TWO)) == ["skipped"]


def test_nothing_jumps_over_a_row_that_was_refused(store: Store) -> None:
    send(store, a_fire(ONE))
    three = TWO + timedelta(hours=1)
    row = a_fire(TWO, skip=Reason.MISFIRE, first=ONE)
    follower = a_fire(three, after=TWO, previous=ID_ONE)

    assert send(store, row, follower) == ["moved", "moved"]

    assert record(store).handled == ONE
    assert send(store, replace(row, first=TWO), follower) == ["skipped", "queued"]


def test_a_row_of_misfires_is_recorded_though_a_backfill_made_the_job_of_its_last(
    store: Store,
) -> None:
    store.run(submit(store.keys, [store.submission(id=ID_TWO, cron="nightly", fire_time=TWO)]))
    row = a_fire(TWO, skip=Reason.MISFIRE, detail="2 fire times from 01:00 to 02:00")

    assert send(store, row) == ["skipped"]

    spare = store.job(f"{ID_TWO}+skipped")
    assert (spare.state, spare.detail) == (JobState.SKIPPED, row.detail)
    assert store.state(ID_TWO) is JobState.QUEUED
    assert send(store, row) == ["handled"]


def test_a_cron_that_was_never_seen_has_an_empty_record(store: Store) -> None:
    assert record(store) == CronRecord("nightly")
    assert store.run(read_crons(store.keys, [])) == []


def test_next_fire_times_are_noted_and_taken_away(store: Store) -> None:
    store.run(note_next_fires(store.keys, {"nightly": TWO}))
    assert record(store).next_fire_at == TWO

    store.run(note_next_fires(store.keys, {"nightly": None}))
    assert record(store).next_fire_at is None


SCHEDULE = "0 2 * * *|UTC"


def enrolled(store: Store, schedule: str = SCHEDULE) -> Enrolled:
    return store.run(enrol(store.keys, [Enrolment("nightly", schedule)]))[0]


def test_a_new_cron_begins_now_by_the_stores_clock(store: Store) -> None:
    before = from_ms(store.now_ms())

    since = enrolled(store).since

    assert before <= since <= from_ms(store.now_ms())
    assert (record(store).schedule, record(store).handled) == (SCHEDULE, since)


def test_an_unchanged_cron_goes_on_after_the_last_handled_fire_time(store: Store) -> None:
    enrolled(store)
    store.command("HSET", store.keys.cron("nightly"), "handled", to_ms(ONE))

    assert enrolled(store) == Enrolled(ONE)


def test_a_changed_cron_begins_now(store: Store) -> None:
    enrolled(store)
    store.command("HSET", store.keys.cron("nightly"), "handled", to_ms(ONE))
    before = from_ms(store.now_ms())

    assert enrolled(store, "new").since >= before


def test_a_changed_cron_does_not_repeat_what_was_handled(store: Store) -> None:
    ahead = from_ms(store.now_ms() + 3_000)  # within what a clock may be set back by
    store.command("HSET", store.keys.cron("nightly"), "handled", to_ms(ahead))

    assert enrolled(store, "new") == Enrolled(ahead)


# A clock that was ahead.


def handle(store: Store, in_ms: int, since_in_ms: int | None = None) -> datetime:
    """As if so far ahead a fire time was handled; `since`: those after it have records."""
    at = store.now_ms() + in_ms
    enrolled(store)
    store.command("HSET", store.keys.cron("nightly"), "handled", at)
    if since_in_ms is not None:
        store.command("HSET", store.keys.cron("nightly"), "since", at - in_ms + since_in_ms)
    return from_ms(at)


def test_the_skew_that_python_knows_is_that_of_the_scripts(store: Store) -> None:
    skew_ms = round(LARGEST_SKEW / timedelta(milliseconds=1))
    handle(store, skew_ms - 2_000)
    assert enrolled(store).set_back_from is None

    ahead = handle(store, skew_ms + 2_000, skew_ms + 1_000)

    assert enrolled(store).set_back_from == ahead


@pytest.mark.parametrize("ahead", [timedelta(seconds=10), timedelta(days=2), timedelta(days=3650)])
def test_a_cron_that_was_handled_ahead_of_the_clock_is_set_back_to_now(
    store: Store, ahead: timedelta
) -> None:
    in_ms = round(ahead / timedelta(milliseconds=1))
    was = handle(store, in_ms, in_ms - 1_000)
    before = from_ms(store.now_ms())

    found = enrolled(store)

    assert found.set_back_from == was
    assert before <= found.since <= from_ms(store.now_ms())
    assert (record(store).handled, record(store).set_back_from) == (found.since, was)
    assert enrolled(store) == Enrolled(found.since)


def test_a_changed_cron_does_not_wait_until_what_its_old_schedule_had_made(store: Store) -> None:
    ahead = handle(store, 3_600_000, -1_000)  # all until then have had their jobs
    assert enrolled(store) == Enrolled(ahead)
    before = from_ms(store.now_ms())

    found = enrolled(store, "new")

    assert found.set_back_from == ahead
    assert before <= found.since <= from_ms(store.now_ms())


@pytest.mark.parametrize("number", ["nan", "inf", "1e999", "-1", "9" * 400, "x", "", "0x10p999"])
def test_what_is_no_instant_is_as_if_nothing_was_handled(store: Store, number: str) -> None:
    enrolled(store)
    store.command("HSET", store.keys.cron("nightly"), "handled", number)
    before = from_ms(store.now_ms())

    assert send(store, a_fire()) == ["queued"]
    store.command("HSET", store.keys.cron("nightly"), "handled", number)
    assert enrolled(store).since >= before


def test_a_fire_sets_back_what_was_handled_ahead_and_then_makes_its_job(store: Store) -> None:
    handle(store, 3_600_000, 3_599_000)
    second = from_ms(store.now_ms() + 1_000).replace(microsecond=0)

    assert send(store, a_fire(second - timedelta(seconds=5))) == ["set_back"]
    assert record(store).set_back_from is not None
    wait_for(store, second)
    assert send(store, a_fire(second)) == ["queued"]


def wait_for(store: Store, instant: datetime) -> None:
    while from_ms(store.now_ms()) < instant:
        time.sleep(0.01)


def test_a_fire_time_that_the_clock_has_not_reached_makes_nothing(store: Store) -> None:
    before = store.snapshot()

    assert send(store, a_fire(from_ms(store.now_ms() + 1_000))) == ["early"]

    assert store.snapshot() == before


def test_what_all_had_jobs_before_their_time_is_waited_for(store: Store) -> None:
    ahead = handle(store, 3_600_000, since_in_ms=-60_000)

    assert enrolled(store) == Enrolled(ahead)


def test_a_fire_time_that_had_its_job_before_its_time_makes_no_second_one_when_that_was_pruned(
    store: Store,
) -> None:
    enrolled(store)
    now = store.now_ms()
    made = ("made_after", now - 2_000, "made_until", now - 1_000, "handled", now - 9_000)
    store.command("HSET", store.keys.cron("nightly"), *made)
    within = a_fire(from_ms(now - 1_500))

    assert send(store, a_fire(from_ms(now - 3_000))) == ["queued"]
    assert send(store, replace(within, previous=record(store).job or "")) == ["handled"]
    assert send(store, a_fire(from_ms(now), previous=record(store).job or "")) == ["queued"]
    assert b"made_until" not in store.command("HKEYS", store.keys.cron("nightly"))


def test_a_set_back_remembers_for_a_day_what_had_its_job(store: Store) -> None:
    was = handle(store, 3_600_000, since_in_ms=3_000_000)

    enrolled(store)

    after, until = store.command("HMGET", store.keys.cron("nightly"), "made_after", "made_until")
    assert int(until) == to_ms(was)
    assert int(until) - int(after) == 600_000


def test_a_resume_sets_back_what_was_handled_ahead(store: Store) -> None:
    handle(store, 3_600_000, 3_599_000)
    store.run(pause_cron(store.keys, "nightly"))

    store.run(resume_cron(store.keys, "nightly"))

    handled = record(store).handled
    assert handled is not None
    assert handled <= from_ms(store.now_ms())


def test_a_cancelled_job_in_the_middle_leaves_the_last_one_the_crons_previous(store: Store) -> None:
    three = datetime(2026, 11, 21, 3, tzinfo=UTC)
    send(store, a_fire(ONE))
    send(store, a_fire(TWO, overlap="queue", previous=ID_ONE))
    last = a_fire(three, overlap="queue", previous=ID_TWO)
    assert send(store, last) == ["blocked"]

    store.run(cancel(store.keys, ID_TWO))

    assert record(store).job == last.job_id


def test_after_the_cancel_of_a_waiting_job_the_previous_one_is_the_one_that_runs(
    store: Store,
) -> None:
    send(store, a_fire(ONE))
    assert send(store, a_fire(TWO, overlap="queue", previous=ID_ONE)) == ["blocked"]

    store.run(cancel(store.keys, ID_TWO))

    assert record(store).job == ID_ONE


def test_a_foreign_job_at_the_id_of_a_fire_time_is_told_not_taken_for_the_crons(
    store: Store,
) -> None:
    store.submit(id=ID_ONE, task="other", delay=timedelta(days=1))

    assert store.run(fire(store.keys, [a_fire()])) == [Fired("taken", ID_ONE)]
    assert record(store).handled is None

    assert send(store, a_fire(skip=Reason.TAKEN, detail=ID_ONE), a_fire(TWO)) == [
        "skipped",
        "queued",
    ]
    skipped = store.job(f"{ID_ONE}+skipped")
    assert (skipped.state, skipped.reason, skipped.cron) == (
        JobState.SKIPPED,
        Reason.TAKEN,
        "nightly",
    )
    assert store.job(ID_ONE).task == "other"


def test_a_job_of_another_fire_time_of_the_cron_is_as_foreign(store: Store) -> None:
    store.submit(id=ID_ONE, cron="nightly", fire_time=TWO)

    assert send(store, a_fire()) == ["taken"]
