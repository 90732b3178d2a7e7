"""Waiting for the ends of jobs in a loop: one subscription for any number of waits."""

import asyncio
from collections.abc import Iterable, Sequence

from jobrunner.client.outage import Outage
from jobrunner.client.outcome import job_timeout
from jobrunner.clock import Clock
from jobrunner.errors import StoreUnavailable
from jobrunner.model import TERMINAL, new_job_id
from jobrunner.store.address import StoreAddress
from jobrunner.store.connection import AsyncStoreConnection
from jobrunner.store.decoding import text_of
from jobrunner.store.keys import Keys
from jobrunner.store.subscription import Subscription
from jobrunner.store.watching import watch

Waiter = asyncio.Future[None]


class AsyncEnds:
    """Listens from the first wait on, in a task of the loop, and tells who waits for which job."""

    def __init__(
        self, address: StoreAddress, connection: AsyncStoreConnection, clock: Clock
    ) -> None:
        self._address = address
        self._keys = Keys(address.name)
        self._connection = connection
        self._clock = clock
        self._client = new_job_id()
        self._waiters: dict[str, set[Waiter]] = {}
        self._listener: asyncio.Task[None] | None = None
        self._is_listening = False

    async def wait(self, job_ids: Sequence[str], timeout: float | None) -> None:
        """Return when all the jobs have ended, or are gone; an outage is borne for a while.

        Raises JobTimeout after `timeout` seconds, and StoreUnavailable.
        """
        if not job_ids:
            return
        loop = asyncio.get_running_loop()
        mine: dict[str, Waiter] = {job_id: loop.create_future() for job_id in job_ids}
        for job_id, waiter in mine.items():
            self._waiters.setdefault(job_id, set()).add(waiter)
        try:
            async with asyncio.timeout(timeout):
                await self._begin(mine)
                await asyncio.gather(*mine.values())
        except TimeoutError:
            late = [i for i, waiter in mine.items() if waiter.cancelled() or not waiter.done()]
            raise job_timeout(late, timeout or 0.0) from None
        finally:
            for job_id, waiter in mine.items():
                self._forget(job_id, waiter)

    async def close(self) -> None:
        """Stop listening; who still waits gets StoreUnavailable."""
        listener, self._listener = self._listener, None
        if listener is not None:
            listener.cancel()
            await asyncio.wait([listener])
        self._fail_all(StoreUnavailable("the client was closed while it waited for a job"))

    async def _begin(self, job_ids: Iterable[str]) -> None:
        if self._listener is None or self._listener.done():
            self._listener = asyncio.create_task(self._listen())
        outage = Outage(self._clock)
        outage.is_over()  # as far as is known
        while self._is_listening:  # else the listener looks at all jobs itself, once it listens
            try:
                await self._look(job_ids)
            except StoreUnavailable as error:
                await asyncio.sleep(outage.pause_after(error))
            else:
                break

    async def _listen(self) -> None:
        outage = Outage(self._clock)
        try:
            while True:
                try:
                    await self._attend(outage)
                except StoreUnavailable as error:
                    await asyncio.sleep(outage.pause_after(error))
        except Exception as error:  # whatever it is, those who wait must learn of it
            self._fail_all(error)

    async def _attend(self, outage: Outage) -> None:
        """Tell of ends until the subscription is lost."""
        channel = self._keys.client_channel(self._client)
        try:
            async with Subscription(self._address, [channel]) as messages:
                self._is_listening = True
                await self._look(list(self._waiters))
                outage.is_over()
                while True:
                    self._tell(text_of(await messages.next_message()))
        finally:
            self._is_listening = False

    async def _look(self, job_ids: Iterable[str]) -> None:
        """Ask for the states of jobs and to be told of their ends; tell those that have ended."""
        ids = list(job_ids)
        states = await self._connection.run(watch(self._keys, ids, self._client))
        for job_id, state in zip(ids, states, strict=True):
            if state is None or state in TERMINAL:
                self._tell(job_id)

    def _tell(self, job_id: str) -> None:
        for waiter in self._waiters.get(job_id, ()):
            if not waiter.done():
                waiter.set_result(None)

    def _fail_all(self, error: Exception) -> None:
        for waiters in self._waiters.values():
            for waiter in waiters:
                if not waiter.done():
                    waiter.set_exception(error)

    def _forget(self, job_id: str, waiter: Waiter) -> None:
        waiters = self._waiters[job_id]
        waiters.discard(waiter)
        if not waiters:
            del self._waiters[job_id]
