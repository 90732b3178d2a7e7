"""Messages of channels, pushed by the store: for the coroutines of a loop, and for blocking code.

A subscription is one connection. Messages sent while it is not connected are lost: whoever begins
one again looks first at what they would have said.
"""

import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Self

from jobrunner.errors import StoreUnavailable
from jobrunner.store.address import StoreAddress
from jobrunner.store.backoff import Backoff
from jobrunner.store.connection import StoreConnection
from jobrunner.store.failures import BrokenReply, outage
from jobrunner.store.patience import Patience
from jobrunner.store.requests import Command, Pipeline
from jobrunner.store.wire import NETWORK_ERRORS, pack, result

if TYPE_CHECKING:
    import asyncio

    from jobrunner.store.session import Session


class BlockingSubscription:
    """Connected from the first message asked for; `close` it in the end."""

    def __init__(
        self, address: StoreAddress, channels: Sequence[str], patience: Patience | None = None
    ) -> None:
        """`patience` is for connecting; no message means nothing."""
        self._connection = StoreConnection(address, patience=patience)
        self._subscribe = _subscribe(channels)

    def connect(self) -> None:
        """Subscribe, also again after a loss. Raises StoreUnavailable."""
        self._connection.execute(self._subscribe)

    def next_message(self, timeout: float | None = None) -> bytes | None:
        """The next message; None after `timeout` seconds. Raises StoreUnavailable when lost."""
        give_up_at = None if timeout is None else time.monotonic() + timeout
        while True:
            left = None if give_up_at is None else max(0.0, give_up_at - time.monotonic())
            push = self._connection.read_push(left)
            if push is None:
                return None
            if push[0] == b"message":
                message: bytes = push[2]
                return message

    def close(self) -> None:
        """Disconnect."""
        self._connection.close()


class Subscription:
    """`async with Subscription(address, channels) as messages`: connected within the block."""

    def __init__(self, address: StoreAddress, channels: Sequence[str]) -> None:
        self._address = address
        self._subscribe = _subscribe(channels)
        self._session: Session | None = None
        self._messages: asyncio.Queue[bytes | None]  # None: the connection is lost

    async def next_message(self) -> bytes:
        """The next message. Raises StoreUnavailable when the connection is lost."""
        message = await self._messages.get()
        if message is None:
            self._messages.put_nowait(None)
            raise outage(BrokenReply("it closed the connection"), self._address)
        return message

    async def __aenter__(self) -> Self:
        """Raises StoreUnavailable."""
        import asyncio

        from jobrunner.store.session import open_session

        self._messages = asyncio.Queue()
        endpoint = self._address.endpoint()
        try:
            session = self._session = await open_session(self._address, endpoint)
            session.on_push = self._receive
            session.closed.add_done_callback(lambda _: self._messages.put_nowait(None))
            packed, count = pack(self._subscribe)
            replies = await session.send(packed, count, endpoint.timeout)
            result(self._subscribe, replies, self._address)
        except NETWORK_ERRORS as error:
            raise outage(error, self._address) from error
        except StoreUnavailable:
            await self._close()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._close()

    async def _close(self) -> None:
        if self._session is not None:
            self._session.abort()
            await self._session.closed

    def _receive(self, push: Any) -> None:
        if push[0] == b"message":
            self._messages.put_nowait(push[2])


async def on_each_message(address: StoreAddress, channel: str, call: Callable[[], object]) -> None:
    """Call at each message, and as often as a connection begins: one may have been missed.

    Until cancelled; an outage is waited out.
    """
    import asyncio

    backoff = Backoff()
    while True:
        try:
            async with Subscription(address, [channel]) as messages:
                backoff.reset()
                call()
                while True:
                    await messages.next_message()
                    call()
        except StoreUnavailable:
            await asyncio.sleep(backoff.next_delay())


def _subscribe(channels: Sequence[str]) -> Pipeline:
    return Pipeline([Command(("SUBSCRIBE", channel)) for channel in channels])
