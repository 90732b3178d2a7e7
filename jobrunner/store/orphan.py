"""What an audit of the store finds: things no record explains, and records that miss a thing."""

from enum import StrEnum

import msgspec


class Kind(StrEnum):
    """What is wrong, named for what stands in the store."""

    NO_ENTRY = "no_entry"  # a queued or running record, and no entry in its queue
    NOT_INDEXED = "not_indexed"  # a record that is missing in the index of its state
    ASLEEP = "asleep"  # a blocked record that nothing will wake
    NO_STATE = "no_state"  # a record without a state or a message: nobody can run it
    STALE_ENTRY = "stale_entry"  # an entry in a queue that is not its job's, or has no job
    GHOST = "ghost"  # a claim of an entry that is not in the queue any more
    STALE_MEMBER = "stale_member"  # a member of an index that its record does not belong in
    STALE_LOCK = "stale_lock"  # a lock held by, or a line with, a job that cannot have it
    STALE_WATCHERS = "stale_watchers"  # watchers of a job that has ended or is gone
    LEFTOVER = "leftover"  # output or idempotency key of a job that is gone
    WRONG_TYPE = "wrong_type"  # a key of another type than jobrunner writes
    DAMAGED = "damaged"  # a field, member or item that jobrunner cannot have written
    AHEAD = "ahead"  # a cron that was handled ahead of the store's clock
    WRONG_COUNT = "wrong_count"  # `counts` differs from the records


class Orphan(msgspec.Struct, frozen=True):
    """One thing that is wrong: `id` is of a job, an entry or (for counts) a field of `key`."""

    kind: Kind
    key: str  # where in the store
    id: str
    job_id: str = ""  # of an entry, a member or a key: the job it names
    detail: str = ""

    @property
    def what(self) -> tuple[Kind, str, str]:
        """Tells it from others; what the record says of it may change meanwhile."""
        return self.kind, self.key, self.id
