"""Finding jobs: by id, unique prefix or `@last`, and lists by state and task."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from itertools import chain
from typing import Any

import msgspec

from jobrunner.clock import to_ms
from jobrunner.errors import UsageError
from jobrunner.model import Job, JobState
from jobrunner.store.attempts import DONE_STATES, read_streams
from jobrunner.store.damage import count_of
from jobrunner.store.keys import Keys
from jobrunner.store.records import job_not_found, read_jobs
from jobrunner.store.requests import Command, Operation
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
        raise job_not_found(text)
    if len(matches) > 1:
        shown = ", ".join(sorted(matches)[:5]) + (", …" if len(matches) > 5 else "")
        raise UsageError(
            f"{text!r} is the beginning of {len(matches)} job ids",
            why=f"it fits {shown}",
            fix="give more characters of the id",
        )
    return matches[0]


def recent_ids(keys: Keys, count: int = RECENT) -> Operation[list[str]]:
    """Ids of live jobs and of the newest finished ones, at most `count` per index."""
    indexes = [keys.running(), keys.scheduled(), keys.blocked()]
    indexes += [keys.done(state) for state in DONE_STATES]
    reads = [Command(("ZRANGE", index, 0, count - 1, "REV")) for index in indexes]
    streams = yield from read_streams(keys)
    replies = yield from at_once([*_queue_reads(streams, count), *reads])
    queued, found = _queued_ids(replies[: len(streams)]), replies[len(streams) :]
    return list(dict.fromkeys([*queued, *chain(*map(_texts, found))]))


def _queue_reads(streams: Iterable[str], count: int) -> list[Command]:
    """Claimed jobs are in the queues, too."""
    return [Command(("XREVRANGE", stream, "+", "-", "COUNT", count)) for stream in streams]


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


PAGE = 500  # records read per step while a filter drops some


def list_jobs(keys: Keys, selection: Selection) -> Operation[list[Job]]:
    """The newest jobs that fit, by creation."""
    indexes, page = _indexes(keys, selection), _page(selection)
    pages, queued = yield from _first_pages(keys, selection, indexes)
    read = yield from read_jobs(keys, list(dict.fromkeys([*queued, *chain(*pages)])))
    found = {job.id: job for job in read if _fits(job, selection)}
    for index, ids in zip(indexes, pages, strict=True):
        if len(ids) == page:
            kept = sum(job_id in found for job_id in ids)
            yield from _read_on(keys, index, selection, found, kept)
    jobs = sorted(found.values(), key=lambda job: (job.created_at, job.id), reverse=True)
    return jobs[: selection.limit]


def _first_pages(
    keys: Keys, selection: Selection, indexes: Mapping[str, str]
) -> Operation[tuple[list[list[str]], list[str]]]:
    """The newest ids of each index and of the queues; none of those that have no job of the task.

    They are of one instant: a job that moves on meanwhile is not missed between two of them.
    """
    is_queued = JobState.QUEUED in selection.states
    streams = (yield from read_streams(keys)) if is_queued else []
    queued = _count_field(JobState.QUEUED, selection)
    fields = [*indexes.values(), queued]
    numbers, *replies = yield from at_once(
        [
            Command(("HMGET", keys.counts(), *fields)),
            *(_read(index, selection, 0) for index in indexes),
            *_queue_reads(streams, _entries(selection)),
        ]
    )
    empty = {f for f, number in zip(fields, numbers, strict=True) if f and not count_of(number)}
    pages = [
        [] if field in empty else _texts(reply)
        for field, reply in zip(indexes.values(), replies, strict=False)
    ]
    return pages, [] if queued in empty else _queued_ids(replies[len(indexes) :])


def _count_field(state: JobState, selection: Selection) -> str:
    """Tells whether the task has such a job: all records of its index would be read for none."""
    return f"{state}:{selection.task}" if selection.task else ""


def _page(selection: Selection) -> int:
    """Records to read per step: no more than asked for where each of them fits."""
    return PAGE if selection.task else min(selection.limit, PAGE)


def _entries(selection: Selection) -> int:
    """Entries to read of each queue. A running job has one, too, and may not be wanted."""
    fits = selection.task is None and JobState.RUNNING in selection.states
    return selection.limit if fits else max(selection.limit, PAGE)


def _indexes(keys: Keys, selection: Selection) -> dict[str, str]:
    """The indexes to read but the queues, each with its field in `counts` if it has one."""
    live = {
        JobState.SCHEDULED: keys.scheduled(),
        JobState.BLOCKED: keys.blocked(),
        JobState.RUNNING: keys.running(),
    }
    indexes = {
        live[state]: _count_field(state, selection) for state in selection.states if state in live
    }
    done = [state for state in DONE_STATES if state in selection.states]
    if selection.task and done:
        return {**indexes, keys.task_done(selection.task): ""}
    return indexes | {keys.done(state): "" for state in done}


def _read(index: str, selection: Selection, start: int) -> Command:
    """The page of an index, from its newest end."""
    lowest = to_ms(selection.since) if selection.since else "-inf"
    page = _page(selection)
    return Command(("ZRANGE", index, "+inf", lowest, "BYSCORE", "REV", "LIMIT", start, page))


def _read_on(
    keys: Keys, index: str, selection: Selection, found: dict[str, Job], kept: int
) -> Operation[None]:
    """Read an index from its second page on until enough of its jobs fit."""
    page = _page(selection)
    start = page
    while kept < selection.limit:
        ids = yield _read(index, selection, start)
        jobs = yield from read_jobs(keys, _texts(ids))
        fitting = {job.id: job for job in jobs if _fits(job, selection)}
        found.update(fitting)
        kept += len(fitting)
        start += page
        if len(ids) < page:
            return


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
