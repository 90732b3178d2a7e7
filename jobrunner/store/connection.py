"""Connections to the store: for synchronous code (CLI, heartbeat) and asynchronous (worker).

A connection is one socket for one purpose, opened at its first request and again after a
loss. It never repeats a request by itself: when a reply is lost the caller gets
StoreUnavailable and decides, because only the caller knows whether a repetition is safe.
asyncio is loaded at the first asynchronous request only, to keep it out of the CLI.
"""

import errno
import os
import select
import socket
import threading
import time
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TypeVar

from jobrunner.errors import StoreUnavailable
from jobrunner.store.address import StoreAddress
from jobrunner.store.failures import TIMEOUTS, BrokenReply, ReplyError, outage
from jobrunner.store.patience import Patience
from jobrunner.store.requests import Operation, Request, Series, Single
from jobrunner.store.wire import (
    INCOMPLETE,
    NETWORK_ERRORS,
    READ_SIZE,
    block_seconds,
    has_stale_session,
    new_reader,
    open_socket,
    pack,
    pack_again,
    pack_commands,
    replace_replies,
    reply_failure,
    result,
    set_timeout,
    unknown_scripts,
)

if TYPE_CHECKING:
    from jobrunner.store.session import Line

T = TypeVar("T")
IDLE_S = 1.0  # after so long without a request, look first whether the server has hung up
AHEAD = 1  # requests of a series that are under way when the next is made
SHORTEST_S = 0.001  # a timeout of 0 would make the socket non-blocking


@contextmanager
def _waiting_again() -> Iterator[None]:
    """A timeout is no failure: who has patience decides whether it is over."""
    try:
        yield
    except TIMEOUTS as error:
        if error.errno == errno.ETIMEDOUT:  # the network's, not ours
            raise


class StoreConnection:
    """A connection for synchronous code. Threads may share it: they take turns."""

    def __init__(
        self,
        address: StoreAddress,
        timeout: float | None = None,
        *,
        patience: Patience | None = None,
    ) -> None:
        """`timeout` for a reply, seconds, instead of the address's own (default 10).

        `patience` is that of a command, for all that it tries together.
        """
        self.address = address
        self._endpoint = address.endpoint(timeout)
        self._patience = patience
        self._until = 0.0  # monotonic: the time that a request has, as far as there is patience
        self._lock = threading.Lock()
        self._pid = os.getpid()
        self._socket: socket.socket | None = None
        self._timeout: float | None = None  # of its calls
        self._reader = new_reader()
        self._used_at = 0.0  # monotonic

    def run(self, operation: Operation[T]) -> T:
        """Perform an operation; its errors are thrown into it, so that it can clean up."""
        try:
            request = next(operation)
            while True:
                try:
                    reply = self.execute(request)
                except BaseException as error:
                    request = operation.throw(error)
                else:
                    request = operation.send(reply)
        except StopIteration as stop:
            result: T = stop.value
            return result

    def execute(self, request: Request) -> Any:
        """Perform a request in one round trip; a script the server forgot costs one more.

        Raises StoreUnavailable, or ReplyError for a mistake in a command or script.
        """
        if isinstance(request, Series):
            return self._perform(request.requests)
        return self._perform((request,))[0]

    def _perform(self, requests: Iterable[Single]) -> list[Any]:
        if self._pid != os.getpid():
            self._leave_to_parent()
        waiting: deque[tuple[Single, int]] = deque()
        replies: list[Any] = []
        with self._lock:
            try:
                for request in requests:
                    self._send(request, waiting)
                    if len(waiting) > AHEAD:
                        replies += self._receive(waiting)
                while waiting:
                    replies += self._receive(waiting)
            except NETWORK_ERRORS as error:
                self._drop()
                raise outage(error, self.address) from error
            except StoreUnavailable as error:
                if waiting or has_stale_session(error):
                    self._drop()
                raise
            except BaseException as error:
                # Ctrl-C between request and reply: the next request must not get this reply.
                if waiting or not isinstance(error, ReplyError):
                    self._drop()
                raise
        return replies

    def read_push(self, timeout: float | None) -> Any:
        """What the server sends to a subscribed connection; None after `timeout` seconds.

        Raises StoreUnavailable when the connection is lost.
        """
        with self._lock:
            try:
                return self._read_push(timeout)
            except NETWORK_ERRORS as error:
                self._drop()
                raise outage(error, self.address) from error

    def descriptors(self) -> list[int]:
        """That of the socket, if there is one."""
        return [] if self._socket is None else [self._socket.fileno()]

    def close(self) -> None:
        """Close the socket; a later request opens another."""
        with self._lock:
            self._drop()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self.close()

    def _send(self, request: Single, waiting: deque[tuple[Single, int]]) -> None:
        packed, count = pack(request)
        if count:
            sock = self._opened() if waiting else self._ready_socket()
            self._send_all(sock, packed, self._endpoint.timeout + block_seconds(request))
        waiting.append((request, count))

    def _send_all(self, sock: socket.socket, packed: bytes, timeout: float) -> None:
        if self._patience is None:
            self._set_timeout(sock, timeout)
            sock.sendall(packed)
            return
        self._until = time.monotonic() + timeout
        rest = memoryview(packed)
        while rest:
            self._set_timeout(sock, self._patience.next_wait(self._until))
            with _waiting_again():
                rest = rest[sock.send(rest) :]

    def _receive(self, waiting: deque[tuple[Single, int]]) -> list[Any]:
        """The reply to what was sent first; to all of it, when a script has to be loaded again."""
        request, count = waiting.popleft()
        replies = self._read(count)
        if not unknown_scripts(replies):
            return [result(request, replies, self.address)]
        answered = [(request, replies)]
        while waiting:
            request, count = waiting.popleft()
            answered.append((request, self._read(count)))
        return [self._result_with_scripts(*one) for one in answered]

    def _result_with_scripts(self, request: Single, replies: list[Any]) -> Any:
        forgotten = unknown_scripts(replies)
        packed, count = pack_again(request, forgotten)
        self._send_all(self._opened(), packed, self._endpoint.timeout)
        replace_replies(replies, forgotten, self._read(count))
        return result(request, replies, self.address)

    def _read(self, count: int) -> list[Any]:
        if not count:
            return []
        sock = self._opened()
        replies = [self._read_reply(sock) for _ in range(count)]
        self._used_at = time.monotonic()
        return replies

    def _opened(self) -> socket.socket:
        if self._socket is None:
            raise BrokenReply("it closed the connection")
        return self._socket

    def _read_reply(self, sock: socket.socket) -> Any:
        while (reply := self._reader.gets()) is INCOMPLETE:
            received = self._read_some(sock)
            if not received:
                raise BrokenReply("it closed the connection")
            self._reader.feed(received)
        return reply

    def _read_some(self, sock: socket.socket) -> bytes:
        if self._patience is None:
            return sock.recv(READ_SIZE)
        while True:
            self._set_timeout(sock, self._patience.next_wait(self._until))
            with _waiting_again():
                received = sock.recv(READ_SIZE)
                self._patience.heard()
                self._until = time.monotonic() + self._endpoint.timeout
                return received

    def _read_push(self, timeout: float | None) -> Any:
        sock = self._opened()
        while (reply := self._reader.gets()) is INCOMPLETE:
            self._set_timeout(sock, None if timeout is None else max(timeout, SHORTEST_S))
            try:
                received = sock.recv(READ_SIZE)
            except TIMEOUTS as error:
                if error.errno == errno.ETIMEDOUT:  # the network's, not ours
                    raise
                return None
            if not received:
                raise BrokenReply("it closed the connection")
            self._reader.feed(received)
        return reply

    def _ready_socket(self) -> socket.socket:
        if self._socket is not None and self._has_hung_up(self._socket):
            self._drop()
        if self._socket is None:
            self._socket = open_socket(self._endpoint, self._patience)
            self._timeout = self._endpoint.timeout
            self._open_session(self._socket)
        return self._socket

    def _open_session(self, sock: socket.socket) -> None:
        self._reader = new_reader()
        commands = self._endpoint.handshake()
        if not commands:
            return
        self._send_all(sock, pack_commands(commands), self._endpoint.timeout)
        for reply in [self._read_reply(sock) for _ in commands]:
            if isinstance(reply, ReplyError):
                self._drop()
                raise reply_failure(reply, self.address)

    def _has_hung_up(self, sock: socket.socket) -> bool:
        """Whether the server closed an idle connection, e.g. because it was restarted.

        Nothing was sent yet, so connecting again is safe. A request sent into such a
        socket would be lost, and its caller could not know that it was never performed.
        """
        if time.monotonic() - self._used_at < IDLE_S:
            return False
        poll = select.poll()
        poll.register(sock, select.POLLIN)
        return bool(poll.poll(0))

    def _set_timeout(self, sock: socket.socket, seconds: float | None) -> None:
        if seconds != self._timeout:  # setting it costs system calls
            set_timeout(sock, seconds)
            self._timeout = seconds

    def _drop(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _leave_to_parent(self) -> None:
        """After a fork: close our copy of the socket; the parent's session goes on."""
        self._drop()
        self._lock = threading.Lock()
        self._pid = os.getpid()


class AsyncStoreConnection:
    """A connection for the coroutines of one event loop.

    Requests of several coroutines go out as they come and are answered in order. A
    cancelled request is still performed by the server; its reply is read and dropped.
    A cancelled *blocking* one closes the connection, and with it what waits behind it.
    """

    def __init__(self, address: StoreAddress, timeout: float | None = None) -> None:
        """`timeout` for a reply, seconds, instead of the address's own (default 10)."""
        self.address = address
        self._endpoint = address.endpoint(timeout)
        self._line: Line | None = None

    async def run(self, operation: Operation[T]) -> T:
        """Perform an operation; its errors are thrown into it, so that it can clean up."""
        try:
            request = next(operation)
            while True:
                try:
                    reply = await self.execute(request)
                except BaseException as error:
                    request = operation.throw(error)
                else:
                    request = operation.send(reply)
        except StopIteration as stop:
            result: T = stop.value
            return result

    async def execute(self, request: Request) -> Any:
        """Perform a request in one round trip; a script the server forgot costs one more.

        Raises StoreUnavailable, or ReplyError for a mistake in a command or script.
        """
        if isinstance(request, Series):
            return await self._perform(request.requests)
        packed, count = pack(request)
        line = self._line or self._new_line()
        try:
            replies = await line.exchange(packed, count, block_seconds(request))
            forgotten = unknown_scripts(replies)
            if forgotten:
                again = await line.exchange(*pack_again(request, forgotten), 0)
                replace_replies(replies, forgotten, again)
            return result(request, replies, self.address)
        except NETWORK_ERRORS as error:
            raise outage(error, self.address) from error
        except StoreUnavailable as error:
            if has_stale_session(error):
                line.abort()
            raise

    async def _perform(self, requests: Iterable[Single]) -> list[Any]:
        from asyncio import Task, create_task, gather, sleep

        waiting: deque[Task[Any]] = deque()
        replies: list[Any] = []
        try:
            for request in requests:
                waiting.append(create_task(self.execute(request)))
                await sleep(0)  # it goes before the next is made
                if len(waiting) > AHEAD:
                    replies.append(await waiting.popleft())
            while waiting:
                replies.append(await waiting.popleft())
        finally:
            for task in waiting:
                task.cancel()
            await gather(*waiting, return_exceptions=True)
        return replies

    def descriptors(self) -> list[int]:
        """That of the socket, if there is one."""
        return [] if self._line is None else self._line.descriptors()

    async def close(self) -> None:
        """Close the socket; what waits for a reply fails. A later request opens another."""
        if self._line is not None:
            await self._line.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        await self.close()

    def _new_line(self) -> "Line":
        from jobrunner.store.session import Line

        self._line = Line(self.address, self._endpoint)
        return self._line
