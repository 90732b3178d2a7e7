"""One client's way through the proxy: its socket, the store's, and what becomes of the bytes."""

import asyncio
import socket
import struct
import sys
from collections import deque
from dataclasses import dataclass
from typing import cast

import hiredis

from jobrunner.chaos.wiretap import Trap, When, Wiretap, is_unknown_script
from jobrunner.store.address import Endpoint
from jobrunner.store.wire import INCOMPLETE, new_reader

UCRED = struct.Struct("3i")  # of SO_PEERCRED: pid, uid, gid
SOL_LOCAL = 0  # macOS
LOCAL_PEERPID = 2
RESET_AT_CLOSE = struct.pack("ii", 1, 0)  # SO_LINGER of no time: RST instead of FIN


@dataclass(slots=True)
class Network:
    """How the network is at the moment. Changed in the proxy's loop only."""

    is_cut: bool = False
    is_refusing: bool = False
    delay_s: float = 0.0  # each way


class Link:
    """A client and the store. Lives until both sockets are closed."""

    def __init__(
        self,
        store: Endpoint,
        network: Network,
        wiretap: Wiretap,
        links: "set[Link]",
    ) -> None:
        """While it lives it is one of the `links`."""
        self.client = Side(self, network)
        self._server = Side(self, network)
        self._store = store
        self._network = network
        self._wiretap = wiretap
        self._links = links
        self._pid: int | None = None
        self._requests = hiredis.Reader(notEnoughData=INCOMPLETE)
        self._replies = new_reader()
        self._awaited: deque[Trap | None] = deque()  # one per request without a reply
        self._connecting: asyncio.Task[None] | None = None

    def update(self) -> None:
        """Read, send or hold, as the network now is."""
        if self._network.is_cut:
            self.client.read(False)
            self._server.read(False)
            return
        if self._connecting is None:
            self._connecting = asyncio.create_task(self._connect())
        self.client.flush()
        self._server.flush()
        self.client.read(self._server.is_open and not self._server.is_full)
        self._server.read(not self.client.is_full)

    def abort(self) -> None:
        """Close both sockets at once; what is on its way is lost."""
        if self._connecting is not None:
            self._connecting.cancel()
        self.client.abort()
        self._server.abort()

    def opened(self, side: "Side") -> None:
        if side is self.client:
            self._links.add(self)
            self._pid = side.peer_pid()
            if self._network.is_refusing:
                self.abort()
                return
        self.update()

    def received(self, side: "Side", chunk: bytes) -> None:
        take = self._take_requests if side is self.client else self._take_replies
        try:
            take(chunk)
        except hiredis.ProtocolError:
            self.abort()  # as a server does with a client that speaks something else

    def lost(self, side: "Side") -> None:
        """Close the other side too, behind what is still on its way there."""
        other = self._server if side is self.client else self.client
        other.send(None)
        if side is self._server:
            for trap in filter(None, self._awaited):
                trap.reply_lost()
            self._awaited.clear()
        if not other.is_open:
            self._links.discard(self)

    async def _connect(self) -> None:
        try:
            async with asyncio.timeout(self._store.connect_timeout):
                await _reach(self._store, self._server)
        except OSError:
            self.client.abort()  # the client learns no more than that nobody is there

    def _take_requests(self, chunk: bytes) -> None:
        """Send on what is complete, in the one form that clients write requests in."""
        self._requests.feed(chunk)
        passed = []
        while (request := self._requests.gets()) is not INCOMPLETE:
            trap = self._wiretap.note(request, self._pid)
            if trap is not None and trap.when is When.BEFORE:
                if trap.spring(self._pid):
                    self.client.abort()
                    break
                trap = None
            self._awaited.append(trap)
            passed.append(hiredis.pack_command(tuple(request)))
        if passed:
            self._server.send(b"".join(passed))

    def _take_replies(self, chunk: bytes) -> None:
        """Send on the replies, unless a trap has waited for one of them."""
        self._replies.feed(chunk)
        while (reply := self._replies.gets()) is not INCOMPLETE:
            # Without a request it was pushed to a subscriber.
            trap = self._awaited.popleft() if self._awaited else None
            if trap is not None and self._springs(trap, reply):
                self.client.abort()
                return
        self.client.send(chunk)

    def _springs(self, trap: Trap, reply: object) -> bool:
        if is_unknown_script(reply):
            trap.wait_for_another()
            return False
        return trap.spring(self._pid)


class Side(asyncio.Protocol):
    """One socket of a link. What is sent to it keeps its order, also when delayed or held."""

    def __init__(self, link: Link, network: Network) -> None:
        self.is_full = False  # its peer reads slower than we send
        self._link = link
        self._network = network
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._pieces: deque[tuple[float, bytes | None]] = deque()  # loop's time when due
        self._timer: asyncio.TimerHandle | None = None

    @property
    def is_open(self) -> bool:
        return self._transport is not None

    def send(self, piece: bytes | None) -> None:
        """Send, when the network's delay is over; None for the end."""
        self._pieces.append((self._loop.time() + self._network.delay_s, piece))
        self.flush()

    def flush(self) -> None:
        """Send what is due; a timer comes back for the rest."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        while self._pieces and self._transport is not None and not self._network.is_cut:
            due_at, piece = self._pieces[0]
            if due_at > self._loop.time():
                self._timer = self._loop.call_at(due_at, self.flush)
                return
            self._pieces.popleft()
            _write(self._transport, piece)

    def read(self, may_read: bool) -> None:
        """Read from the socket, or leave what comes in the system's buffers."""
        if self._transport is None:
            return
        if may_read:
            self._transport.resume_reading()
        else:
            self._transport.pause_reading()

    def abort(self) -> None:
        if self._transport is None:
            return
        sock = self._transport.get_extra_info("socket")
        if sock.family != socket.AF_UNIX:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_AT_CLOSE)
        self._transport.abort()

    def peer_pid(self) -> int | None:
        """The process that connected, where the system tells; not over TCP."""
        return None if self._transport is None else _peer_pid(self._transport)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._link.opened(self)

    def data_received(self, data: bytes) -> None:
        self._link.received(self, data)

    def connection_lost(self, _error: Exception | None) -> None:
        self._transport = None
        self._pieces.clear()
        self._link.lost(self)

    def pause_writing(self) -> None:
        self.is_full = True
        self._link.update()

    def resume_writing(self) -> None:
        self.is_full = False
        self._link.update()


async def _reach(store: Endpoint, side: Side) -> None:
    """Connect the side to the store. Raises OSError."""
    loop = asyncio.get_running_loop()
    if store.path is not None:
        await loop.create_unix_connection(lambda: side, store.path)
        return
    tls = None if store.tls is None else store.tls.context()
    name = None if tls is None else store.host
    await loop.create_connection(
        lambda: side, store.host, store.port, ssl=tls, server_hostname=name
    )


def _write(transport: asyncio.Transport, piece: bytes | None) -> None:
    if piece is None:
        transport.close()
    elif not transport.is_closing():
        transport.write(piece)


def _peer_pid(transport: asyncio.Transport) -> int | None:
    sock = transport.get_extra_info("socket")
    if sock.family != socket.AF_UNIX:
        return None
    if sys.platform == "linux":
        pid, _, _ = UCRED.unpack(sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, UCRED.size))
    else:
        pid = sock.getsockopt(SOL_LOCAL, LOCAL_PEERPID)
    # 0 is a process of another container; to kill 0 would kill our own process group.
    return pid or None
