"""Whether each job was performed exactly once, by what the store says and what the jobs counted.

A figure of jobs that were lost, or performed twice, is worth nothing: a part asks for it after
each run, outside the time it measures.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from jobrunner.errors import JobrunnerError
from jobrunner.model import JobState, Priority
from jobrunner.store.keys import Keys
from jobrunner.store.requests import Command, Operation, Pipeline

PAGE = 1000  # records read per round trip
SHOWN = 5  # problems named in the error
QUEUE = "default"  # of all tasks of the benchmark


class NotDelivered(JobrunnerError):
    """A job of the benchmark was lost, performed twice, or has a wrong record."""


@dataclass(frozen=True, slots=True)
class Record:
    """What the store says of one job."""

    job_id: str
    state: str
    attempt: str
    result: str  # JSON


def check_delivery(
    keys: Keys, job_ids: Sequence[str], attempts: int = 1, *, is_counted: bool = True
) -> Operation[None]:
    """Raises NotDelivered unless these jobs, and no others, were each performed once.

    `attempts` is how many each has on record; more than one, where workers were killed.
    `is_counted`: their results are those of `bench/work.py`; commands have none.
    """
    records = yield from _read_records(keys, job_ids)
    problems = record_problems(records, attempts)
    if is_counted:
        problems += count_problems([record.result for record in records])
    problems += yield from _leftovers(keys, len(job_ids))
    if problems:
        more = f" … and {len(problems) - SHOWN} more" if len(problems) > SHOWN else ""
        raise NotDelivered(
            f"{len(problems)} things are wrong after a run of {len(job_ids)} jobs",
            why="; ".join(problems[:SHOWN]) + more,
            fix="please report it with the command line: each job must be performed exactly once",
        )


def record_problems(records: Iterable[Record], attempts: int = 1) -> list[str]:
    """What is wrong with the records by themselves. Pure."""
    return [
        f"job {record.job_id} is {record.state or 'not there'}, attempt {record.attempt or 0}"
        for record in records
        if (record.state, record.attempt) != (JobState.COMPLETED, str(attempts))
    ]


def count_problems(results: Iterable[str]) -> list[str]:
    """What is wrong with the numbers of the calls. Pure.

    Each process has numbered its calls from 0, so the results on record must have each number
    once. One that is missing was of a job that was performed twice; not seen is only one that was
    the last call of its process.
    """
    numbers: dict[str, list[int]] = defaultdict(list)
    problems = []
    for result in results:
        pid, dash, number = result.strip('"').partition("-")
        if not (dash and number.isdigit()):
            problems.append(f"a result is {result!r}, not the number of a call")
            continue
        numbers[pid].append(int(number))
    for pid, found in numbers.items():
        problems += _gaps(pid, found)
    return problems


def _gaps(pid: str, found: list[int]) -> list[str]:
    seen = Counter(found)
    twice = [number for number, times in seen.items() if times > 1]
    missing = set(range(max(seen) + 1)) - set(seen)
    return [
        *(f"call {number} of process {pid} is the result of several jobs" for number in twice),
        *(f"call {number} of process {pid} is no job's result" for number in sorted(missing)),
    ]


def _read_records(keys: Keys, job_ids: Sequence[str]) -> Operation[list[Record]]:
    records = []
    for start in range(0, len(job_ids), PAGE):
        page = job_ids[start : start + PAGE]
        replies = yield Pipeline(
            [Command(("HMGET", keys.job(job_id), "state", "attempt", "result")) for job_id in page]
        )
        for job_id, reply in zip(page, replies, strict=True):
            records.append(Record(job_id, *((field or b"").decode() for field in reply)))
    return records


def _leftovers(keys: Keys, completed: int) -> Operation[list[str]]:
    """What the store's counts say besides: the sum of all must be these jobs, all completed."""
    expected = {
        ("ZCARD", keys.done(JobState.COMPLETED)): completed,
        ("ZCARD", keys.done(JobState.FAILED)): 0,
        ("ZCARD", keys.running()): 0,
        ("ZCARD", keys.scheduled()): 0,
        ("ZCARD", keys.blocked()): 0,
        **{("XLEN", keys.queue(QUEUE, priority)): 0 for priority in Priority},
    }
    replies = yield Pipeline([Command(args) for args in expected])
    return [
        f"{' '.join(args)} is {reply}, not {wanted}"
        for (args, wanted), reply in zip(expected.items(), replies, strict=True)
        if reply != wanted
    ]
