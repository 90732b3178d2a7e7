"""Connections when the server is away, refuses to serve, or is none."""

import asyncio
import socket
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from jobrunner.client.outage import was_cut_off
from jobrunner.errors import StoreUnavailable
from jobrunner.store.address import StoreAddress
from jobrunner.store.connection import AsyncStoreConnection, StoreConnection
from jobrunner.store.keys import Keys
from jobrunner.store.requests import Command
from tests.store.clients import eventually
from tests.store.kinds import CLIENT_ID, PING, Run, both_kinds, failure
from tests.store.odd_servers import unix_server

pytestmark = pytest.mark.anyio


@pytest.fixture(params=[False, True], ids=["asyncio", "uvloop"])
def anyio_backend(request: pytest.FixtureRequest) -> tuple[str, dict[str, bool]]:
    """Both loops: their transports differ."""
    return "asyncio", {"use_uvloop": request.param}


def listen_only(client: socket.socket) -> None:
    while client.recv(1000):
        pass


@both_kinds
def test_a_server_that_does_not_answer_is_unavailable_after_the_timeout(
    run: Run, socket_path: str
) -> None:
    address = StoreAddress("test", url=f"unix://{socket_path}?socket_timeout=0.05")

    with unix_server(socket_path, listen_only):
        error = failure(run, address)

    assert "no answer in time" in error.what
    assert was_cut_off(error), "a submit is repeated then"


async def test_each_request_has_the_whole_timeout(socket_path: str) -> None:
    address = StoreAddress("test", url=f"unix://{socket_path}?socket_timeout=0.4")

    def answer_slowly(client: socket.socket) -> None:
        for _ in range(2):
            client.recv(1000)
            time.sleep(0.25)
            client.sendall(b"+PONG\r\n")

    with unix_server(socket_path, answer_slowly):
        async with AsyncStoreConnection(address) as connection:
            replies = [await connection.execute(PING) for _ in range(2)]

    assert replies == [b"PONG", b"PONG"]


@both_kinds
def test_a_request_whose_reply_was_lost_is_not_repeated(run: Run, socket_path: str) -> None:
    received = []

    def hang_up(client: socket.socket) -> None:
        received.append(client.recv(1000))

    with unix_server(socket_path, hang_up):
        error = failure(run, StoreAddress("test", socket=socket_path))

    assert received == [b"*1\r\n$4\r\nPING\r\n"]
    assert error.what == "the embedded server was lost: it closed the connection"


@both_kinds
def test_a_server_of_another_protocol_is_recognised(run: Run, socket_path: str) -> None:
    def answer(client: socket.socket) -> None:
        client.recv(1000)
        client.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")

    with unix_server(socket_path, answer):
        error = failure(run, StoreAddress("test", url=f"unix://{socket_path}"))

    assert "cannot be reached" in error.what


async def test_a_loop_that_was_blocked_past_the_timeout_still_reads_its_replies(
    store_socket: str,
) -> None:
    address = StoreAddress("test", url=f"unix://{store_socket}?socket_timeout=0.05")
    async with AsyncStoreConnection(address) as connection:
        await connection.execute(PING)
        request = asyncio.ensure_future(connection.execute(PING))
        await asyncio.sleep(0)  # it was sent

        time.sleep(0.2)  # what a job may do to its loop

        assert await request == b"PONG"


def test_after_an_outage_the_next_request_connects_again(
    connection: StoreConnection, address: StoreAddress
) -> None:
    with StoreConnection(address) as killer:
        own = connection.execute(CLIENT_ID)
        killer.execute(Command(("CLIENT", "KILL", "ID", own)))

        with pytest.raises(StoreUnavailable):
            connection.execute(PING)

        assert connection.execute(PING) == b"PONG"


async def test_after_an_outage_the_next_asynchronous_request_connects_again(
    async_connection: AsyncStoreConnection, connection: StoreConnection, keys: Keys
) -> None:
    own = await async_connection.execute(CLIENT_ID)
    read = Command(("BLPOP", keys.control("w1"), 10), block_ms=10_000)
    waiting = asyncio.ensure_future(async_connection.execute(read))
    await asyncio.sleep(0)
    connection.execute(Command(("CLIENT", "KILL", "ID", own)))

    with pytest.raises(StoreUnavailable):
        await waiting

    assert await async_connection.execute(PING) == b"PONG"


def test_an_idle_connection_that_the_server_closed_costs_no_request(
    connection: StoreConnection, address: StoreAddress, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("jobrunner.store.connection.IDLE_S", 0)
    own = connection.execute(CLIENT_ID)
    with StoreConnection(address) as killer:
        killer.execute(Command(("CLIENT", "KILL", "ID", own)))

    assert connection.execute(PING) == b"PONG"


@both_kinds
def test_a_wrong_password_is_named_as_such_and_not_shown(run: Run, store_socket: str) -> None:
    error = failure(run, StoreAddress("test", url=f"unix://default2:s3cret@{store_socket}"))

    assert "refuses the user or password" in error.what
    assert "s3cret" not in f"{error.what} {error.why} {error.fix}"


@both_kinds
@pytest.mark.parametrize(
    ("setting", "normal", "words"),
    [
        (("CONFIG", "SET", "maxmemory", "1"), ("CONFIG", "SET", "maxmemory", "0"), "is full"),
        (("REPLICAOF", "127.0.0.1", "1"), ("REPLICAOF", "NO", "ONE"), "is a read-only replica"),
    ],
)
def test_a_server_that_refuses_writes_is_unavailable_with_the_reason(
    run: Run,
    connection: StoreConnection,
    address: StoreAddress,
    keys: Keys,
    setting: tuple[str, ...],
    normal: tuple[str, ...],
    words: str,
) -> None:
    connection.execute(Command(setting))
    try:
        error = failure(run, address, Command(("SET", keys.last_job(), "x")))
    finally:
        connection.execute(Command(normal))

    assert words in error.what
    assert error.fix


def test_a_demoted_server_is_left(
    connection: StoreConnection, address: StoreAddress, keys: Keys
) -> None:
    with StoreConnection(address) as admin:
        before = connection.execute(CLIENT_ID)
        admin.execute(Command(("REPLICAOF", "127.0.0.1", "1")))
        try:
            with pytest.raises(StoreUnavailable):
                connection.execute(Command(("SET", keys.last_job(), "x")))
        finally:
            admin.execute(Command(("REPLICAOF", "NO", "ONE")))

    assert connection.execute(CLIENT_ID) != before


def test_a_blocking_read_that_a_failover_interrupts_is_an_outage(
    connection: StoreConnection, address: StoreAddress, keys: Keys
) -> None:
    with StoreConnection(address) as reader, ThreadPoolExecutor(1) as pool:
        reading = pool.submit(reader.execute, Command(("BLPOP", keys.control("w1"), 5)))
        eventually(lambda: b"cmd=blpop" in connection.execute(Command(("CLIENT", "LIST"))))
        connection.execute(Command(("REPLICAOF", "127.0.0.1", "1")))
        try:
            with pytest.raises(StoreUnavailable, match="has become a replica"):
                reading.result()
        finally:
            connection.execute(Command(("REPLICAOF", "NO", "ONE")))


@both_kinds
def test_a_server_that_lacks_a_command_is_too_old(run: Run, address: StoreAddress) -> None:
    error = failure(run, address, Command(("XNEWCOMMAND",)))

    assert "does not know a command" in error.what
    assert "7.2" in (error.fix or "")


@both_kinds
@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("redis://127.0.0.1:1", "nothing listens there"),
        ("redis://no-such-host.invalid", "its name cannot be resolved"),
        ("unix:///nowhere/s", "nothing listens there"),
    ],
)
def test_a_server_that_is_not_there_is_unavailable_with_the_reason(
    run: Run, url: str, words: str
) -> None:
    error = failure(run, StoreAddress("test", url=url))

    assert words in error.what
    assert url in error.what
    assert error.fix
