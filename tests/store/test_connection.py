"""Connections to a server that serves."""

import asyncio
import subprocess
import sys
import threading

import pytest

from jobrunner.store.address import StoreAddress
from jobrunner.store.connection import AsyncStoreConnection, StoreConnection
from jobrunner.store.failures import ReplyError
from jobrunner.store.keys import Keys
from jobrunner.store.requests import Command, Operation, Pipeline, Script
from tests.store.kinds import CLIENT_ID, PING, Run, both_kinds, failure
from tests.store.odd_servers import CERTIFICATE, tls_server

pytestmark = pytest.mark.anyio
FORK = """
import os, sys
from jobrunner.store.address import StoreAddress
from jobrunner.store.connection import StoreConnection
from jobrunner.store.requests import Command

connection = StoreConnection(StoreAddress("test", socket=sys.argv[1]))
ids = Command(("CLIENT", "ID"))
before = connection.execute(ids)
if os.fork() == 0:
    os._exit(0 if connection.execute(ids) not in (before, None) else 1)
print(os.wait()[1], connection.execute(ids) == before)
"""


@pytest.fixture(params=[False, True], ids=["asyncio", "uvloop"])
def anyio_backend(request: pytest.FixtureRequest) -> tuple[str, dict[str, bool]]:
    """Both loops: their transports differ."""
    return "asyncio", {"use_uvloop": request.param}


def set_and_read(key: str, value: str) -> Operation[bytes]:
    yield Command(("SET", key, value))
    reply: bytes = yield Command(("GET", key))
    return reply


def set_in_spite_of_errors(key: str) -> Operation[str]:
    try:
        yield Command(("INCRBY", key, "not a number"))
    except ReplyError as error:
        yield Command(("SET", key, "cleaned up"))
        return error.code
    return "no error"


def a_script(keys: Keys) -> Script:
    """Any script of the package that takes the time from the server and changes nothing."""
    return Script("resume", [keys.cron("nightly")], [])


def test_a_request_gets_its_raw_reply(connection: StoreConnection, keys: Keys) -> None:
    key = keys.last_job()

    replies = connection.execute(
        Pipeline([Command(("SET", key, 1.5)), Command(("GET", key)), Command(("STRLEN", key))])
    )

    assert replies == [b"OK", b"1.5", 3]


def test_an_operation_is_performed_to_its_result(connection: StoreConnection, keys: Keys) -> None:
    assert connection.run(set_and_read(keys.last_job(), "x")) == b"x"


async def test_an_operation_is_performed_the_same_way_asynchronously(
    async_connection: AsyncStoreConnection, keys: Keys
) -> None:
    assert await async_connection.run(set_and_read(keys.last_job(), "x")) == b"x"


def test_an_operation_may_answer_an_error(connection: StoreConnection, keys: Keys) -> None:
    key = keys.last_job()

    code = connection.run(set_in_spite_of_errors(key))

    assert (code, connection.execute(Command(("GET", key)))) == ("ERR", b"cleaned up")


async def test_an_operation_may_answer_an_error_asynchronously(
    async_connection: AsyncStoreConnection, keys: Keys
) -> None:
    key = keys.last_job()

    code = await async_connection.run(set_in_spite_of_errors(key))

    assert (code, await async_connection.execute(Command(("GET", key)))) == ("ERR", b"cleaned up")


def test_the_first_error_of_a_pipeline_is_raised_after_all_replies(
    connection: StoreConnection, keys: Keys
) -> None:
    key = keys.last_job()
    pipeline = Pipeline(
        [Command(("SET", key, "x")), Command(("LPUSH", key, "y")), Command(("APPEND", key, "z"))]
    )

    with pytest.raises(ReplyError, match="WRONGTYPE"):
        connection.execute(pipeline)

    assert connection.execute(Command(("GET", key))) == b"xz"


def test_a_script_the_server_does_not_know_is_loaded_and_called(
    connection: StoreConnection, keys: Keys
) -> None:
    connection.execute(Command(("HSET", keys.cron("nightly"), "paused", "1")))
    connection.execute(Command(("SCRIPT", "FLUSH")))

    replies = [connection.execute(a_script(keys)) for _ in range(2)]

    assert replies == [1, 0]


async def test_only_the_forgotten_scripts_of_a_pipeline_are_called_again(
    async_connection: AsyncStoreConnection, keys: Keys
) -> None:
    counter = Command(("INCR", keys.tokens()))
    await async_connection.execute(Command(("HSET", keys.cron("nightly"), "paused", "1")))
    await async_connection.execute(Command(("SCRIPT", "FLUSH")))

    replies = await async_connection.execute(Pipeline([counter, a_script(keys), counter]))

    assert replies == [1, 1, 2]


def test_an_empty_pipeline_needs_no_server() -> None:
    connection = StoreConnection(StoreAddress("test", socket="/nowhere"))

    assert connection.execute(Pipeline([])) == []


def test_an_argument_that_no_command_can_carry_is_refused_before_it_is_sent(
    connection: StoreConnection,
) -> None:
    with pytest.raises(TypeError):
        connection.execute(Command(("ECHO", None)))  # type: ignore[arg-type]  # the mistake

    assert connection.execute(PING) == b"PONG"


def test_threads_that_share_a_connection_get_their_own_replies(
    connection: StoreConnection,
) -> None:
    wrong: list[bytes] = []

    def echo(name: str) -> None:
        for number in range(200):
            text = f"{name}{number}".encode()
            if connection.execute(Command(("ECHO", text))) != text:
                wrong.append(text)

    threads = [threading.Thread(target=echo, args=[name]) for name in "abcd"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert wrong == []


def test_a_forked_child_has_a_connection_of_its_own(store_socket: str) -> None:
    script = [sys.executable, "-c", FORK, store_socket]

    done = subprocess.run(script, capture_output=True, text=True, check=True)

    assert done.stdout == "0 True\n"


async def test_coroutines_share_a_connection_and_get_their_own_replies(
    async_connection: AsyncStoreConnection,
) -> None:
    texts = [str(number).encode() for number in range(500)]

    replies = await asyncio.gather(
        *(async_connection.execute(Command(("ECHO", text))) for text in texts)
    )

    assert replies == texts


async def test_a_cancelled_request_does_not_shift_the_replies_of_others(
    async_connection: AsyncStoreConnection,
) -> None:
    before = await async_connection.execute(CLIENT_ID)
    requests = [Command(("ECHO", str(number))) for number in range(100)]
    tasks = [asyncio.ensure_future(async_connection.execute(request)) for request in requests]
    await asyncio.sleep(0)  # all have been sent

    for task in tasks[::2]:
        task.cancel()
    replies = await asyncio.gather(*tasks, return_exceptions=True)

    assert all(isinstance(reply, asyncio.CancelledError) for reply in replies[::2])
    assert replies[1::2] == [str(number).encode() for number in range(1, 100, 2)]
    assert await async_connection.execute(CLIENT_ID) == before


async def test_a_cancelled_blocking_read_takes_nothing_and_blocks_nobody(
    async_connection: AsyncStoreConnection, connection: StoreConnection, keys: Keys
) -> None:
    key = keys.control("w1")
    read = Command(("BLPOP", key, 10), block_ms=10_000)
    task = asyncio.ensure_future(async_connection.execute(read))
    while not connection.execute(Command(("INFO", "clients"))).count(b"blocked_clients:1"):
        await asyncio.sleep(0.001)

    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    async with asyncio.timeout(2):
        assert await async_connection.execute(PING) == b"PONG"
    while connection.execute(Command(("INFO", "clients"))).count(b"blocked_clients:1"):
        await asyncio.sleep(0.001)
    assert connection.execute(Command(("LPUSH", key, "kept"))) == 1
    assert connection.execute(Command(("LLEN", key))) == 1


@both_kinds
def test_a_blocking_read_may_take_longer_than_the_timeout(
    run: Run, store_socket: str, keys: Keys
) -> None:
    address = StoreAddress("test", url=f"unix://{store_socket}?socket_timeout=0.1")

    replies = run(address, [Command(("BLPOP", keys.control("w1"), 0.3), block_ms=300), PING])

    assert replies == [None, b"PONG"]


@both_kinds
def test_a_password_and_a_database_are_used(
    run: Run, connection: StoreConnection, store_socket: str, keys: Keys
) -> None:
    connection.execute(Command(("ACL", "SETUSER", "ann", "on", ">p@ss", "~*", "+@all")))
    address = StoreAddress("test", url=f"unix://ann:p%40ss@{store_socket}?db=2&client_name=me")

    [who, info] = run(address, [Command(("ACL", "WHOAMI")), Command(("CLIENT", "INFO"))])

    assert who == b"ann"
    assert isinstance(info, bytes)
    assert b" db=2 " in info
    assert b" name=me " in info


@both_kinds
def test_tls_is_used_and_the_certificate_checked(run: Run, store_socket: str) -> None:
    with tls_server(store_socket) as port:
        url = f"rediss://localhost:{port}"
        trusted = run(StoreAddress("test", url=f"{url}?ssl_ca_certs={CERTIFICATE}"), [PING])
        error = failure(run, StoreAddress("test", url=url))

    assert trusted == [b"PONG"]
    assert "TLS failed" in error.what
    assert "ssl_ca_certs" in (error.fix or "")
