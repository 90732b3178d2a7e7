"""The fault proxy between real clients and a real server: the way through, and a bad network."""

import asyncio
import os
import threading
import time

import pytest

from jobrunner.chaos.proxy import FaultProxy
from jobrunner.chaos.wiretap import When
from jobrunner.errors import StoreUnavailable
from jobrunner.store.address import StoreAddress
from jobrunner.store.connection import AsyncStoreConnection, StoreConnection
from jobrunner.store.requests import Command, Pipeline
from tests.chaos.clients import PING, TIMEOUT_S, WITHIN_S
from tests.daemon.harness import ExternalServer, eventually
from tests.store.odd_servers import CERTIFICATE, tls_server


def assert_lost(connection: StoreConnection) -> StoreUnavailable:
    with pytest.raises(StoreUnavailable) as caught:
        connection.execute(PING)
    return caught.value


# The way through.


def test_requests_and_replies_pass_unchanged(through: StoreConnection, key: str) -> None:
    odd = bytes(range(256)) * 2000  # more than one chunk each way

    replies = through.execute(Pipeline([Command(("SET", key, odd)), Command(("GET", key)), PING]))

    assert replies == [b"OK", odd, b"PONG"]


@pytest.mark.anyio
async def test_many_connections_and_pipelines_keep_their_order(proxy: FaultProxy) -> None:
    async def echoes(connection: AsyncStoreConnection) -> list[bytes]:
        calls = [connection.execute(Command(("ECHO", number))) for number in range(500)]
        return list(await asyncio.gather(*calls))

    async with (
        AsyncStoreConnection(proxy.address) as first,
        AsyncStoreConnection(proxy.address) as second,
    ):
        replies = await asyncio.gather(echoes(first), echoes(second))

    expected = [str(number).encode() for number in range(500)]
    assert list(replies) == [expected, expected]
    assert proxy.points()["ECHO"] == 1000


def test_what_is_pushed_to_a_subscriber_passes(
    through: StoreConnection, connection: StoreConnection
) -> None:
    through.execute(Command(("SUBSCRIBE", "news")))

    connection.execute(Command(("PUBLISH", "news", "first")))
    connection.execute(Command(("PUBLISH", "news", "second")))

    assert [through.read_push(WITHIN_S)[2] for _ in range(2)] == [b"first", b"second"]


def test_the_end_of_a_client_reaches_the_server(
    proxy: FaultProxy, connection: StoreConnection
) -> None:
    with StoreConnection(proxy.address) as ended:
        client_id = ended.execute(Command(("CLIENT", "ID")))

    eventually(lambda: not connection.execute(Command(("CLIENT", "LIST", "ID", client_id))))


def test_the_password_database_and_timeouts_of_the_store_are_those_of_the_proxy() -> None:
    store = StoreAddress(
        "test", url="redis://me:p%40%2Fss@localhost:7000/3?client_name=x&socket_timeout=2"
    )

    with FaultProxy(store) as proxy:
        there, here = store.endpoint(), proxy.address.endpoint()

    assert here.path is not None
    assert (here.username, here.password) == ("me", "p@/ss")
    assert (here.db, here.client_name, here.timeout) == (there.db, there.client_name, there.timeout)


def test_clients_log_in_at_the_server_through_the_proxy(server: ExternalServer) -> None:
    server.set_password("secret")

    with (
        FaultProxy(StoreAddress("test", url=server.url)) as proxy,
        StoreConnection(proxy.address) as connection,
    ):
        assert connection.execute(PING) == b"PONG"


def test_tls_ends_at_the_proxy(store_socket: str) -> None:
    with tls_server(store_socket) as port:
        url = f"rediss://localhost:{port}?ssl_ca_certs={CERTIFICATE}"
        with (
            FaultProxy(StoreAddress("test", url=url)) as proxy,
            StoreConnection(proxy.address) as connection,
        ):
            assert connection.execute(PING) == b"PONG"
            assert proxy.points() == {"PING": 1}


def test_a_proxy_may_listen_on_tcp_then_nobody_can_be_killed(address: StoreAddress) -> None:
    with (
        FaultProxy(address, uses_tcp=True) as proxy,
        StoreConnection(proxy.address) as connection,
    ):
        trap = proxy.kill_at("PING", When.BEFORE)

        assert connection.execute(PING) == b"PONG"
        assert proxy.address.endpoint().host == "127.0.0.1"
        assert not trap.has_sprung


def test_a_store_that_is_away_ends_the_connection(socket_path: str) -> None:
    with (
        FaultProxy(StoreAddress("test", socket=socket_path)) as proxy,
        StoreConnection(proxy.address) as connection,
    ):
        assert_lost(connection)


def test_a_closed_proxy_leaves_nothing_and_still_tells_what_passed(address: StoreAddress) -> None:
    before = threading.active_count()
    with FaultProxy(address) as proxy, StoreConnection(proxy.address) as connection:
        connection.execute(PING)

    assert proxy.points() == {"PING": 1}
    assert threading.active_count() == before
    assert not os.path.exists(os.path.dirname(proxy.address.endpoint().path or ""))


# The network.


def test_a_cut_leaves_connections_half_open_until_it_is_restored(
    proxy: FaultProxy, through: StoreConnection
) -> None:
    through.execute(PING)
    proxy.cut()

    old = assert_lost(through)
    new = assert_lost(through)
    proxy.restore()

    assert "no answer in time" in str(old)
    assert "no answer in time" in str(new)
    assert through.execute(PING) == b"PONG"


def test_a_request_whose_client_gave_up_in_a_cut_arrives_late(
    proxy: FaultProxy, through: StoreConnection, connection: StoreConnection, key: str
) -> None:
    proxy.cut()
    with pytest.raises(StoreUnavailable):
        through.execute(Command(("SET", key, "late")))
    assert connection.execute(Command(("EXISTS", key))) == 0

    proxy.restore()

    eventually(lambda: connection.execute(Command(("GET", key))) == b"late")


def test_a_cut_hides_the_end_of_the_server_connection(
    proxy: FaultProxy, connection: StoreConnection
) -> None:
    with StoreConnection(proxy.address) as through:
        client_id = through.execute(Command(("CLIENT", "ID")))
        through.execute(Command(("SUBSCRIBE", "news")))
        proxy.cut()
        connection.execute(Command(("CLIENT", "KILL", "ID", client_id)))

        assert through.read_push(0.05) is None
        proxy.restore()
        with pytest.raises(StoreUnavailable, match="closed the connection"):
            through.read_push(WITHIN_S)


def test_a_refusal_ends_old_connections_and_new_ones_at_once(
    proxy: FaultProxy, through: StoreConnection
) -> None:
    through.execute(PING)
    proxy.refuse()

    started = time.monotonic()
    assert_lost(through)
    assert_lost(through)
    took_s = time.monotonic() - started
    proxy.restore()

    assert took_s < TIMEOUT_S
    assert through.execute(PING) == b"PONG"


def test_a_reset_ends_connections_once(proxy: FaultProxy, through: StoreConnection) -> None:
    through.execute(PING)
    proxy.reset()

    assert_lost(through)
    assert through.execute(PING) == b"PONG"


def test_a_slow_network_takes_its_delay_each_way_and_keeps_the_order(proxy: FaultProxy) -> None:
    delay_s = 0.1
    with StoreConnection(proxy.address) as through:
        through.execute(PING)
        proxy.slow(delay_s)

        started = time.monotonic()
        replies = through.execute(Pipeline([Command(("ECHO", number)) for number in range(100)]))
        slow_s = time.monotonic() - started
        proxy.slow(0)
        started = time.monotonic()
        through.execute(PING)
        quick_s = time.monotonic() - started

    assert replies == [str(number).encode() for number in range(100)]
    assert slow_s >= 2 * delay_s > quick_s


def test_a_cut_also_holds_what_a_slow_network_has_on_its_way(
    proxy: FaultProxy, connection: StoreConnection
) -> None:
    with StoreConnection(proxy.address) as through:
        through.execute(Command(("SUBSCRIBE", "news")))
        proxy.slow(0.3)
        connection.execute(Command(("PUBLISH", "news", "held")))
        proxy.cut()

        assert through.read_push(0.35) is None
        proxy.restore()
        assert through.read_push(WITHIN_S)[2] == b"held"


def test_a_lost_reply_is_that_of_a_request_which_was_performed(
    proxy: FaultProxy, through: StoreConnection, key: str
) -> None:
    increment = Command(("INCR", key))
    lost = proxy.lose_replies(2)

    for _ in lost:
        with pytest.raises(StoreUnavailable):
            through.execute(increment)

    assert through.execute(increment) == 3
    assert all(trap.has_sprung for trap in lost)
