"""The record of a job: the hash in the store, and the `Job` that callers see."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import msgspec

from jobrunner import message
from jobrunner.clock import from_ms
from jobrunner.errors import JobNotFound, quoted
from jobrunner.model import Job, JobError, JobState, LeftProcess, Priority, Reason, Usage
from jobrunner.store.damage import UNREADABLE, Readers, damaged_fields, mended
from jobrunner.store.decoding import whole
from jobrunner.store.keys import Keys
from jobrunner.store.requests import Command, Operation, Pipeline

STATES = {state.value.encode(): state for state in JobState}  # by the replies of scripts
_errors = msgspec.json.Decoder(JobError)
_left = msgspec.json.Decoder(list[LeftProcess])


def state_of(reply: bytes | None) -> JobState | None:
    """The state in a record; None without one. What is none is as `failed` as its job is shown."""
    return STATES.get(reply, JobState.FAILED) if reply else None


def fields_of(flat: Sequence[bytes]) -> dict[str, str]:
    """The mapping in a flat HGETALL reply."""
    texts = [item.decode(errors="replace") for item in flat]
    return dict(zip(texts[::2], texts[1::2], strict=True))


def job_of(job_id: str, fields: dict[str, str]) -> Job:
    """The job in a record's fields; unknown fields are left to newer versions.

    A damaged record tells so by its `error`, and is `failed` where the state cannot be read.
    """
    try:
        return _job_of(job_id, fields)
    except UNREADABLE:
        damaged = damaged_fields(fields, _READERS, _NEEDED)
        what = ", ".join(f"{name}={fields.get(name, '')[:40]!r}" for name in damaged)
        error = JobError("unreadable", f"its record is damaged: {what}")
        rest = mended(fields, damaged, _NEEDED)
        return _job_of(job_id, {**rest, "error": msgspec.json.encode(error).decode()})


def _job_of(job_id: str, fields: dict[str, str]) -> Job:
    return Job(
        id=job_id,
        task=fields["task"],
        state=JobState(fields["state"]),
        queue=fields["queue"],
        priority=Priority(fields["priority"]),
        created_at=from_ms(whole(fields["created_at"])),
        attempt=whole(fields.get("attempt", "0")),
        reason=_optional(Reason, fields.get("reason")),
        cron=fields.get("cron"),
        fire_time=_instant(fields.get("fire_time")),
        due_at=_instant(fields.get("due_at")),
        started_at=_instant(fields.get("started_at")),
        finished_at=_instant(fields.get("finished_at")),
        duration=_optional(_milliseconds, fields.get("duration_ms")),
        result=_optional(msgspec.json.decode, fields.get("result")),
        error=_optional(_errors.decode, fields.get("error")),
        detail=fields.get("detail"),
        last_stderr=fields.get("stderr"),
        worker=fields.get("worker"),
        lock=fields.get("lock"),
        progress=_optional(msgspec.json.decode, fields.get("progress")),
        key=fields.get("key"),
        after=fields.get("after"),
        **_arguments(fields.get("message")),
        cancel_requested="cancel_requested" in fields,
        usage=_optional(_usage, fields.get("usage")),
        left=_optional(_left.decode, fields.get("left")),
    )


def _optional(convert: Any, text: str | None) -> Any:
    return None if text is None or text == "" else convert(text)


def _instant(text: str | None) -> Any:
    return _optional(lambda value: from_ms(whole(value)), text)


def _milliseconds(text: str) -> timedelta:
    return timedelta(milliseconds=whole(text))


def usage_text(usage: Usage) -> str:
    """`12,1048576,,0`: as short as can be, since every command's record has one."""
    cpu, memory, read, written = (
        usage.cpu_ms,
        usage.memory_bytes,
        usage.read_bytes,
        usage.write_bytes,
    )
    return (
        f"{'' if cpu is None else cpu},{'' if memory is None else memory},"
        f"{'' if read is None else read},{'' if written is None else written}"
    )


def _usage(text: str) -> Usage:
    cpu, memory, read, written = (whole(count) if count else None for count in text.split(","))
    return Usage(cpu, memory, read, written)


def _arguments(text: str | None) -> dict[str, Any]:
    try:
        body = None if text is None else message.decode(text)
    except (msgspec.DecodeError, RecursionError):
        body = None  # damaged; the job failed for it, and its record must stay readable
    if body is None:
        return {}
    unmarked = body.kwargs if body.secrets is None else None
    return {"arguments": body.shown_arguments(), "unmarked": unmarked}


_READERS: Readers = {
    "state": JobState,
    "priority": Priority,
    "attempt": whole,
    "reason": Reason,
    "duration_ms": _milliseconds,
    "result": msgspec.json.decode,
    "error": _errors.decode,
    "progress": msgspec.json.decode,
    "usage": _usage,
    "left": _left.decode,
    "created_at": lambda text: from_ms(whole(text)),
    **dict.fromkeys(("fire_time", "due_at", "started_at", "finished_at"), _instant),
}
# What a job cannot do without, as it is shown where the record has lost it.
_NEEDED = {
    "task": "?",
    "state": JobState.FAILED.value,
    "queue": "?",
    "priority": Priority.NORMAL.value,
    "created_at": "0",
}
# How a job ended; and what a row of a table shows. A few bytes each, unlike message and result.
END = (*_NEEDED, "reason", "finished_at", "duration_ms")
ROW = (*END, "attempt", "due_at", "started_at", "cancel_requested")


def read_jobs(keys: Keys, job_ids: Sequence[str]) -> Operation[list[Job]]:
    """The jobs in the order of their ids; those that are gone are left out."""
    if not job_ids:
        return []
    replies = yield Pipeline([Command(("HGETALL", keys.job(job_id))) for job_id in job_ids])
    return [
        job_of(job_id, fields_of(flat))
        for job_id, flat in zip(job_ids, replies, strict=True)
        if flat
    ]


def read_parts(keys: Keys, job_ids: Sequence[str], fields: Sequence[str]) -> Operation[list[Job]]:
    """As `read_jobs`, but as if the records had these fields only: `END` or `ROW`.

    A message or a result may have a megabyte, which who shows many jobs should not read.
    """
    if not job_ids:
        return []
    replies = yield Pipeline([Command(("HMGET", keys.job(job_id), *fields)) for job_id in job_ids])
    jobs = {
        job_id: job_of(job_id, _present(fields, values))
        for job_id, values in zip(job_ids, replies, strict=True)
        if any(value is not None for value in values)
    }
    # Of the others nothing is left; or nothing but garbage, which is shown as damaged.
    rest = yield from read_jobs(keys, [job_id for job_id in job_ids if job_id not in jobs])
    jobs |= {job.id: job for job in rest}
    return [jobs[job_id] for job_id in job_ids if job_id in jobs]


def _present(fields: Sequence[str], values: Sequence[bytes | None]) -> dict[str, str]:
    """The mapping in the reply to an HMGET of these fields."""
    pairs = zip(fields, values, strict=True)
    return {name: raw.decode(errors="replace") for name, raw in pairs if raw is not None}


def read_job(keys: Keys, job_id: str) -> Operation[Job]:
    """Raises JobNotFound when there is no such record."""
    jobs = yield from read_jobs(keys, [job_id])
    if not jobs:
        raise job_not_found(job_id)
    return jobs[0]


def job_not_found(text: str) -> JobNotFound:
    return JobNotFound(
        f"no job {quoted(text)}",
        why="no record has this id; finished jobs are deleted when their retention is over",
        fix="`jobrunner list` prints the jobs that are known",
    )
