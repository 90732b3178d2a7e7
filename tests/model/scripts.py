"""What each request should do and answer: one function per script, by its contract.

A function gets the model and the script as it was sent, changes the model, and returns the reply
that the store must give. Arguments are read by the contract in the script's header.
"""

from collections.abc import Callable, Sequence
from typing import Any

from jobrunner.store.requests import Command, Pipeline, Script, Single
from tests.model import attempts, crons, jobs, leases
from tests.model.arguments import rest_of, texts
from tests.model.state import Model

UNJUDGED: Any = object()  # a reply of which the model says nothing
Step = Callable[[Model, Sequence[str], Sequence[str]], Any]


def steps() -> dict[str, Step]:
    """By the name of the script."""
    return {
        "submit": jobs.submit,
        "promote": jobs.promote,
        "settle": jobs.settle,
        "retry": jobs.retry,
        "delete": jobs.delete,
        "watch": jobs.watch,
        "progress": jobs.progress,
        "group": attempts.group,
        "claim": attempts.claim,
        "start": attempts.start,
        "finish": attempts.finish,
        "requeue": attempts.requeue,
        "refuse": attempts.refuse,
        "park": attempts.park,
        "know": leases.know,
        "enlist": leases.enlist,
        "renew": leases.renew,
        "orphans": leases.orphans,
        "wake": leases.wake,
        "fire": crons.fire,
        "enrol": crons.enrol,
        "resume": crons.resume,
        "place": attempts.place,
        "unrenewed": leases.unrenewed,
        "fold": _fold,
        "since_return": _since_return,
        "tell": _tell,
        "pause": _pause,
        "unpark": _unpark,
    } | dict.fromkeys(CHECKS, _check)


# The audit's, which only look here; what they find and mend is tested in tests/store/test_audit*.
CHECKS = (
    "check_crons",
    "check_entries",
    "check_leftovers",
    "check_members",
    "check_records",
    "check_watchers",
    "count_live",
)


def _check(_: Model, __: Sequence[str], ___: Sequence[str]) -> Any:
    return UNJUDGED


def _fold(model: Model, _: Sequence[str], args: Sequence[str]) -> int:
    """Moves what was counted, and changes none of it. Who has not seen the last fold is refused."""
    if args[0] != (str(model.folds) if model.folds else ""):
        return 0
    model.folds += 1
    return 1


def _since_return(_: Model, __: Sequence[str], args: Sequence[str]) -> int:
    """The server of a run of the model never goes away."""
    return int(args[0])


def _tell(model: Model, keys: Sequence[str], args: Sequence[str]) -> int:
    told = model.controls.setdefault(keys[0].removeprefix("control:"), [])
    told.append(args[0])
    return len(told)


def _pause(model: Model, keys: Sequence[str], _: Sequence[str]) -> int:
    cron = model.hashes.setdefault(keys[0], {})
    is_new = "paused" not in cron
    cron["paused"] = "1"
    return int(is_new)


def _unpark(model: Model, _: Sequence[str], args: Sequence[str]) -> int:
    """Those that still wait are due now, and none later than before."""
    parked = [job_id for job_id in args if model.parked.pop(job_id, None) is not None]
    for job_id in args:
        if job_id in model.due:
            model.due[job_id] = min(model.due[job_id], model.now)
        if job := model.jobs.get(job_id):
            job.clear("parked")
    return len(parked)


def apply(model: Model, request: Single) -> Any:
    """Perform a request on the model. Returns the expected reply; None for one not judged."""
    if isinstance(request, Pipeline):
        return [apply(model, one) for one in request.requests]
    if isinstance(request, Script):
        keys = [rest_of(key) for key in request.keys]
        return steps()[request.name](model, keys, texts(request.args))
    return _apply_command(model, request)


READS = (  # what changes nothing
    "EXISTS GET HGET HGETALL HMGET LRANGE PTTL SCAN SISMEMBER SMEMBERS SMISMEMBER SSCAN TIME TYPE "
    "XINFO XLEN XPENDING XRANGE ZCARD ZRANGE ZSCAN ZSCORE "
)


def is_read(command: str) -> bool:
    return f"{command} " in READS


def _apply_command(model: Model, command: Command) -> None:
    name, *args = texts(command.args)
    if is_read(name):
        return
    if name == "XREADGROUP":
        attempts.read_group(model, args)
        return
    key, members = rest_of(args[0]), args[1:]
    match name, key.partition(":")[0]:
        case "ZADD", "scheduled":
            _make_due(model, members)
        case "ZREM", ("scheduled" | "workers" | "parked" | "lock"):
            _remove(_zset(model, key), members)
        case "RPUSH", "control":
            model.controls.setdefault(key.removeprefix("control:"), []).extend(members)
        case "EXPIRE", "control":
            pass
        case "DEL", "worker":
            model.hashes.pop(key, None)
            model.controls.pop(key.removeprefix("worker:"), None)
        case "HSET", "cron":
            model.hashes.setdefault(key, {})[members[0]] = members[1]
        case "XADD", "queue":
            fields = dict(zip(members[1::2], members[2::2], strict=True))
            attempts.add_by_hand(model, key, fields)
        case "HDEL", "job":
            if job := model.jobs.get(key.removeprefix("job:")):
                job.clear(*members)
        case "ZREM", "results":
            for job_id in members:
                model.jobs[job_id].result_until = None
        case _:
            raise AssertionError(f"the model does not know what {command} does")


def _make_due(model: Model, members: Sequence[str]) -> None:
    """Those that still wait, and none later than before: `XX LT`."""
    for at, job_id in zip(members[2::2], members[3::2], strict=True):
        if job_id in model.due:
            model.due[job_id] = min(model.due[job_id], int(at))


def _zset(model: Model, key: str) -> dict[str, int]:
    if key.startswith("lock:"):
        return model.holders.get(key.removeprefix("lock:"), {})
    zsets = {"scheduled": model.due, "workers": model.workers, "parked": model.parked}
    return zsets[key]


def _remove(members: dict[str, int], names: Sequence[str]) -> None:
    for name in names:
        members.pop(name, None)
