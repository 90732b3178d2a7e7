"""Waiting for the ends of jobs in blocking code: told by the store, never polled."""

import os
import time
from collections.abc import Sequence
from contextlib import nullcontext

from jobrunner.client.outage import PATIENCE_S, Outage
from jobrunner.client.outcome import job_timeout
from jobrunner.clock import Clock
from jobrunner.errors import StoreUnavailable
from jobrunner.model import TERMINAL, new_job_id
from jobrunner.store.address import StoreAddress
from jobrunner.store.connection import StoreConnection
from jobrunner.store.decoding import text_of
from jobrunner.store.keys import Keys
from jobrunner.store.patience import Patience
from jobrunner.store.requests import Command
from jobrunner.store.subscription import BlockingSubscription
from jobrunner.store.watching import watch

CHECK_EVERY_S = 1.0  # whether the store still answers, while it has nothing to tell


class _Ear:
    """One subscription with the channel that is its own."""

    def __init__(self, address: StoreAddress, keys: Keys, patience: Patience | None) -> None:
        self.client = new_job_id()
        channel = keys.client_channel(self.client)
        self.subscription = BlockingSubscription(address, [channel], patience)
        self.is_connected = False


class Ends:
    """Each wait has a subscription for itself, so that threads do not disturb each other; it is
    kept for the next wait."""

    def __init__(
        self,
        address: StoreAddress,
        connection: StoreConnection,
        clock: Clock,
        patience: Patience | None = None,
    ) -> None:
        """With `patience`, that of the connection, it notices a store that hangs while it waits."""
        self._patience = patience
        self._address = address
        self._keys = Keys(address.name)
        self._connection = connection
        self._clock = clock
        self._pid = os.getpid()
        self._idle: list[_Ear] = []

    def wait(self, job_ids: Sequence[str], timeout: float | None) -> None:
        """Return when all the jobs have ended, or are gone; an outage is borne for a while.

        Raises JobTimeout after `timeout` seconds, and StoreUnavailable.
        """
        if self._pid != os.getpid():
            self._pid, self._idle = os.getpid(), []  # after a fork: the parent listens on them
        ear = self._idle.pop() if self._idle else self._new_ear()
        try:
            with self._patience.of(PATIENCE_S) if self._patience else nullcontext():
                self._listen(ear, job_ids, timeout)
        except BaseException:
            ear.subscription.close()
            raise
        self._idle.append(ear)

    def _new_ear(self) -> _Ear:
        return _Ear(self._address, self._keys, self._patience)

    def close(self) -> None:
        """Disconnect; a later wait connects again."""
        while self._idle:
            self._idle.pop().subscription.close()

    def _listen(self, ear: _Ear, job_ids: Sequence[str], timeout: float | None) -> None:
        give_up_at = None if timeout is None else self._clock.monotonic() + timeout
        waiting = dict.fromkeys(job_ids)
        outage = Outage(self._clock)
        while waiting:
            try:
                self._watch(ear, waiting)
                outage.is_over()
                self._hear(ear, waiting, give_up_at)
            except StoreUnavailable as error:
                ear.is_connected = False
                if self._patience is not None and self._patience.is_over():
                    raise
                time.sleep(outage.pause_after(error))
            if waiting and self._is_late(give_up_at):
                raise job_timeout(list(waiting), timeout or 0.0)

    def _watch(self, ear: _Ear, waiting: dict[str, None]) -> None:
        """Begin to listen, then look: an end between the two is noticed twice, and none missed."""
        if not ear.is_connected:
            ear.subscription.connect()
            ear.is_connected = True
        job_ids = list(waiting)
        states = self._connection.run(watch(self._keys, job_ids, ear.client))
        for job_id, state in zip(job_ids, states, strict=True):
            if state is None or state in TERMINAL:
                del waiting[job_id]

    def _hear(self, ear: _Ear, waiting: dict[str, None], give_up_at: float | None) -> None:
        while waiting:
            left = None if give_up_at is None else max(0.0, give_up_at - self._clock.monotonic())
            if self._patience is not None:
                left = CHECK_EVERY_S if left is None else min(left, CHECK_EVERY_S)
            message = ear.subscription.next_message(left)
            if message is None and self._patience is not None and not self._is_late(give_up_at):
                self._connection.execute(Command(("PING",)))
                continue
            if message is None:
                return
            waiting.pop(text_of(message), None)

    def _is_late(self, give_up_at: float | None) -> bool:
        return give_up_at is not None and self._clock.monotonic() >= give_up_at
