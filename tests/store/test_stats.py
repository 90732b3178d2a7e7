"""Statistics: exact numbers from what scripts accepted, times within 5 %, whatever is folded."""

from collections.abc import Callable
from datetime import timedelta
from math import ceil
from random import Random
from typing import TypeVar

import pytest

from jobrunner.clock import from_ms, to_ms
from jobrunner.model import JobState, Reason
from jobrunner.store.attempts import finish, requeue
from jobrunner.store.cancelling import cancel
from jobrunner.store.crons import Fire, fire
from jobrunner.store.requests import Operation
from jobrunner.store.stats import FOLD_BATCH, Query, Stats, Window, fold, read_stats
from jobrunner.store.submission import submit
from jobrunner.store.tallies import OVERALL
from tests.store.factories import A_LOCK, AN_ERROR, MESSAGE, Store, mend_all

T = TypeVar("T")
KEEP_FOR = timedelta(days=30)
EVERY_WINDOW = [Query(window, OVERALL) for window in Window]
MINUTE_MS, HOUR_MS, DAY_MS = 60_000, 3_600_000, 86_400_000


@pytest.fixture(params=["folded", "not folded"])
def is_folded(request: pytest.FixtureRequest) -> bool:
    return bool(request.param == "folded")


@pytest.fixture
def store(store: Store) -> Store:
    store.add_worker()
    return store


def fold_all(store: Store) -> None:
    while store.run(fold(store.keys, KEEP_FOR)):
        pass


def seen_while(store: Store, operation: Operation[T], move: Callable[[], object]) -> T:
    """The result of a look before each request of which something is done."""
    request = next(operation)
    try:
        while True:
            move()
            request = operation.send(store.connection.execute(request))
    except StopIteration as end:
        found: T = end.value
    return found


def numbers(stats: Stats) -> tuple[int, int, int, int, int]:
    return stats.submitted, stats.completed, stats.failed, stats.skipped, stats.cancelled


def overall(store: Store, window: Window = Window.HOUR) -> Stats:
    [stats] = store.run(read_stats(store.keys, [Query(window, OVERALL)]))
    return stats


def fire_one(store: Store, minute: int, skip: Reason | None = None) -> None:
    at = from_ms(minute * MINUTE_MS)
    item = Fire("nightly", at, "demo", MESSAGE, "default", store.submission().priority, skip=skip)
    store.run(fire(store.keys, [item]))


def test_every_end_is_counted_by_its_state(store: Store, is_folded: bool) -> None:
    store.finished(JobState.COMPLETED)
    store.finished(JobState.FAILED)
    store.finished(JobState.SKIPPED)
    store.run(cancel(store.keys, store.submit()))
    fire_one(store, 1, skip=Reason.MISFIRE)
    fire_one(store, 2)
    if is_folded:
        fold_all(store)

    found = store.run(read_stats(store.keys, EVERY_WINDOW))

    assert [numbers(stats) for stats in found] == [(5, 1, 1, 2, 1)] * len(Window)
    assert [stats.window for stats in found] == list(Window)


def test_a_retried_failure_is_timed_but_has_not_ended(store: Store) -> None:
    store.retrying()

    found = overall(store)

    assert numbers(found) == (1, 0, 0, 0, 0)
    assert found.duration.p50 == timedelta(milliseconds=5)


def test_a_refused_finish_is_not_counted(store: Store) -> None:
    entry = store.claimed()
    store.run(requeue(store.keys, [entry], is_lost=True))

    store.finish(entry)

    assert numbers(overall(store)) == (1, 0, 0, 0, 0)
    assert overall(store).duration.p50 is None


def test_a_repeated_finish_is_counted_once(store: Store) -> None:
    entry = store.claimed()

    for _ in range(3):
        store.finish(entry)

    assert numbers(overall(store)) == (1, 1, 0, 0, 0)


def test_a_repeated_submit_is_counted_once(store: Store) -> None:
    submission = store.submission()

    for _ in range(3):
        store.run(submit(store.keys, [submission]))

    assert numbers(overall(store)) == (1, 0, 0, 0, 0)


@pytest.mark.parametrize("reason", [Reason.LOCKED, Reason.UNKNOWN_TASK, Reason.LOST])
def test_a_job_that_never_began_has_no_times(store: Store, reason: Reason) -> None:
    store.finish(store.claimed(), JobState.FAILED, reason=reason)

    found = overall(store)

    assert (found.failed, found.wait.p50, found.duration.p50) == (1, None, None)


def test_percentiles_are_five_percent_off_at_most(store: Store, is_folded: bool) -> None:
    random = Random(4)
    times = [round(random.lognormvariate(5, 3)) for _ in range(900)]
    for start in range(0, len(times), 300):
        store.run(submit(store.keys, [store.submission() for _ in range(300)]))
        entries = store.claim(free=300)
        ends = [
            store.end(entry, duration_ms=ms)
            for entry, ms in zip(entries, times[start : start + 300], strict=True)
        ]
        store.run(finish(store.keys, "w1", ends))
    if is_folded:
        fold_all(store)

    found = overall(store).duration

    for time, share in ((found.p50, 0.5), (found.p95, 0.95), (found.p99, 0.99)):
        exact = sorted(times)[ceil(share * len(times)) - 1]
        assert time is not None
        assert abs(time / timedelta(milliseconds=1) - exact) <= 0.05 * exact


def test_the_wait_is_from_queued_to_begun(store: Store) -> None:
    entry = store.claimed()
    queued_ms = int(entry.entry_id.partition("-")[0])
    store.start(entry)
    store.command("HSET", store.keys.job(entry.job_id), "started_at", queued_ms + 8_000)

    store.finish(entry, duration_ms=1)

    wait = overall(store).wait.p50
    assert wait is not None
    assert abs(wait - timedelta(seconds=8)) <= timedelta(milliseconds=400)


@pytest.mark.parametrize("started_at", ["nan", "inf", "x", ""])
def test_a_damaged_start_stops_no_end(store: Store, started_at: str) -> None:
    entry = store.running()
    store.command("HSET", store.keys.job(entry.job_id), "started_at", started_at)

    store.finish(entry)

    assert overall(store).completed == 1
    mend_all(store)


def write_tally(store: Store, age_ms: int, text: str, task: str = "demo") -> None:
    """As a script would have done so long ago."""
    second = (store.now_ms() - age_ms) // 1000
    store.command("RPUSH", store.keys.tally(), f"{second} {text} {task}")


def test_each_window_counts_what_is_no_older(store: Store, is_folded: bool) -> None:
    for number, age_ms in enumerate([1_000, 5 * MINUTE_MS, 5 * HOUR_MS, 5 * DAY_MS]):
        write_tally(store, age_ms, f"completed={10**number}")
    if is_folded:
        fold_all(store)

    found = store.run(read_stats(store.keys, EVERY_WINDOW))

    # Without a daemon nobody has said how many days are kept: it is one, at any time of the day.
    assert [stats.completed for stats in found[:3]] == [1, 11, 111]
    assert found[3].completed == (1111 if is_folded else 111)


def test_a_window_never_counts_more_than_one_bucket_too_much(store: Store) -> None:
    ages = {Window.MINUTE: 66_000, Window.HOUR: 66 * MINUTE_MS, Window.DAY: 26 * HOUR_MS}
    for age_ms in ages.values():
        write_tally(store, age_ms, "completed")
    fold_all(store)

    found = [overall(store, window).completed for window in ages]

    assert found == [0, 1, 2]


def test_the_rate_is_per_second_since_counting_began(store: Store) -> None:
    write_tally(store, 10_000, "completed=90,failed=9")
    fold_all(store)
    write_tally(store, 0, "completed")
    fold_all(store)

    found = overall(store, Window.DAY)

    assert found.rate_per_s == pytest.approx(10, rel=0.15)
    assert 10_000 <= store.now_ms() - to_ms(found.since) < 12_000


def test_tasks_are_told_apart_and_the_overall_is_their_sum(store: Store, is_folded: bool) -> None:
    store.finished(task="demo")
    store.finished(task="a:b c")
    store.finished(JobState.FAILED, task="demo")
    if is_folded:
        fold_all(store)

    found = store.run(read_stats(store.keys, [Query(Window.HOUR)]))

    assert [(stats.task, *numbers(stats)) for stats in found] == [
        (None, 3, 2, 1, 0, 0),
        ("a:b c", 1, 1, 0, 0, 0),
        ("demo", 2, 1, 1, 0, 0),
    ]
    [one] = store.run(read_stats(store.keys, [Query(Window.HOUR, "a:b c")]))
    assert one == found[1]


def test_who_folds_what_another_has_folded_changes_nothing(store: Store) -> None:
    write_tally(store, 0, "completed=7")
    late = fold(store.keys, KEEP_FOR)
    reply = store.connection.execute(next(late))
    reply = store.connection.execute(late.send(reply))
    fold_all(store)
    write_tally(store, 0, "completed=1")

    script = late.send(reply)

    assert store.connection.execute(script) == 0
    assert overall(store).completed == 8


def test_a_reading_that_folds_overtake_counts_everything_once(store: Store) -> None:
    second, number = store.now_ms() // 1000, 20 * FOLD_BATCH
    store.command("RPUSH", store.keys.tally(), *[f"{second} completed demo"] * number)
    reading = read_stats(store.keys, [*EVERY_WINDOW, Query(Window.HOUR)])

    found = seen_while(store, reading, lambda: store.run(fold(store.keys, KEEP_FOR)))

    assert [stats.completed for stats in found] == [number] * (len(Window) + 2)


def test_a_long_tally_is_folded_in_steps(store: Store) -> None:
    text = f"{store.now_ms() // 1000} completed demo"
    store.command("RPUSH", store.keys.tally(), *[text] * (FOLD_BATCH + 5))

    steps = 0
    while store.run(fold(store.keys, KEEP_FOR)):
        steps += 1

    assert steps == 2
    assert overall(store).completed == FOLD_BATCH + 5


def test_buckets_expire_with_their_window_and_days_with_history(store: Store) -> None:
    store.finished()
    fold_all(store)

    lives = {
        key.split(":")[3]: store.command("PTTL", key)
        for key in store.texts("KEYS", store.keys.stats("*", 0).removesuffix("0") + "*")
    }

    assert lives.keys() == set(Window)
    assert MINUTE_MS < lives[Window.MINUTE] <= 65_000
    assert HOUR_MS < lives[Window.HOUR] <= 65 * MINUTE_MS
    assert DAY_MS < lives[Window.DAY] <= 25 * HOUR_MS
    assert 31 * DAY_MS < lives[Window.ALL] <= 32 * DAY_MS


def test_what_is_damaged_hides_nothing_else(store: Store) -> None:
    store.finished()
    write_tally(store, 0, "nonsense", "demo")
    store.command("RPUSH", store.keys.tally(), "", "x", b"\xff 1 \xff", "12")
    fold_all(store)
    store.command("HSET", store.keys.folds(), "since", "9" * 30, "days", "9" * 30)

    assert numbers(overall(store)) == (1, 1, 0, 0, 0)
    mend_all(store)
    assert numbers(overall(store)) == (1, 1, 0, 0, 0)


def test_a_damaged_tally_stops_no_job(store: Store) -> None:
    store.command("SET", store.keys.tally(), "x")

    job_id = store.finished()

    assert store.state(job_id) is JobState.COMPLETED
    store.command("DEL", store.keys.tally())


def test_a_thousand_tasks_take_little_memory(store: Store) -> None:
    names = [f"task-number-{number}" for number in range(1000)]
    sizes = ",".join(
        ["completed=90", *(f"r{s}=9" for s in range(10)), *(f"w{s}=9" for s in range(9))]
    )
    second = store.now_ms() // 1000
    store.command("RPUSH", store.keys.tally(), *(f"{second} {sizes} {name}" for name in names))
    fold_all(store)

    bucket = store.now_ms() // DAY_MS
    key = store.keys.stats(Window.ALL, bucket)
    found = store.run(read_stats(store.keys, [Query(Window.DAY)]))

    assert len(found) == 1001
    assert found[0].completed == 90_000
    assert store.command("MEMORY", "USAGE", key, "SAMPLES", 0) < 300 * len(names)


def test_a_call_for_many_jobs_adds_one_item_per_task(store: Store) -> None:
    store.run(submit(store.keys, [store.submission(task=f"t{n % 3}") for n in range(90)]))
    entries = store.claim(free=90)
    ends = [store.end(entry, task=f"t{n % 3}") for n, entry in enumerate(entries)]
    store.run(finish(store.keys, "w1", ends))

    assert store.command("LLEN", store.keys.tally()) == 6


def test_a_lock_conflict_is_a_skip_without_times(store: Store) -> None:
    holder = store.running(lock=A_LOCK)
    entry = store.claimed()
    store.finish(entry, JobState.SKIPPED, reason=Reason.LOCKED)

    found = overall(store)

    assert (found.skipped, found.duration.p50) == (1, None)
    store.finish(holder, JobState.FAILED, error=AN_ERROR, lock=A_LOCK)
