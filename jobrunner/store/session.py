"""The asynchronous socket to the server: many requests on their way, replies in their order."""

import asyncio
import socket
from collections import deque
from collections.abc import Callable
from typing import Any, cast

import hiredis

from jobrunner.store.address import Endpoint, StoreAddress
from jobrunner.store.failures import BrokenReply, ReplyError
from jobrunner.store.wire import (
    INCOMPLETE,
    new_reader,
    pack_commands,
    refuse_foreign,
    reply_failure,
    set_options,
)


class Line:
    """One socket to the server for the coroutines of a loop: opened on demand and after a loss."""

    def __init__(self, address: StoreAddress, endpoint: Endpoint) -> None:
        self._address = address
        self._endpoint = endpoint
        self._connecting = asyncio.Lock()
        self._session: Session | None = None

    async def exchange(self, packed: bytes, count: int, block_s: float) -> list[Any]:
        """Send bytes and await `count` replies. Raises one of NETWORK_ERRORS.

        When cancelled, the replies are read and dropped; those of a blocking read might
        never come, so then the socket is closed, and the server forgets the read.
        """
        if not count:
            return []
        session = self._session
        if session is None or session.is_lost:
            session = await self._connect()
        try:
            return await session.send(packed, count, self._endpoint.timeout + block_s)
        except asyncio.CancelledError:
            if block_s:
                session.abort()
            raise

    def descriptors(self) -> list[int]:
        """That of the socket, if there is one."""
        return [] if self._session is None else self._session.descriptors()

    def abort(self) -> None:
        """Close at once; the next exchange opens another socket."""
        if self._session is not None:
            self._session.abort()

    async def close(self) -> None:
        """Close, and return when the socket is closed."""
        session, self._session = self._session, None
        if session is not None:
            session.abort()
            await session.closed

    async def _connect(self) -> "Session":
        async with self._connecting:
            if self._session is None or self._session.is_lost:
                self._session = await open_session(self._address, self._endpoint)
            return self._session


class _Waiter:
    """A request whose replies have not all come."""

    __slots__ = ("count", "deadline", "future", "replies")

    def __init__(self, future: "asyncio.Future[list[Any]]", count: int, deadline: float) -> None:
        self.future = future
        self.count = count
        self.deadline = deadline  # by the loop's clock
        self.replies: list[Any] = []


class Session(asyncio.Protocol):
    """One connected socket: requests out, replies in the same order to those who wait."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._reader = new_reader()
        self._waiting: deque[_Waiter] = deque()
        self._watch: asyncio.TimerHandle | None = None
        self._failure: Exception = BrokenReply("it closed the connection")
        self.is_lost = False
        self.on_push: Callable[[Any], None] | None = None  # takes messages of channels
        self.closed: asyncio.Future[None] = self._loop.create_future()

    def send(self, packed: bytes, count: int, timeout: float) -> "asyncio.Future[list[Any]]":
        """The future replies; it fails with one of NETWORK_ERRORS."""
        future: asyncio.Future[list[Any]] = self._loop.create_future()
        deadline = self._loop.time() + timeout
        self._waiting.append(_Waiter(future, count, deadline))
        self._transport.write(packed)
        if self._watch is None:
            self._watch = self._loop.call_at(deadline, self._check_deadline)
        return future

    def descriptors(self) -> list[int]:
        """That of the socket, unless it is lost."""
        return [] if self.is_lost else [self._transport.get_extra_info("socket").fileno()]

    def abort(self) -> None:
        """Close at once, without waiting for replies."""
        self.is_lost = True
        self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports do not derive from asyncio.Transport.
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, received: bytes) -> None:
        try:
            self._reader.feed(received)
            while (reply := self._reader.gets()) is not INCOMPLETE:
                self._deliver(reply)
        except (BrokenReply, hiredis.ProtocolError) as error:
            self._failure = error
            self.abort()

    def _deliver(self, reply: Any) -> None:
        if not self._waiting:
            if self.on_push is None:
                raise BrokenReply("it sent a reply that nobody asked for")
            self.on_push(reply)
            return
        waiter = self._waiting[0]
        waiter.replies.append(reply)
        if len(waiter.replies) == waiter.count:
            self._waiting.popleft()
            if not waiter.future.done():
                waiter.future.set_result(waiter.replies)

    def eof_received(self) -> None:
        self.is_lost = True  # the transport closes itself

    def connection_lost(self, error: Exception | None) -> None:
        self.is_lost = True
        if self._watch is not None:
            self._watch.cancel()
        for waiter in self._waiting:
            if not waiter.future.done():
                waiter.future.set_exception(error or self._failure)
        self._waiting.clear()
        self.closed.set_result(None)

    def _check_deadline(self) -> None:
        """One timer watches all requests, by the first in line.

        A loop that was blocked past a deadline is not taken for an outage: both loops
        read what has arrived before they call timers that are due.
        """
        self._watch = None
        if not self._waiting:
            return
        first = self._waiting[0]
        if self._loop.time() < first.deadline:
            self._watch = self._loop.call_at(first.deadline, self._check_deadline)
        else:
            self._failure = TimeoutError("no answer in time")
            self.abort()


async def open_session(address: StoreAddress, endpoint: Endpoint) -> Session:
    """Connect and log in. Raises StoreUnavailable for a refusal, else one of NETWORK_ERRORS."""
    async with asyncio.timeout(endpoint.connect_timeout):
        session = await _connected_session(endpoint)
        commands = endpoint.handshake()
        if not commands:
            return session
        try:
            replies = await session.send(
                pack_commands(commands), len(commands), endpoint.connect_timeout
            )
        except BaseException:
            session.abort()
            raise
    for reply in replies:
        if isinstance(reply, ReplyError):
            session.abort()
            raise reply_failure(reply, address)
    return session


async def _connected_session(endpoint: Endpoint) -> Session:
    loop = asyncio.get_running_loop()
    if endpoint.path is not None:
        opened = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            opened.setblocking(False)
            await loop.sock_connect(opened, endpoint.path)
            refuse_foreign(opened, endpoint)
            _, session = await loop.create_unix_connection(Session, sock=opened)
        except BaseException:
            opened.close()
            raise
        return session
    context = None if endpoint.tls is None else endpoint.tls.context()
    sock = await _connected_socket(endpoint)
    try:
        _, session = await loop.create_connection(
            Session,
            sock=sock,
            ssl=context,
            server_hostname=endpoint.host if context else None,
        )
    except BaseException:
        sock.close()
        raise
    return session


async def _connected_socket(endpoint: Endpoint) -> socket.socket:
    """A connected non-blocking TCP socket. Raises OSError: the failure of the last address."""
    loop = asyncio.get_running_loop()
    failure: OSError = OSError("the host has no address")
    for family, _, _, _, where in await loop.getaddrinfo(
        endpoint.host, endpoint.port, type=socket.SOCK_STREAM
    ):
        sock = socket.socket(family, socket.SOCK_STREAM)
        try:
            sock.setblocking(False)
            set_options(sock)
            await loop.sock_connect(sock, where)
        except OSError as error:
            failure = error
            sock.close()
        except BaseException:
            sock.close()
            raise
        else:
            return sock
    raise failure
