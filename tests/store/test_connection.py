"""Connections against a real server, and against sockets that misbehave."""

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from jobrunner.store.connection import AsyncStoreConnection, StoreConnection
from jobrunner.store.failures import ReplyError
from jobrunner.store.keys import Keys
from jobrunner.store.requests import Command, Operation, Pipeline, Script

pytestmark = pytest.mark.anyio


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


@pytest.fixture
def deaf_server(tmp_path: Path) -> Iterator[str]:
    """The path of a socket that accepts connections and never answers."""
    path = str(tmp_path / "deaf")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen()
        yield path


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
