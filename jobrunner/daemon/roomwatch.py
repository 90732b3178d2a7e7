"""Looks whether the store has room for more jobs, and says so where submits and fires look."""

import asyncio

from jobrunner.errors import StoreUnavailable
from jobrunner.log import EventLog
from jobrunner.store.connection import AsyncStoreConnection
from jobrunner.store.failures import ReplyError
from jobrunner.store.keys import Keys
from jobrunner.store.room import has_stray_note, note_room, read_room

LOOK_EVERY_S = 1.0  # a tenth of a small maxmemory is filled in some seconds
# Without a maxmemory, which somebody may set at any time.
LOOK_RARELY_S = 15.0


class RoomWatch:
    """The room of one daemon's store."""

    def __init__(self, keys: Keys, connection: AsyncStoreConnection) -> None:
        self._keys = keys
        self._connection = connection
        self._is_full = False

    async def run(self) -> None:
        """Look until cancelled."""
        while True:
            pause_s = LOOK_RARELY_S
            try:
                pause_s = await self.tick()
            except (StoreUnavailable, ReplyError) as error:
                # Away, or a user that may not ask: then the server refuses when it is full.
                EventLog().debug("could not look for room in the store", error=error)
            await asyncio.sleep(pause_s)

    async def tick(self) -> float:
        """Look once; returns seconds to the next look."""
        room = await self._connection.run(read_room())
        was_full, self._is_full = self._is_full, room.is_full(self._is_full)
        is_stray = not self._is_full and await self._connection.run(has_stray_note(self._keys))
        if self._is_full or was_full or is_stray:
            await self._connection.run(note_room(self._keys, is_full=self._is_full))
        if self._is_full and not was_full:
            EventLog().error(
                "found the store nearly full; no more jobs are made",
                used=room.used,
                maxmemory=room.most,
                fix="raise maxmemory, or shorten `retention`",
            )
        elif was_full and not self._is_full:
            EventLog().info("found room in the store again", used=room.used, maxmemory=room.most)
        return LOOK_EVERY_S if room.most else LOOK_RARELY_S
