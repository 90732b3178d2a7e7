"""How far a running job is, as it says itself."""

from typing import Any

import msgspec

from jobrunner.store.keys import Keys
from jobrunner.store.requests import Operation, Script


def note_progress(keys: Keys, job_id: str, fence: int, value: Any) -> Operation[bool]:
    """Write progress (JSON) while the attempt has the job; False when it has it no more.

    `fence` is that of the attempt's entry, also for a job that holds a lock.
    Raises TypeError for a value that JSON cannot carry.
    """
    script = Script("progress", [keys.job(job_id)], [fence, msgspec.json.encode(value)])
    written: int = yield script
    return bool(written)
