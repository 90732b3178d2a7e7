"""Finding and listing jobs."""

import re
from collections.abc import Callable
from contextlib import suppress
from itertools import count
from typing import TypeVar

import pytest

from jobrunner.clock import from_ms
from jobrunner.errors import JobNotFound, UsageError
from jobrunner.model import JobState
from jobrunner.store.attempts import Start, finish, start
from jobrunner.store.lookup import (
    PAGE,
    RECENT,
    SCHEDULED_PAGE,
    Selection,
    find_id,
    history,
    list_jobs,
    recent_ids,
)
from jobrunner.store.requests import Command, Operation, Pipeline
from jobrunner.store.submission import retry_job, submit
from tests.store.factories import LONG_AGO, Store, minutes

T = TypeVar("T")


def find(store: Store, text: str) -> str:
    return store.run(find_id(store.keys, text))


def listed(store: Store, **selection: object) -> list[str]:
    found = store.run(list_jobs(store.keys, Selection(**selection)))  # type: ignore[arg-type]
    return [job.id for job in found]


def test_an_id_is_found_by_itself(store: Store) -> None:
    store.submit(id="k3f9x2mq7pab")

    assert find(store, "k3f9x2mq7pab") == "k3f9x2mq7pab"


def test_an_id_is_found_also_when_it_begins_others(store: Store) -> None:
    store.submit(id="nightly")
    store.submit(id="nightly2")

    assert find(store, "nightly") == "nightly"


def test_a_prefix_finds_its_job_in_any_state(store: Store) -> None:
    store.add_worker()
    store.finished(id="aa1")
    store.finished(JobState.FAILED, id="bb1")
    store.running(id="cc1")
    store.claimed(id="dd1")
    store.submit(id="ee1")
    store.submit(id="ff1", delay=minutes(1))
    store.submit(id="gg1", after="cc1")

    prefixes = ["aa", "bb", "cc", "dd", "ee", "ff", "gg"]
    assert [find(store, prefix) for prefix in prefixes] == [f"{prefix}1" for prefix in prefixes]


def test_a_prefix_of_several_jobs_names_them(store: Store) -> None:
    store.submit(id="abc1")
    store.submit(id="abc2")
    store.submit(id="abd")

    with pytest.raises(UsageError, match=re.escape("'abc' is the beginning of 2 job ids")) as found:
        find(store, "abc")
    assert found.value.why == "it fits abc1, abc2"


@pytest.mark.parametrize("text", ["zz", "a", "", "@last", "@last:other", "*"])
def test_what_fits_no_job_is_not_found(store: Store, text: str) -> None:
    if not text.startswith("@") or text == "@last:other":
        store.submit(id="abc")

    with pytest.raises(JobNotFound):
        find(store, text)


def test_an_older_job_is_found_by_its_full_id_and_the_beginning_is_answered_so(
    store: Store,
) -> None:
    store.submit(id="old1")
    for _ in range(RECENT // 500):
        store.run(submit(store.keys, [store.submission() for _ in range(500)]))

    assert find(store, "old1") == "old1"
    with pytest.raises(JobNotFound) as found:
        find(store, "old")
    assert f"of the newest {RECENT} jobs of each state none" in str(found.value.why)
    assert "an older one is found by its full id only" in str(found.value.fix)


def test_the_last_job_is_found_of_all_and_of_a_task(store: Store) -> None:
    backup = store.submit(task="backup")
    report = store.submit(task="report")

    assert find(store, "@last") == report
    assert find(store, "@last:backup") == backup


def test_garbage_in_a_queue_does_not_break_a_list(store: Store) -> None:
    store.command("XADD", store.keys.queue("default", "high"), "*", "hello", "world")
    store.command("XADD", store.keys.queue("default", "high"), "*", "id", b"\xff")
    job_id = store.submit()

    assert listed(store) == [job_id]
    assert job_id in store.run(recent_ids(store.keys))


def test_jobs_of_every_state_are_listed_newest_first(store: Store) -> None:
    store.add_worker()
    ids = [store.finished(), store.finished(JobState.SKIPPED), store.running().job_id]
    ids += [store.submit(), store.submit(delay=minutes(1)), store.submit(after=ids[2])]
    for number, job_id in enumerate(ids):
        store.command("HSET", store.keys.job(job_id), "created_at", LONG_AGO + number)

    assert listed(store) == ids[::-1]
    assert listed(store, limit=2) == ids[:-3:-1]


@pytest.mark.parametrize("state", ["completed", "failed", "running", "queued", "scheduled"])
def test_a_list_by_state_has_only_that_state(store: Store, state: str) -> None:
    store.add_worker()
    jobs = {
        "completed": store.finished(),
        "failed": store.finished(JobState.FAILED),
        "running": store.running().job_id,
        "queued": store.claimed().job_id,
        "scheduled": store.submit(delay=minutes(1)),
    }

    assert listed(store, states=[JobState(state)]) == [jobs[state]]


def test_a_list_by_task_finds_jobs_beyond_the_first_page(store: Store) -> None:
    store.add_worker()
    wanted = store.submit(task="rare", delay=minutes(1))
    for _ in range(SCHEDULED_PAGE // 500 + 1):
        later = [store.submission(delay=minutes(2)) for _ in range(500)]
        store.run(submit(store.keys, later))

    assert listed(store, task="rare", limit=1) == [wanted]


@pytest.mark.parametrize("task", ["demo", None])
def test_the_newest_scheduled_jobs_are_listed_whenever_they_are_due(
    store: Store, task: str | None
) -> None:
    late = [store.submit(delay=minutes(120)) for _ in range(6)]
    soon = store.submit(delay=minutes(1))
    store.submit(task="other", delay=minutes(240))
    for number, job_id in enumerate([*late, soon]):
        store.command("HINCRBY", store.keys.job(job_id), "created_at", 1000 * (number + 1))

    assert listed(store, limit=2, task=task) == [soon, late[-1]]


def test_a_queued_job_is_listed_however_many_are_queued_after_it(store: Store) -> None:
    wanted = store.submit(task="rare")
    store.run(submit(store.keys, [store.submission(task="common") for _ in range(PAGE + 100)]))

    assert listed(store, task="rare") == [wanted]
    assert listed(store, task="rare", states=[JobState.QUEUED]) == [wanted]
    assert len(listed(store, task="common", limit=PAGE + 50)) == PAGE + 50


def test_queued_jobs_are_listed_however_many_that_were_queued_later_run(store: Store) -> None:
    store.add_worker()
    waiting = store.claimed().job_id
    store.run(submit(store.keys, [store.submission() for _ in range(PAGE + 100)]))
    entries = store.claim(free=PAGE + 100)
    store.run(start(store.keys, "w1", [Start(entry, "demo", 0) for entry in entries]))

    assert listed(store, states=[JobState.QUEUED]) == [waiting]


def test_a_list_by_task_and_state_looks_into_the_tasks_history(store: Store) -> None:
    store.add_worker()
    store.finished(task="backup")
    failed = store.finished(JobState.FAILED, task="backup")
    store.finished(JobState.FAILED, task="report")

    assert listed(store, task="backup", states=[JobState.FAILED]) == [failed]


def test_a_list_since_an_instant_leaves_out_what_ended_before(store: Store) -> None:
    store.add_worker()
    old = store.finished()
    store.command("ZADD", store.keys.done("completed"), LONG_AGO, old)
    young = store.finished()

    assert listed(store, since=from_ms(store.now_ms() - 60_000)) == [young]


def test_the_history_of_a_task_is_newest_first_and_limited(store: Store) -> None:
    store.add_worker()
    ids = [store.finished(task="backup") for _ in range(3)]
    for number, job_id in enumerate(ids):
        store.command("ZADD", store.keys.task_done("backup"), LONG_AGO + number, job_id)
    store.finished(task="report")
    store.submit(task="backup")

    found = store.run(history(store.keys, "backup", limit=2))

    assert [job.id for job in found] == ids[:0:-1]


def seen_while_it_moves(
    store: Store, operation: Operation[T], turn: int, move: Callable[[], object]
) -> T:
    """The result of a look during which, before its request of that number, a job moves on."""
    request = next(operation)
    try:
        for number in count():
            if number == turn:
                move()
            request = operation.send(store.connection.execute(request))
    except StopIteration as end:
        found: T = end.value
    return found


@pytest.mark.parametrize("turn", range(4))
@pytest.mark.parametrize("task", ["demo", None])
def test_a_job_that_ends_during_a_look_is_in_the_list(
    store: Store, turn: int, task: str | None
) -> None:
    store.add_worker()
    entry = store.claimed()
    look = list_jobs(store.keys, Selection(task=task))

    found = seen_while_it_moves(store, look, turn, lambda: store.finish(entry))

    assert [job.id for job in found] == [entry.job_id]


@pytest.mark.parametrize("turn", range(5))
def test_a_job_that_becomes_due_during_a_search_by_prefix_is_found(store: Store, turn: int) -> None:
    store.add_worker()
    job_id = store.submit(delay=minutes(1))
    search = find_id(store.keys, job_id[:4])

    def become_due() -> None:
        store.make_due(job_id)
        store.promote(job_id)

    assert seen_while_it_moves(store, search, turn, become_due) == job_id


def records_read(store: Store, selection: Selection) -> int:
    """How many records a list reads."""
    operation, number = list_jobs(store.keys, selection), 0
    request = next(operation)
    with suppress(StopIteration):
        while True:
            if isinstance(request, Pipeline):
                reads = [item for item in request.requests if isinstance(item, Command)]
                number += [item.args[0] for item in reads].count("HGETALL")
            request = operation.send(store.connection.execute(request))
    return number


def test_a_short_list_reads_few_records(store: Store) -> None:
    store.add_worker()
    for _ in range(30):
        store.finished()
        store.submit(delay=minutes(1))
    for _ in range(30):
        store.submit()

    assert records_read(store, Selection(limit=5)) == 3 * 5


def test_a_list_of_a_task_reads_no_state_in_which_it_has_no_job(store: Store) -> None:
    for _ in range(30):
        store.submit(delay=minutes(1))

    assert records_read(store, Selection(task="other")) == 0
    assert records_read(store, Selection(task="demo")) == 30


def test_a_list_by_task_and_state_reads_no_record_of_another_state(store: Store) -> None:
    store.add_worker()
    failed = store.finished(JobState.FAILED)
    store.run(submit(store.keys, [store.submission() for _ in range(PAGE + 100)]))
    entries = store.claim(free=PAGE + 100)
    store.run(finish(store.keys, "w1", [store.end(entry) for entry in entries]))
    selection = Selection(task="demo", states=[JobState.FAILED])

    assert records_read(store, selection) == 1
    assert listed(store, task="demo", states=[JobState.FAILED]) == [failed]


@pytest.mark.parametrize("turn", range(5))
def test_a_job_that_is_retried_during_a_look_is_in_the_list(store: Store, turn: int) -> None:
    store.add_worker()
    job_id = store.finished(JobState.FAILED)
    selection = Selection(task="demo", states=[JobState.FAILED, JobState.QUEUED])
    look = list_jobs(store.keys, selection)

    found = seen_while_it_moves(store, look, turn, lambda: store.run(retry_job(store.keys, job_id)))

    assert [job.id for job in found] == [job_id]


def test_a_list_of_a_task_ends_where_all_its_jobs_are_found(store: Store) -> None:
    for queue in ("default", "web"):
        store.run(submit(store.keys, [store.submission(queue=queue) for _ in range(PAGE + 100)]))
    store.submit(task="rare")

    assert records_read(store, Selection(task="rare")) == 2 * PAGE
