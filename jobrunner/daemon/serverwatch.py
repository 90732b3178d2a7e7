"""Looks after the embedded server: started again when it dies, on its append-only file, which is
rewritten when it has grown and the server has little to do."""

import asyncio
from contextlib import suppress

from jobrunner.clock import Clock
from jobrunner.embedded.rewriting import Rewriter
from jobrunner.embedded.server import EmbeddedServer
from jobrunner.errors import StoreUnavailable
from jobrunner.log import EventLog
from jobrunner.store.backoff import Backoff

LOOK_EVERY_S = 0.5  # costs a lock attempt on a file, no store command
REWRITE_LOOK_S = 10.0  # costs one INFO


class ServerWatch:
    """The embedded server of this daemon."""

    def __init__(self, server: EmbeddedServer, clock: Clock) -> None:
        self._server = server
        self._clock = clock
        self._backoff = Backoff()

    async def run(self) -> None:
        """Look after the server until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._keep_alive())
            group.create_task(self._keep_small())

    async def _keep_alive(self) -> None:
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

    async def _keep_small(self) -> None:
        rewriter = Rewriter(self._server, self._clock)
        while True:
            await asyncio.sleep(REWRITE_LOOK_S)
            with suppress(StoreUnavailable):  # the other loop tells of it, and starts it again
                if await asyncio.to_thread(rewriter.look):
                    EventLog().info("began to rewrite the append-only file")
