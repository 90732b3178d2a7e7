"""A store that takes connections and answers nothing, as a command sees it."""

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from jobrunner.client.sync import Client
from jobrunner.errors import StoreUnavailable
from jobrunner.store import patience as patience_module
from jobrunner.store.address import StoreAddress
from jobrunner.store.connection import StoreConnection
from jobrunner.store.patience import Patience
from jobrunner.store.requests import Command
from tests.store.odd_servers import serve, unix_server

LIMIT_S = 0.6
PING = Command(("PING",))


class Told:
    """A patience that notes when it tells."""

    def __init__(self) -> None:
        self.began_at = time.monotonic()
        self.times: list[float] = []
        self.patience = Patience(self._tell, LIMIT_S)

    def _tell(self) -> None:
        self.times.append(time.monotonic() - self.began_at)


@pytest.fixture(autouse=True)
def _tells_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patience_module, "TELL_AFTER_S", 0.2)


@pytest.fixture
def told() -> Told:
    return Told()


@pytest.fixture
def path(tmp_path: Path) -> str:
    return str(tmp_path / "s")


def says_nothing(client: socket.socket) -> None:
    while client.recv(65536):
        pass


def reads_nothing(client: socket.socket) -> None:
    threading.Event().wait(5)


def gives_up(told: Told, call: Callable[[], object]) -> StoreUnavailable:
    """The error after one telling, within the bound."""
    told.began_at = began_at = time.monotonic()
    with pytest.raises(StoreUnavailable) as caught:
        call()
    took = time.monotonic() - began_at
    assert LIMIT_S <= took < LIMIT_S + 0.5
    assert len(told.times) == 1
    assert 0.2 <= told.times[0] < 0.5
    return caught.value


def test_a_command_tells_what_it_waits_for_and_gives_up(told: Told, path: str) -> None:
    address = StoreAddress("demo", socket=path)
    with unix_server(path, says_nothing), StoreConnection(address, patience=told.patience) as one:
        error = gives_up(told, lambda: one.execute(PING))

    assert error.what == "the embedded server gives no answer in time"
    assert error.fix is not None


def test_a_server_that_does_not_even_read_is_given_up(told: Told, path: str) -> None:
    address = StoreAddress("demo", socket=path)
    large = Command(("SET", "key", b"x" * (8 << 20)))
    with unix_server(path, reads_nothing), StoreConnection(address, patience=told.patience) as one:
        gives_up(told, lambda: one.execute(large))


def test_several_tries_have_one_bound_together(told: Told, path: str) -> None:
    address = StoreAddress("demo", socket=path)
    with unix_server(path, says_nothing), StoreConnection(address, patience=told.patience) as one:
        gives_up(told, lambda: one.execute(PING))
        began_at = time.monotonic()
        for _ in range(3):
            with pytest.raises(StoreUnavailable):
                one.execute(PING)

    assert time.monotonic() - began_at < 0.2
    assert len(told.times) == 1


def test_an_answer_renews_the_patience(told: Told, path: str) -> None:
    pauses = iter([0.3, 0.4, 0.4, 5])

    def answers_slowly(client: socket.socket) -> None:
        while client.recv(65536):
            threading.Event().wait(next(pauses))
            client.sendall(b"+PONG\r\n")

    address = StoreAddress("demo", socket=path)
    with (
        unix_server(path, answers_slowly),
        StoreConnection(address, patience=told.patience) as one,
    ):
        assert [one.execute(PING) for _ in range(3)] == [b"PONG"] * 3
        with pytest.raises(StoreUnavailable):
            one.execute(PING)

    assert len(told.times) == 4  # once in each silence


def test_a_reply_that_comes_in_drops_is_waited_for(told: Told, path: str) -> None:
    def drips(client: socket.socket) -> None:
        client.recv(65536)
        for byte in b"$8\r\nanswered\r\n":
            threading.Event().wait(0.1)
            client.sendall(bytes([byte]))

    address = StoreAddress("demo", socket=path)
    with unix_server(path, drips), StoreConnection(address, patience=told.patience) as one:
        assert one.execute(PING) == b"answered"

    assert told.times == []


def test_a_submit_is_not_repeated_beyond_the_bound(told: Told, path: str) -> None:
    with (
        unix_server(path, says_nothing),
        Client("demo", socket=path, patience=told.patience) as client,
    ):
        gives_up(told, lambda: client.submit("backup"))


def test_a_client_without_patience_does_not_repeat_after_a_long_silence(
    path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("jobrunner.client.operations.GIVE_UP_AFTER_S", 0.3)
    with unix_server(path, says_nothing):
        url = f"unix://{path}?socket_timeout=0.3"
        with Client("demo", url) as client:
            began_at = time.monotonic()
            with pytest.raises(StoreUnavailable):
                client.submit("backup")

    assert time.monotonic() - began_at < 0.8


def test_a_host_whose_name_server_does_not_answer_is_given_up(
    told: Told, monkeypatch: pytest.MonkeyPatch
) -> None:
    is_over = threading.Event()

    def look(*_: object, **__: object) -> list[object]:
        is_over.wait(10)
        return []

    monkeypatch.setattr(socket, "getaddrinfo", look)
    address = StoreAddress("demo", url="redis://store.example:6379")
    with StoreConnection(address, patience=told.patience) as one:
        gives_up(told, lambda: one.execute(PING))
    is_over.set()


@pytest.fixture
def full_listener() -> Iterator[int]:
    """The port of a server that accepts nobody: its backlog is full, and SYNs are dropped."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        opened = []
        for _ in range(3):
            client = socket.socket()
            client.setblocking(False)
            with suppress(BlockingIOError):
                client.connect(listener.getsockname())
            opened.append(client)
        yield listener.getsockname()[1]
        for client in opened:
            client.close()


def test_a_server_that_takes_no_connection_is_given_up(told: Told, full_listener: int) -> None:
    address = StoreAddress("demo", url=f"redis://127.0.0.1:{full_listener}")
    with StoreConnection(address, patience=told.patience) as one:
        gives_up(told, lambda: one.execute(PING))


def test_a_server_that_hangs_in_the_handshake_of_tls_is_given_up(told: Told) -> None:
    listener = socket.create_server(("127.0.0.1", 0))
    address = StoreAddress("demo", url=f"rediss://127.0.0.1:{listener.getsockname()[1]}")
    with (
        serve(listener, says_nothing),
        StoreConnection(address, patience=told.patience) as one,
    ):
        gives_up(told, lambda: one.execute(PING))


def test_a_port_that_nobody_has_is_told_at_once(told: Told) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    address = StoreAddress("demo", url=f"redis://127.0.0.1:{port}")
    with (
        StoreConnection(address, patience=told.patience) as one,
        pytest.raises(StoreUnavailable, match="nothing listens there"),
    ):
        one.execute(PING)

    assert told.times == []
