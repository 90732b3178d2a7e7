"""Whether the server has room for more jobs; and the note of it that submits and fires obey.

At `maxmemory` a server refuses what takes memory. What ends jobs may take it all the same (scripts
with the flag `allow-oom`), so that a full store can drain. So that something is left for that, no
more jobs are made from `NEARLY_FULL` on: a daemon notes it, and `submit.lua` and `fire.lua` refuse.
The note expires, so that no daemon leaves it behind.
"""

from datetime import timedelta

import msgspec

from jobrunner.store.checks import info_fields
from jobrunner.store.keys import Keys
from jobrunner.store.requests import Command, Operation, Script

NEARLY_FULL = 0.9  # of maxmemory
HAS_ROOM_AGAIN = 0.85  # less than at the note: else jobs would be let in one by one
NOTE_LIFE = timedelta(seconds=15)  # several looks
NO_END = -1  # what PTTL replies for a key that does not expire


class Room(msgspec.Struct, frozen=True):
    """Bytes that a server has used of what it may use; `most` 0: as much as there is."""

    used: int
    most: int

    def is_full(self, was_full: bool) -> bool:
        """Whether no more jobs should be made; `was_full` as it was said last."""
        return self.most > 0 and self.used >= self.most * (
            HAS_ROOM_AGAIN if was_full else NEARLY_FULL
        )


def read_room() -> Operation[Room]:
    """As the server counts it: without what it does not count for `maxmemory`, its buffers."""
    info = info_fields((yield Command(("INFO", "memory"))))
    spared = int(info.get("mem_not_counted_for_evict", 0))
    return Room(int(info.get("used_memory", 0)) - spared, int(info.get("maxmemory", 0)))


def has_stray_note(keys: Keys) -> Operation[bool]:
    """Whether something else has written the note: ours expires, that one would refuse for ever."""
    return bool((yield Command(("PTTL", keys.full()))) == NO_END)


def note_room(keys: Keys, *, is_full: bool) -> Operation[bool]:
    """Say whether the server is nearly full; whether that is news."""
    life: int | str = NOTE_LIFE // timedelta(milliseconds=1) if is_full else ""
    return bool((yield Script("full", [keys.full()], [life])))
