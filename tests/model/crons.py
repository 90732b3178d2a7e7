"""The model of crons: one job per fire time, or the record of why there is none."""

from collections.abc import Sequence
from itertools import islice

from jobrunner.model import JobState
from tests.model.arguments import place_of, rows
from tests.model.jobs import add
from tests.model.state import Model, ModelJob, Place

Texts = Sequence[str]


def enrol(model: Model, keys: Texts, args: Texts) -> list[int]:
    [schedule] = args
    cron = model.hashes.setdefault(keys[0], {})
    if cron.get("schedule") != schedule or "handled" not in cron:
        cron["schedule"] = schedule
        cron["handled"] = cron["since"] = str(max(model.now, int(cron.get("handled", 0))))
    return [int(cron["handled"]), 0]


def resume(model: Model, keys: Texts, _: Texts) -> int:
    cron = model.hashes.get(keys[0], {})
    if cron.pop("paused", None) is None:
        return 0
    cron["handled"] = cron["since"] = str(max(int(cron.get("handled", 0)), model.now))
    return 1


def fire(model: Model, keys: Texts, args: Texts) -> list[list[str]]:
    names, replies = iter(keys[7:-1]), []
    for row in rows(args, 2, 15):
        cron, _, place, _ = islice(names, 4)
        if row[10]:
            next(names)  # the spare record
        elif row[9] and row[8] != "allow":
            next(names), next(names)  # of the previous job
        replies.append(_fire_one(model, model.hashes.setdefault(cron, {}), place_of(place), row))
    return replies


def _fire_one(model: Model, cron: dict[str, str], place: Place, row: Texts) -> list[str]:
    job_id, fire_time, previous, reason = row[0], int(row[6]), row[9], row[10]
    if fire_time > model.now:
        return ["early"]
    if int(cron.get("handled", fire_time - 1)) >= fire_time:
        return ["handled"]
    if "paused" in cron:
        cron["handled"] = cron["since"] = str(fire_time)
        return ["paused"]
    if not reason and cron.get("job", "") != previous:
        return ["changed", cron.get("job", "")]
    cron["handled"], cron_before = str(fire_time), cron.get("job", "")
    if job_id in model.jobs:
        if not reason:
            return ["handled"]
        job_id = row[12]
    job = ModelJob(job_id, row[1], row[3], row[4], model.now, message=row[2])
    job.cron, job.fire_time = row[5], fire_time
    reason, detail, is_behind = _overlap(model, row)
    if reason:
        _skip(model, job, cron, reason, detail)
    else:
        _make(model, job, int(row[7]), previous if is_behind else None, place)
        cron["job"] = job_id
    return [job.state, cron_before]


def _overlap(model: Model, row: Texts) -> tuple[str, str, bool]:
    """Why the job is skipped, and else whether it waits for the previous one."""
    policy, previous, reason, detail = row[8:12]
    if reason or policy == "allow" or not model.is_live(previous):
        return reason, detail, False
    if policy == "skip":
        return "overlap", previous, False
    if policy == "replace":
        model.cancelling.add(previous)
        model.jobs[previous].cancel_requested = "replaced"
    return "", "", True


def _skip(model: Model, job: ModelJob, cron: dict[str, str], reason: str, detail: str) -> None:
    job.state, job.reason, job.detail, job.finished_at = (
        JobState.SKIPPED,
        reason,
        detail,
        model.now,
    )
    model.jobs[job.id] = job
    model.count(job.task, job.state)
    cron |= {"last_id": job.id, "last_state": job.state, "last_reason": reason}
    cron["last_finished_at"] = str(model.now)
    cron.pop("last_duration_ms", None)


def _make(model: Model, job: ModelJob, delay: int, behind: str | None, place: Place) -> None:
    if behind is not None:
        job.state, job.after, job.awaits = JobState.BLOCKED, behind, "end"
        job.blocked_since = model.now
        model.watchers.setdefault(behind, set()).add(f"job:{job.id}")
    elif delay > 0:
        job.state, job.due_at = JobState.SCHEDULED, model.now + delay
        model.schedule(job.id, job.due_at)
    else:
        model.push(job, place, n=0, lost=0, fence=1, base=0)
    add(model, job)
