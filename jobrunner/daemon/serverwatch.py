"""Keeps the embedded server running: started again when it dies, on its append-only file."""

import asyncio

from jobrunner.clock import Clock
from jobrunner.embedded.server import EmbeddedServer
from jobrunner.errors import StoreUnavailable
from jobrunner.log import EventLog
from jobrunner.store.backoff import Backoff

LOOK_EVERY_S = 0.5  # costs a lock attempt on a file, no store command


class ServerWatch:
    """The embedded server of this daemon."""

    def __init__(self, server: EmbeddedServer, clock: Clock) -> None:
        self._server = server
        self._clock = clock
        self._backoff = Backoff()

    async def run(self) -> None:
        """Look after the server until cancelled."""
        while True:
            if not self._server.is_alive():
                await self._revive()
            await asyncio.sleep(LOOK_EVERY_S)

    async def _revive(self) -> None:
        why = self._server.last_words()
        EventLog().error("lost the embedded server; it is started again", last_words=why)
        try:
            await asyncio.to_thread(self._server.ensure)
        except StoreUnavailable as error:
            EventLog().error("could not start the embedded server", error=error, why=error.why)
            await asyncio.sleep(self._backoff.next_delay())
        else:
            self._backoff.reset()
            EventLog().info("started the embedded server")
