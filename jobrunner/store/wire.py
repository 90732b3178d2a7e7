"""Requests as bytes, replies as results, and how a socket to the server is opened.

What the synchronous and the asynchronous connection have in common. Protocol 2, replies raw.
"""

import os
import select
import socket
import struct
import sys
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import hiredis

from jobrunner.errors import StoreUnavailable, UsageError, quoted
from jobrunner.manifest.trust import user_name
from jobrunner.store.address import Endpoint, StoreAddress
from jobrunner.store.damage import NOT_REPLACED, in_place_of
from jobrunner.store.failures import STALE_CODES, BrokenReply, ReplyError, refusal
from jobrunner.store.patience import Patience
from jobrunner.store.private import peer_uid
from jobrunner.store.requests import Argument, Command, Pipeline, Script, Single
from jobrunner.store.scripts import lua_script

INCOMPLETE: Any = object()  # what `Reader.gets` returns until a whole reply was fed
READ_SIZE = 65536
NETWORK_ERRORS = (OSError, BrokenReply, hiredis.ProtocolError)

# A dead peer is noticed after 30 + 3 × 5 seconds, also by a blocking read.
KEEPALIVE_IDLE_S = 30
KEEPALIVE_EVERY_S = 5
KEEPALIVE_PROBES = 3


def new_reader() -> hiredis.Reader:
    return hiredis.Reader(replyError=ReplyError, notEnoughData=INCOMPLETE)


def pack(request: Single) -> tuple[bytes, int]:
    """The request's bytes, and how many replies it gets.

    Raises TypeError for an argument that is not bytes, str, int or float.
    """
    if isinstance(request, Pipeline):
        return b"".join([_pack_one(one) for one in request.requests]), len(request.requests)
    return _pack_one(request), 1


def pack_commands(commands: Sequence[tuple[Argument, ...]]) -> bytes:
    return b"".join([_packed(command) for command in commands])


def _pack_one(request: Command | Script) -> bytes:
    if isinstance(request, Command):
        return _packed(request.args)
    keys = request.keys
    sha = lua_script(request.name).sha
    call = b"EVALSHA_RO" if request.reads_only else b"EVALSHA"
    return _packed((call, sha, len(keys), *keys, *request.args))


def _packed(args: tuple[Argument, ...]) -> bytes:
    try:
        packed: bytes = hiredis.pack_command(args)  # type: ignore[arg-type]  # its stub has no `...`
    except UnicodeEncodeError as error:
        raise UsageError(
            f"{quoted(error.object)} is not UTF-8 text",
            why="names and parameters are kept in the store as UTF-8",
            fix="write it in UTF-8; give bytes to a job by a file",
        ) from error
    return packed


def block_seconds(request: Single) -> float:
    """How long the server may hold the replies back, seconds."""
    if isinstance(request, Command):
        return request.block_ms / 1000
    if isinstance(request, Pipeline):
        return sum(block_seconds(one) for one in request.requests)
    return 0


def unknown_scripts(replies: list[Any]) -> list[int]:
    """Positions of the replies that say that the server has forgotten the script."""
    return [
        at
        for at, reply in enumerate(replies)
        if isinstance(reply, ReplyError) and reply.code == "NOSCRIPT"
    ]


def pack_again(request: Single, positions: list[int]) -> tuple[bytes, int]:
    """Load the forgotten scripts, then call them: every second reply is a script's."""
    requests = request.requests if isinstance(request, Pipeline) else [request]
    packed = []
    for at in positions:
        script = requests[at]
        if isinstance(script, Script):
            packed += [_packed(("SCRIPT", "LOAD", lua_script(script.name).text)), _pack_one(script)]
    return b"".join(packed), len(packed)


def replace_replies(replies: list[Any], positions: list[int], again: list[Any]) -> None:
    """Put the replies to `pack_again` where they belong.

    When a script could not even be loaded, that error takes the place of NOSCRIPT.
    """
    for at, loaded, reply in zip(positions, again[::2], again[1::2], strict=True):
        replies[at] = loaded if isinstance(loaded, ReplyError) else reply


def result(request: Single, replies: list[Any], address: StoreAddress) -> Any:
    """The reply, or the list of a pipeline's replies; the first error among them is raised.

    A key of another type is read as one that is not there. Raises StoreUnavailable for a server
    that refuses to serve, ReplyError for our mistakes.
    """
    for at, reply in enumerate(replies):
        if isinstance(reply, ReplyError):
            single = request.requests[at] if isinstance(request, Pipeline) else request
            replies[at] = in_place_of(reply, single)
            if replies[at] is NOT_REPLACED:
                raise reply_failure(reply, address)
    return replies if isinstance(request, Pipeline) else replies[0]


def reply_failure(error: ReplyError, address: StoreAddress) -> StoreUnavailable | ReplyError:
    found = refusal(error, address)
    if found is None:
        return error
    found.__cause__ = error
    return found


def has_stale_session(error: StoreUnavailable) -> bool:
    """Whether only a new connection can help, e.g. after the server became a replica."""
    return isinstance(error.__cause__, ReplyError) and error.__cause__.code in STALE_CODES


def open_socket(endpoint: Endpoint, patience: Patience | None = None) -> socket.socket:
    """A connected socket, with TLS where asked for, that waits as the endpoint says.

    To connect may not take longer than the patience lasts. Raises OSError.
    """
    sock = _open(endpoint, patience)
    set_timeout(sock, endpoint.timeout)
    return sock


def _open(endpoint: Endpoint, patience: Patience | None) -> socket.socket:
    if endpoint.path is not None:
        timeout = endpoint.connect_timeout
        sock = _connected(socket.AF_UNIX, endpoint.path, timeout, patience)
        refuse_foreign(sock, endpoint)
        return sock
    failure: OSError = OSError("the host has no address")
    for family, _, _, _, where in _addresses(endpoint, patience):
        try:
            plain = _connected(family, where, endpoint.connect_timeout, patience)
        except OSError as error:
            failure = error
            continue
        return _with_tls(plain, endpoint, patience)
    raise failure


def refuse_foreign(sock: socket.socket, endpoint: Endpoint) -> None:
    """Close the connection when somebody else listens where the embedded server should.

    Whoever does would be told arguments and secrets, and say what a user sees. Raises
    StoreUnavailable.
    """
    if endpoint.path is None or not endpoint.is_own:
        return
    uid = peer_uid(sock, endpoint.path)
    if uid in {0, os.geteuid()}:
        return
    sock.close()
    raise StoreUnavailable(
        f"the socket {endpoint.path} belongs to {user_name(uid)}",
        why="the embedded server runs as the user of the daemon; this is another's",
        fix="run as that user, e.g. with `sudo -u`, if it is the daemon's; else remove the socket",
    )


def _addresses(endpoint: Endpoint, patience: Patience | None) -> list[Any]:
    """Of the host. A name server that does not answer is waited for in a thread: nothing else can
    end that wait.
    """

    def look() -> list[Any]:
        return socket.getaddrinfo(endpoint.host, endpoint.port, type=socket.SOCK_STREAM)

    def look_in_thread() -> None:
        try:
            answer.append(look())
        except Exception as error:  # raised where the answer is waited for
            answer.append(error)

    if patience is None:
        return look()
    answer: list[Any] = []
    until = time.monotonic() + endpoint.connect_timeout
    thread = threading.Thread(target=look_in_thread, daemon=True)
    thread.start()
    while not answer:
        thread.join(patience.next_wait(until))
    [found] = answer
    if isinstance(found, Exception):
        raise found
    addresses: list[Any] = found
    return addresses


def _connected(family: int, where: Any, timeout: float, patience: Patience | None) -> socket.socket:
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        if patience is None:
            sock.settimeout(timeout)
            sock.connect(where)
        else:
            _connect_patiently(sock, where, time.monotonic() + timeout, patience)
        set_options(sock)
    except BaseException:
        sock.close()
        raise
    return sock


def _connect_patiently(sock: socket.socket, where: Any, until: float, patience: Patience) -> None:
    sock.settimeout(patience.next_wait(until))
    with suppress(TimeoutError):  # the kernel goes on connecting
        sock.connect(where)
        return
    poll = select.poll()
    poll.register(sock, select.POLLOUT)
    while not poll.poll(patience.next_wait(until) * 1000):
        pass
    code = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
    if code:
        raise OSError(code, os.strerror(code))


def _with_tls(sock: socket.socket, endpoint: Endpoint, patience: Patience | None) -> socket.socket:
    if endpoint.tls is None:
        return sock
    try:
        context, host = endpoint.tls.context(), endpoint.host
        if patience is None:
            return context.wrap_socket(sock, server_hostname=host)
        wrapped = context.wrap_socket(sock, server_hostname=host, do_handshake_on_connect=False)
        sock = wrapped  # which has taken the descriptor over
        until = time.monotonic() + endpoint.connect_timeout
        while True:
            wrapped.settimeout(patience.next_wait(until))
            with suppress(TimeoutError):
                wrapped.do_handshake()
                return wrapped
    except BaseException:
        sock.close()
        raise


def set_timeout(sock: socket.socket, seconds: float | None) -> None:
    """How long each call may wait; None for ever. It ends with one of TIMEOUTS.

    Left to the kernel where possible: Python's own timeouts cost a poll before each call.
    """
    if sys.platform != "linux" or type(sock) is not socket.socket:  # it may be one of TLS
        sock.settimeout(seconds)
        return
    sock.settimeout(None)
    whole, rest = divmod(round((seconds or 0) * 1_000_000), 1_000_000)
    for option in (socket.SO_RCVTIMEO, socket.SO_SNDTIMEO):
        sock.setsockopt(socket.SOL_SOCKET, option, struct.pack("ll", whole, rest))


def set_options(sock: socket.socket) -> None:
    """Send small requests at once, and notice a dead peer."""
    if sock.family == socket.AF_UNIX:
        return
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    if sys.platform == "linux":
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, KEEPALIVE_IDLE_S)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, KEEPALIVE_EVERY_S)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, KEEPALIVE_PROBES)
