"""From the queues: does each entry belong to a job that knows it, and is each claimed one there?"""

from collections.abc import Sequence

import msgspec

from jobrunner.store.attempts import Entry, entry_of
from jobrunner.store.decoding import text_of
from jobrunner.store.failures import ReplyError
from jobrunner.store.keys import GROUP, Keys
from jobrunner.store.orphan import Kind, Orphan
from jobrunner.store.requests import Argument, Command, Operation, Script

BATCH = 200  # entries per step; they come with their messages


class Claimed(msgspec.Struct, frozen=True):
    """An entry, and the job it names; '' for one that is claimed and was not found."""

    entry_id: str
    job_id: str


def check_queue(keys: Keys, stream: str) -> Operation[list[Orphan]]:
    """What is wrong in one queue and level. An entry that is no job's at all is left to the
    workers, which record it as a failed job."""
    found = yield from _check_entries_of(keys, stream)
    found += yield from _check_claims_of(keys, stream)
    return found


def _check_entries_of(keys: Keys, stream: str) -> Operation[list[Orphan]]:
    found: list[Orphan] = []
    first = "-"
    while True:
        page = yield Command(("XRANGE", stream, first, "+", "COUNT", BATCH))
        entries = [entry_of(text_of(entry_id), "", "", fields) for entry_id, fields in page]
        claimed = [Claimed(e.entry_id, e.job_id) for e in entries if isinstance(e, Entry)]
        found += yield from check_entries(keys, stream, claimed, mends=False)
        if len(page) < BATCH:
            return found
        first = f"({entries[-1].entry_id}"


def _check_claims_of(keys: Keys, stream: str) -> Operation[list[Orphan]]:
    found: list[Orphan] = []
    first = "-"
    while True:
        page = yield from _read_claims(stream, first)
        claimed = [Claimed(entry_id, "") for entry_id in page]
        found += yield from check_entries(keys, stream, claimed, mends=False)
        if len(page) < BATCH:
            return found
        first = f"({page[-1]}"


def _read_claims(stream: str, first: str) -> Operation[list[str]]:
    try:
        page = yield Command(("XPENDING", stream, GROUP, first, "+", BATCH))
    except ReplyError as error:
        if error.code != "NOGROUP":
            raise
        return []  # no worker ever read it
    return [text_of(item[0]) for item in page]


def check_entries(
    keys: Keys, stream: str, entries: Sequence[Claimed], *, mends: bool
) -> Operation[list[Orphan]]:
    """Which of these are wrong; with `mends` which were, and were taken out now."""
    found: list[Orphan] = []
    for start in range(0, len(entries), BATCH):
        batch = entries[start : start + BATCH]
        names = [keys.workers(), stream, *(keys.job(entry.job_id) for entry in batch)]
        args: list[Argument] = [GROUP, 1 if mends else ""]
        for entry in batch:
            args += [entry.entry_id, entry.job_id]
        replies = yield Script("check_entries", names, args)
        for entry, reply in zip(batch, replies, strict=True):
            if reply:
                found.append(Orphan(Kind(text_of(reply)), stream, entry.entry_id, entry.job_id))
    return found
