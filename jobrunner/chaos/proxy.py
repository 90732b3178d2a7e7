"""A proxy between the processes under test and their store, which acts the faults of a network.

**Where it is.** It listens on a Unix socket in a private folder, or on TCP of this host, and opens
one connection to the store for each of a client. `address` is what the clients are given: its URL
has the user, password, database and timeouts of the store's own, since clients log in through
the proxy. TLS ends at the proxy: clients speak without it.

**Faults of the network.** They may be switched at any time, from any thread; when the call returns,
the fault is in force.

| call | connections that exist | new ones | what was on its way |
|---|---|---|---|
| `cut` | hang: no byte, no end passes | hang, too | is held, and delivered by `restore` |
| `refuse` | are reset | are closed at once | is lost |
| `reset` | are reset | work | is lost |
| `slow` | take so much longer, each way | the same | keeps its order |

After a cut also the requests of clients that have given up are delivered, late, as a network does
that sends again what was not acknowledged.

**Faults at a point.** The proxy reads requests (protocol 2, pipelined or not) and knows them by
name: see `wiretap`. At the nth request of a point from now on, `kill_at` kills the client:
- *before*: what the client sent ahead of the request is passed on, the request and what comes
  after it are not; the client is killed, then its connection ends.
- *after*: all is passed on. When the reply arrives, the client is killed, and gets neither this
  reply nor one that came with it. A reply that says that the script is unknown does not count: the
  client loads the script, and calls it again.
A client is known by the pid of the process that connected, so this needs the Unix socket. Killed
by someone else in the same instant, it does not count. `lose_replies` is the same without a kill.

**Where it runs.** In a thread with an event loop of its own; `Link` is the way of one connection.
"""

import asyncio
import os
import shutil
import signal
import socket
import tempfile
from collections import Counter
from pathlib import Path
from typing import Self
from urllib.parse import quote, urlencode

from jobrunner.chaos.link import Link, Network
from jobrunner.chaos.loopthread import LoopThread
from jobrunner.chaos.wiretap import Kill, Trap, When, Who, Wiretap
from jobrunner.store.address import Endpoint, StoreAddress

BACKLOG = 512  # connections that were not accepted yet; more than all clients of a daemon


def kill_at_once(pid: int) -> None:
    """KILL. Raises ProcessLookupError when the process is gone."""
    os.kill(pid, signal.SIGKILL)


class FaultProxy:
    """The proxy; it works from its making until `close`, or the end of a `with` block."""

    def __init__(
        self, store: StoreAddress, kill: Kill = kill_at_once, *, uses_tcp: bool = False
    ) -> None:
        """`kill` is called in the proxy's thread, so that the kill can be noted before it is done.

        It should raise ProcessLookupError when the process is gone. Raises UsageError for a
        store's URL that cannot be used.
        """
        self._endpoint = store.endpoint()
        self._kill = kill
        self._network = Network()
        self._wiretap = Wiretap()
        self._links: set[Link] = set()
        self._folder = Path(tempfile.mkdtemp(prefix="jr-proxy-"))  # of mode 0700, and short
        listener = _tcp_listener() if uses_tcp else _unix_listener(self._folder / "proxy.sock")
        self.address = StoreAddress(store.name, url=_url(listener, self._endpoint))
        self._thread = LoopThread("fault-proxy")
        self._server = self._thread.run(self._listen(listener))

    # The network.

    def cut(self) -> None:
        """Let all connections hang, half-open, until `restore`."""
        self._thread.call(self._cut)

    def refuse(self) -> None:
        """Reset all connections, and close new ones at once, until `restore`."""
        self._thread.call(self._refuse)

    def restore(self) -> None:
        """End `cut` and `refuse`: what was held goes on its way."""
        self._thread.call(self._restore)

    def reset(self) -> None:
        """Reset all connections, once."""
        self._thread.call(self._abort_links)

    def slow(self, delay_s: float) -> None:
        """Take `delay_s` seconds longer each way, until `slow(0)`."""
        self._thread.call(lambda: setattr(self._network, "delay_s", delay_s))

    # The points.

    def kill_at(self, point: str | None, when: When, nth: int = 1, who: Who | None = None) -> Trap:
        """Kill the client at the nth request of a point from now on; None is any point.

        `who` tells by the pid which clients count, the default is all; never this process. It
        is called in the proxy's thread. Raises ValueError for a point that cannot be.
        """
        return self._set(Trap(point, when, nth, who, self._kill))

    def lose_replies(self, number: int) -> list[Trap]:
        """Pass on each of the next requests, and end its connection instead of the reply."""
        return [self._set(Trap(None, When.AFTER, nth, None, None)) for nth in range(1, number + 1)]

    def withdraw(self, trap: Trap) -> None:
        """Let it spring no more, unless its request is on its way already."""
        self._thread.call(lambda: self._wiretap.withdraw(trap))

    def points(self, who: Who | None = None) -> Counter[str]:
        """How often each point has been seen; with `who` only of these clients, dead ones too."""
        return self._thread.call(lambda: self._wiretap.points(who))

    # The end.

    def close(self) -> None:
        """End all connections and the thread; remove the socket."""
        self._thread.run(self._end())
        self._thread.stop()
        shutil.rmtree(self._folder, ignore_errors=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *reason: object) -> None:
        self.close()

    # In the loop's thread.

    def _set(self, trap: Trap) -> Trap:
        self._thread.call(lambda: self._wiretap.set(trap))
        return trap

    async def _listen(self, listener: socket.socket) -> asyncio.Server:
        def side() -> asyncio.Protocol:
            return Link(self._endpoint, self._network, self._wiretap, self._links).client

        loop = asyncio.get_running_loop()
        if listener.family == socket.AF_UNIX:
            return await loop.create_unix_server(side, sock=listener, backlog=BACKLOG)
        return await loop.create_server(side, sock=listener, backlog=BACKLOG)

    def _cut(self) -> None:
        self._network.is_cut = True
        self._update_links()

    def _refuse(self) -> None:
        self._network.is_refusing = True
        self._abort_links()

    def _restore(self) -> None:
        self._network.is_cut = self._network.is_refusing = False
        self._update_links()

    def _update_links(self) -> None:
        for link in list(self._links):
            link.update()

    def _abort_links(self) -> None:
        for link in list(self._links):
            link.abort()

    async def _end(self) -> None:
        self._server.close()
        self._abort_links()
        while self._links:
            await asyncio.sleep(0)


def _unix_listener(path: Path) -> socket.socket:
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(path))
    return listener


def _tcp_listener() -> socket.socket:
    return socket.create_server(("127.0.0.1", 0))


def _url(listener: socket.socket, store: Endpoint) -> str:
    """How clients reach the listener, and log in at the store behind it."""
    user, plain = "", Endpoint()
    if store.password is not None:
        user = f"{quote(store.username or '', safe='')}:{quote(store.password, safe='')}@"
    values = {
        "db": (store.db, plain.db),
        "client_name": (store.client_name, plain.client_name),
        "socket_timeout": (store.timeout, plain.timeout),
        "socket_connect_timeout": (store.connect_timeout, plain.connect_timeout),
    }
    options = urlencode({name: own for name, (own, usual) in values.items() if own != usual})
    if listener.family == socket.AF_UNIX:
        where = f"unix://{user}{quote(listener.getsockname())}"
    else:
        host, port = listener.getsockname()
        where = f"redis://{user}{host}:{port}"
    return where + (f"?{options}" if options else "")
