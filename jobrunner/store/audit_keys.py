"""From keys that belong to a job: does it still exist, and does it still have watchers to tell?"""

from collections.abc import Sequence

from jobrunner.store.decoding import text_of
from jobrunner.store.keys import Keys
from jobrunner.store.keyspace import Family, KeyReader
from jobrunner.store.orphan import Kind, Orphan
from jobrunner.store.requests import Argument, Command, Operation, Pipeline, Script

BATCH = 500  # keys per step: about a millisecond of the server's time


def check_watchers(keys: Keys, job_ids: Sequence[str], *, mends: bool) -> Operation[list[Orphan]]:
    """Jobs that ended without telling who waits; with `mends` those that were told now."""
    found: list[Orphan] = []
    for start in range(0, len(job_ids), BATCH):
        batch = job_ids[start : start + BATCH]
        names = [keys.scheduled()]
        for job_id in batch:
            names += [keys.job(job_id), keys.watchers(job_id)]
        replies = yield Script("check_watchers", names, [1 if mends else "", *batch])
        for job_id, reply in zip(batch, replies, strict=True):
            if reply:
                key = keys.watchers(job_id)
                found.append(Orphan(Kind.STALE_WATCHERS, key, job_id, job_id, text_of(reply)))
    return found


def check_leftovers(
    keys: Keys, found_keys: Sequence[str], *, mends: bool
) -> Operation[list[Orphan]]:
    """Output and idempotency keys of jobs that are gone; with `mends` those deleted now."""
    found: list[Orphan] = []
    for start in range(0, len(found_keys), BATCH):
        batch = found_keys[start : start + BATCH]
        owners = yield from _owners(keys, batch)
        names: list[str] = []
        args: list[Argument] = [1 if mends else ""]
        for key, (job_id, held) in zip(batch, owners, strict=True):
            names += [key, keys.job(job_id)]
            args.append(held)
        replies = yield Script("check_leftovers", names, args)
        for key, (job_id, _), reply in zip(batch, owners, replies, strict=True):
            if reply:
                found.append(Orphan(Kind.LEFTOVER, key, job_id, job_id))
    return found


def _owners(keys: Keys, found_keys: Sequence[str]) -> Operation[list[tuple[str, str]]]:
    """Per key its job, and what the key must still hold when it is deleted."""
    reader = KeyReader(keys)
    parts = [reader.part(key) for key in found_keys]
    uniques = [
        key
        for key, part in zip(found_keys, parts, strict=True)
        if part and part.family is Family.UNIQUE
    ]
    replies = (yield Pipeline([Command(("GET", key)) for key in uniques])) if uniques else []
    held = {key: text_of(reply or b"") for key, reply in zip(uniques, replies, strict=True)}
    return [
        (held[key], held[key]) if key in held else (part.name if part else "", "")
        for key, part in zip(found_keys, parts, strict=True)
    ]
