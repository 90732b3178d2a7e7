"""Finding jobs: by id, unique prefix or `@last`, and lists by state and task."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from heapq import nlargest
from itertools import chain
from typing import Any

import msgspec

from jobrunner.clock import to_ms
from jobrunner.errors import JobNotFound, UsageError
from jobrunner.model import Job, JobState
from jobrunner.store.attempts import DONE_STATES, read_streams
from jobrunner.store.damage import count_of
from jobrunner.store.keys import Keys
from jobrunner.store.records import ROW, job_not_found, read_jobs, read_parts
from jobrunner.store.requests import Command, Operation, Pipeline
from jobrunner.store.together import at_once

RECENT = 2000  # newest jobs per index in which a prefix is looked for
SHORTEST_PREFIX = 2


def find_id(keys: Keys, text: str) -> Operation[str]:
    """The id meant by an id, a prefix of a recent one, `@last` or `@last:<task>`.

    Raises JobNotFound, and UsageError for a prefix that fits several jobs.
    """
    if text == "@last" or text.startswith("@last:"):
        task = text.partition(":")[2] or "*"
        last: bytes | None = yield Command(("HGET", keys.last_job(), task))
        if last is None:
            raise job_not_found(text)
        return last.decode(errors="replace")
    if (yield Command(("EXISTS", keys.job(text)))):
        return text
    if len(text) < SHORTEST_PREFIX:
        raise job_not_found(text)
    matches = [i for i in (yield from recent_ids(keys)) if i.startswith(text)]
    if not matches:
        raise _not_found(text)
    if len(matches) > 1:
        shown = ", ".join(sorted(matches)[:5]) + (", …" if len(matches) > 5 else "")
        raise UsageError(
            f"{text!r} is the beginning of {len(matches)} job ids",
            why=f"it fits {shown}",
            fix="give more characters of the id",
        )
    return matches[0]


def _not_found(text: str) -> JobNotFound:
    return JobNotFound(
        f"no job {text!r}",
        why=f"no record has this id, and of the newest {RECENT} jobs of each state none has one "
        "that begins so; finished jobs are deleted when their retention is over",
        fix="`jobrunner list` prints the jobs that are known; an older one is found by its "
        "full id only",
    )


def recent_ids(keys: Keys, count: int = RECENT) -> Operation[list[str]]:
    """Ids of live jobs and of the newest finished ones, at most `count` per index."""
    indexes = [keys.running(), keys.scheduled(), keys.blocked()]
    indexes += [keys.done(state) for state in DONE_STATES]
    reads = [Command(("ZRANGE", index, 0, count - 1, "REV")) for index in indexes]
    streams = yield from read_streams(keys)
    # Claimed jobs are in the queues, too.
    queues = [Command(("XREVRANGE", stream, "+", "-", "COUNT", count)) for stream in streams]
    replies = yield from at_once([*queues, *reads])
    queued, found = _queued_ids(replies[: len(streams)]), replies[len(streams) :]
    return list(dict.fromkeys([*queued, *chain(*map(_texts, found))]))


def _queued_ids(replies: Iterable[Any]) -> list[str]:
    """Ids in the queues' entries, newest first."""
    entries = sorted(((entry[0], entry[1]) for entry in chain(*replies)), reverse=True)
    # What is no job's entry must not break a list; no record has such an id.
    return _texts(fields[1] for _, fields in entries if fields[0] == b"id")


def _texts(items: Iterable[bytes]) -> list[str]:
    return [item.decode(errors="replace") for item in items]


class Selection(msgspec.Struct, frozen=True):
    """Which jobs to list; newest first. `since` is compared with the instant the state is
    indexed by: finish, start or due time."""

    states: Sequence[JobState] = tuple(JobState)
    task: str | None = None
    since: datetime | None = None
    limit: int = 50
    is_for_rows: bool = False  # only what `ROW` names is read of each


PAGE = 500  # records read per step while a filter drops some
# Ids of scheduled jobs read per step. The newest may be due first, and the index is by due time: so
# they are picked by what their records say of their creation. A step takes some 30 ms.
SCHEDULED_PAGE = 10_000


class _Index(msgspec.Struct, frozen=True):
    """Where ids of jobs are found, newest first: a sorted set, or the stream of a queue.

    `state`: the live state whose jobs are in it, None for those that ended. A running job is still
    in its queue. `unwanted`: sorted sets of jobs that are in the index and not asked for.
    """

    key: str
    state: JobState | None = None
    unwanted: Sequence[str] = ()

    @property
    def is_queue(self) -> bool:
        return self.state is JobState.QUEUED


class _Found:
    """The jobs that a list has found so far, and which it still lacks."""

    def __init__(self, selection: Selection, numbers: Mapping[JobState | None, int]) -> None:
        self.jobs: dict[str, Job] = {}
        self._selection = selection
        self._missing = dict(numbers)

    def add(self, jobs: Iterable[Job]) -> None:
        """Keep those that fit."""
        for job in jobs:
            if _fits(job, self._selection) and job.id not in self.jobs:
                self.jobs[job.id] = job
                if job.state in self._missing:
                    self._missing[job.state] -= 1

    def lacks(self, index: _Index, kept: int) -> bool:
        """Whether an index of which so many are kept has more to give."""
        are_left = index.state not in self._missing or self._missing[index.state] > 0
        return kept < self._selection.limit and are_left


def list_jobs(keys: Keys, selection: Selection) -> Operation[list[Job]]:
    """The newest jobs that fit, by creation.

    Of each state but `scheduled` the limit takes those that came into it last: an old job that
    ended late may take the place of a newer one.
    """
    indexes = yield from _indexes(keys, selection)
    pages, numbers = yield from _first_pages(keys, selection, indexes)
    ids = []
    for index, page in zip(indexes, pages, strict=True):
        ids += yield from _wanted_ids(keys, index, page, selection)
    read = yield from _read_records(keys, selection, list(dict.fromkeys(ids)))
    found = _Found(selection, numbers)
    found.add(read)
    for index, page in zip(indexes, pages, strict=True):
        yield from _read_on(keys, index, page, selection, found)
    newest = sorted(found.jobs.values(), key=lambda job: (job.created_at, job.id), reverse=True)
    return newest[: selection.limit]


def _read_records(keys: Keys, selection: Selection, ids: Sequence[str]) -> Operation[list[Job]]:
    return read_parts(keys, ids, ROW) if selection.is_for_rows else read_jobs(keys, ids)


def _indexes(keys: Keys, selection: Selection) -> Operation[list[_Index]]:
    """The indexes to read."""
    live = {
        JobState.SCHEDULED: keys.scheduled(),
        JobState.BLOCKED: keys.blocked(),
        JobState.RUNNING: keys.running(),
    }
    indexes = [_Index(live[state], state) for state in selection.states if state in live]
    done = [state for state in DONE_STATES if state in selection.states]
    if selection.task and done:
        unwanted = [keys.done(state) for state in DONE_STATES if state not in done]
        indexes.append(_Index(keys.task_done(selection.task), unwanted=unwanted))
    else:
        indexes += [_Index(keys.done(state)) for state in done]
    if JobState.QUEUED in selection.states:
        streams = yield from read_streams(keys)
        indexes += [_Index(stream, JobState.QUEUED) for stream in streams]
    return indexes


def _first_pages(
    keys: Keys, selection: Selection, indexes: Sequence[_Index]
) -> Operation[tuple[list[list[Any]], dict[JobState | None, int]]]:
    """The newest items of each index, and how many jobs of the task are in each live state.

    They are of one instant: a job that moves on meanwhile is not missed between two of them.
    Of a state in which the task has no job all records would be read for none.
    """
    states = list(dict.fromkeys(index.state for index in indexes if index.state))
    is_counted = selection.task is not None and bool(states)
    fields = [f"{state}:{selection.task}" for state in states]
    counts = [Command(("HMGET", keys.counts(), *fields))] if is_counted else []
    replies = yield from at_once([*(_read(index, selection) for index in indexes), *counts])
    if not is_counted:
        return replies, {}
    numbers: dict[JobState | None, int]
    numbers = dict(zip(states, map(count_of, replies.pop()), strict=True))
    pages = [
        page if index.state is None or numbers[index.state] else []
        for index, page in zip(indexes, replies, strict=True)
    ]
    return pages, numbers


def _page(index: _Index, selection: Selection) -> int:
    """Items to read per step: no more than asked for where each of them fits."""
    if index.state is JobState.SCHEDULED:
        return SCHEDULED_PAGE
    if not index.is_queue:
        return PAGE if selection.task else min(selection.limit, PAGE)
    # A running job has an entry, too, and may not be wanted.
    fits = selection.task is None and JobState.RUNNING in selection.states
    return selection.limit if fits else max(selection.limit, PAGE)


def _read(index: _Index, selection: Selection, start: int = 0, last: Any = None) -> Command:
    """A page of an index from its newest end: after so many items, of which that is the last."""
    page = _page(index, selection)
    if index.is_queue:
        # No job is queued before it is created.
        lowest = max(to_ms(selection.since), 0) if selection.since else "-"
        highest = "+" if last is None else b"(" + last[0]
        return Command(("XREVRANGE", index.key, highest, lowest, "COUNT", page))
    lowest = to_ms(selection.since) if selection.since else "-inf"
    return Command(("ZRANGE", index.key, "+inf", lowest, "BYSCORE", "REV", "LIMIT", start, page))


def _ids(index: _Index, page: Sequence[Any]) -> list[str]:
    return _queued_ids([page]) if index.is_queue else _texts(page)


def _wanted_ids(
    keys: Keys, index: _Index, page: Sequence[Any], selection: Selection
) -> Operation[list[str]]:
    """The ids in a page of jobs whose records are worth a look."""
    ids = _ids(index, page)
    if ids and index.unwanted:
        return (yield from _without(ids, index.unwanted))
    if index.state is JobState.SCHEDULED and len(ids) > selection.limit:
        return (yield from _newest_created(keys, ids, selection))
    return ids


def _without(ids: Sequence[str], unwanted: Sequence[str]) -> Operation[list[str]]:
    """The ids that are in none of the sorted sets.

    Not only those in wanted states: a job that is queued again meanwhile is in none.
    """
    replies = yield Pipeline([Command(("ZMSCORE", key, *ids)) for key in unwanted])
    return [
        job_id
        for job_id, *scores in zip(ids, *replies, strict=True)
        if all(score is None for score in scores)
    ]


def _newest_created(keys: Keys, ids: Sequence[str], selection: Selection) -> Operation[list[str]]:
    """As many ids as are asked for, of jobs of the task that were created last."""
    fields = yield Pipeline(
        [Command(("HMGET", keys.job(job_id), "created_at", "task")) for job_id in ids]
    )
    task = selection.task and selection.task.encode()
    created = [
        (count_of(created_at), job_id)
        for job_id, (created_at, of_task) in zip(ids, fields, strict=True)
        if task in (None, of_task)
    ]
    return [job_id for _, job_id in nlargest(selection.limit, created)]


def _read_on(
    keys: Keys, index: _Index, page: Sequence[Any], selection: Selection, found: _Found
) -> Operation[None]:
    """Read an index from its second page on until enough of its jobs fit."""
    full = _page(index, selection)
    start, kept = full, sum(job_id in found.jobs for job_id in _ids(index, page))
    while len(page) == full and found.lacks(index, kept):
        page = yield _read(index, selection, start, page[-1])
        ids = yield from _wanted_ids(keys, index, page, selection)
        found.add((yield from _read_records(keys, selection, ids)))
        start, kept = start + full, kept + sum(job_id in found.jobs for job_id in ids)


def _fits(job: Job, selection: Selection) -> bool:
    return (
        job.state in selection.states
        and selection.task in (None, job.task)
        and (selection.since is None or job.created_at >= selection.since or job.is_terminal)
    )


def history(keys: Keys, task: str, limit: int) -> Operation[list[Job]]:
    """Finished jobs of a task, newest first."""
    ids = yield Command(("ZRANGE", keys.task_done(task), 0, limit - 1, "REV"))
    jobs = yield from read_jobs(keys, _texts(ids))
    return jobs


def count_live(keys: Keys, *states: JobState) -> Operation[int]:
    """How many jobs are in these live states; by default those that are or could be running."""
    flat = yield Command(("HGETALL", keys.counts()))
    wanted = {state.value for state in states or (JobState.QUEUED, JobState.RUNNING)}
    names = [name.decode(errors="replace").partition(":")[0] for name in flat[::2]]
    return sum(count_of(n) for name, n in zip(names, flat[1::2], strict=True) if name in wanted)
