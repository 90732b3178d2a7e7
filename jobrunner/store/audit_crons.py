"""From the crons: does the last handled fire time lie within what the store's clock has reached?

Why it may not, and what is done then, says `lua/include/handled.lua`. A daemon that takes a cron up
does the same; this is for crons that none has.
"""

from collections.abc import Sequence

from jobrunner.clock import from_ms, rfc3339
from jobrunner.store.orphan import Kind, Orphan
from jobrunner.store.requests import Operation, Script

BATCH = 500  # crons per step


def check_crons(crons: Sequence[str], *, mends: bool) -> Operation[list[Orphan]]:
    """Of these keys of crons, those that were handled ahead; with `mends` those set back now."""
    found = []
    for start in range(0, len(crons), BATCH):
        batch = crons[start : start + BATCH]
        replies = yield Script("check_crons", list(batch), [1 if mends else ""])
        for key, handled in zip(batch, replies, strict=True):
            if handled:
                name = key.rpartition(":cron:")[2]
                until = f"handled until {rfc3339(from_ms(handled))}"
                found.append(Orphan(Kind.AHEAD, key, name, "", until))
    return found
