"""Do the counts of live jobs, by state and task, say the same as the records?"""

from jobrunner.store.attempts import read_streams
from jobrunner.store.decoding import text_of
from jobrunner.store.keys import Keys
from jobrunner.store.orphan import Kind, Orphan
from jobrunner.store.requests import Argument, Operation, Script

# Counted in one step, about 3 microseconds a job: at most a second, in which nothing else is done.
MOST_COUNTED = 300_000


def check_counts(keys: Keys, *, mends: bool) -> Operation[list[Orphan]]:
    """Counts that are wrong; with `mends` those that were, and are right now.

    With more than MOST_COUNTED live jobs nothing is counted: it would hold up everybody.
    """
    streams = yield from read_streams(keys)
    indexes = [keys.counts(), keys.scheduled(), keys.blocked(), keys.running()]
    args: list[Argument] = [1 if mends else "", MOST_COUNTED, keys.job("")]
    replies = yield Script("count_live", [*indexes, *streams], args)
    return [
        Orphan(Kind.WRONG_COUNT, keys.counts(), text_of(field), "", f"{stored}, {counted} counted")
        for field, stored, counted in replies or []
    ]
