"""Finding jobs: by id, unique prefix or `@last`, and lists by state and task."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from jobrunner.clock import to_ms
from jobrunner.errors import UsageError
from jobrunner.model import LIVE, Job, JobState, Priority
from jobrunner.store.attempts import DONE_STATES
from jobrunner.store.damage import count_of
from jobrunner.store.keys import Keys
from jobrunner.store.records import job_not_found, read_jobs
from jobrunner.store.requests import Command, Operation, Pipeline

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
    queued = yield from _queued_ids(keys, count)
    indexes = [keys.running(), keys.scheduled(), keys.blocked()]
    indexes += [keys.done(state) for state in DONE_STATES]
    replies = yield Pipeline([Command(("ZRANGE", index, 0, count - 1, "REV")) for index in indexes])
    found = [*queued, *(item.decode(errors="replace") for reply in replies for item in reply)]
    return list(dict.fromkeys(found))


def _queued_ids(keys: Keys, count: int) -> Operation[list[str]]:
    """Ids in the queues' entries, newest first; claimed ones are among them."""
    names = yield Command(("SMEMBERS", keys.queues()))
    streams = [
        keys.queue(name.decode(errors="replace"), level)
        for name in sorted(names)
        for level in Priority
    ]
    if not streams:
        return []
    replies = yield Pipeline(
        [Command(("XREVRANGE", stream, "+", "-", "COUNT", count)) for stream in streams]
    )
    entries = sorted(((entry[0], entry[1]) for reply in replies for entry in reply), reverse=True)
    # What is no job's entry must not break a list; no record has such an id.
    return [fields[1].decode(errors="replace") for _, fields in entries if fields[0] == b"id"]


@dataclass(frozen=True, slots=True)
class Selection:
    """Which jobs to list; newest first. `since` is compared with the instant the state is
    indexed by: finish, start or due time."""

    states: Sequence[JobState] = tuple(JobState)
    task: str | None = None
    since: datetime | None = None
    limit: int = 50


PAGE = 500  # records read per step while a filter drops some


def list_jobs(keys: Keys, selection: Selection) -> Operation[list[Job]]:
    """The newest jobs that fit, by creation."""
    found: dict[str, Job] = {}
    selection = yield from _without_empty_states(keys, selection)
    for index in _indexes(keys, selection):
        yield from _collect(keys, index, selection, found)
    if JobState.QUEUED in selection.states:
        queued = yield from _queued_ids(keys, _queue_page(selection))
        _keep(found, (yield from read_jobs(keys, queued)), selection)
    jobs = sorted(found.values(), key=lambda job: (job.created_at, job.id), reverse=True)
    return jobs[: selection.limit]


def _without_empty_states(keys: Keys, selection: Selection) -> Operation[Selection]:
    """Without live states in which the task has no job: their records would all be read."""
    if selection.task is None:
        return selection
    live = [state for state in selection.states if state in LIVE]
    if not live:
        return selection
    fields = [f"{state}:{selection.task}" for state in live]
    numbers = yield Command(("HMGET", keys.counts(), *fields))
    empty = {state for state, number in zip(live, numbers, strict=True) if not count_of(number)}
    return replace(selection, states=[s for s in selection.states if s not in empty])


def _page(selection: Selection) -> int:
    """Records to read per step: no more than asked for where each of them fits."""
    return PAGE if selection.task else min(selection.limit, PAGE)


def _queue_page(selection: Selection) -> int:
    """Entries to read. A running job has one, too, and may not be wanted."""
    fits = selection.task is None and JobState.RUNNING in selection.states
    return selection.limit if fits else max(selection.limit, PAGE)


def _indexes(keys: Keys, selection: Selection) -> list[str]:
    live = {
        JobState.SCHEDULED: keys.scheduled(),
        JobState.BLOCKED: keys.blocked(),
        JobState.RUNNING: keys.running(),
    }
    indexes = [live[state] for state in selection.states if state in live]
    done = [state for state in DONE_STATES if state in selection.states]
    if selection.task and done:
        return [*indexes, keys.task_done(selection.task)]
    return indexes + [keys.done(state) for state in done]


def _collect(
    keys: Keys, index: str, selection: Selection, found: dict[str, Job]
) -> Operation[None]:
    """Read an index from its newest end until enough jobs fit."""
    lowest = to_ms(selection.since) if selection.since else "-inf"
    page = _page(selection)
    kept = start = 0
    while kept < selection.limit:
        ids = yield Command(
            ("ZRANGE", index, "+inf", lowest, "BYSCORE", "REV", "LIMIT", start, page)
        )
        jobs = yield from read_jobs(keys, [item.decode(errors="replace") for item in ids])
        kept += _keep(found, jobs, selection)
        start += page
        if len(ids) < page:
            return


def _keep(found: dict[str, Job], jobs: Iterable[Job], selection: Selection) -> int:
    fitting = [
        job
        for job in jobs
        if job.state in selection.states
        and selection.task in (None, job.task)
        and (selection.since is None or job.created_at >= selection.since or job.is_terminal)
    ]
    found.update((job.id, job) for job in fitting)
    return len(fitting)


def history(keys: Keys, task: str, limit: int) -> Operation[list[Job]]:
    """Finished jobs of a task, newest first."""
    ids = yield Command(("ZRANGE", keys.task_done(task), 0, limit - 1, "REV"))
    jobs = yield from read_jobs(keys, [item.decode(errors="replace") for item in ids])
    return jobs


def count_live(keys: Keys, *states: JobState) -> Operation[int]:
    """How many jobs are in these live states; by default those that are or could be running."""
    flat = yield Command(("HGETALL", keys.counts()))
    wanted = {state.value for state in states or (JobState.QUEUED, JobState.RUNNING)}
    names = [name.decode(errors="replace").partition(":")[0] for name in flat[::2]]
    return sum(count_of(n) for name, n in zip(names, flat[1::2], strict=True) if name in wanted)
