"""The fault proxy between real clients, some of which get killed, and a real server."""

import asyncio
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest

import jobrunner.store
from jobrunner.chaos.proxy import FaultProxy
from jobrunner.chaos.wiretap import When
from jobrunner.errors import StoreUnavailable
from jobrunner.model import JobState
from jobrunner.store.address import StoreAddress
from jobrunner.store.connection import AsyncStoreConnection, StoreConnection
from jobrunner.store.failures import ReplyError
from jobrunner.store.keys import Keys
from jobrunner.store.requests import Command, Pipeline, Request, Script
from jobrunner.store.scripts import lua_script, script_names
from tests.daemon.harness import ExternalServer, Project, act, eventually
from tests.store.odd_servers import CERTIFICATE, tls_server

LUA = Path(jobrunner.store.__file__).parent / "lua"
PING = Command(("PING",))
TIMEOUT_S = 0.2  # of clients whose requests get no reply
WITHIN_S = 10.0

# A client in a process of its own: performs a pipeline of commands and (in lower case, with keys)
# scripts, then says so.
CLIENT = """
import sys
from jobrunner.store.address import StoreAddress
from jobrunner.store.connection import StoreConnection
from jobrunner.store.requests import Command, Pipeline, Script
connection = StoreConnection(StoreAddress("test", url=sys.argv[1]))
said = [words.split() for words in sys.argv[2:]]
commands = [Script(w[0], w[1:], ["jr", "q"]) if w[0].islower() else Command(tuple(w)) for w in said]
print("ready", flush=True)
sys.stdin.readline()
connection.execute(Pipeline(commands))
print("done", flush=True)
sys.stdin.readline()
"""


class Client:
    """A process that sends its commands in one piece when it is told to."""

    def __init__(self, address: StoreAddress, *commands: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", CLIENT, str(address.url), *commands],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.pid = self.process.pid
        assert self.said() == "ready\n"

    def go(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write("\n")
        self.process.stdin.flush()

    def said(self) -> str:
        """The next line; nothing when it has died."""
        assert self.process.stdout is not None
        return self.process.stdout.readline()

    def end(self) -> int:
        """Its exit code, once it has ended."""
        return self.process.wait(WITHIN_S)

    def close(self) -> None:
        self.process.kill()
        self.process.communicate()


@pytest.fixture
def proxy(address: StoreAddress) -> Iterator[FaultProxy]:
    with FaultProxy(address) as opened:
        yield opened


@pytest.fixture
def key(keys: Keys) -> str:
    """A key of the test's own."""
    return keys.job("proxy")


@pytest.fixture
def through(proxy: FaultProxy) -> Iterator[StoreConnection]:
    """A connection through the proxy, with a short timeout."""
    with StoreConnection(proxy.address, TIMEOUT_S) as opened:
        yield opened


@pytest.fixture
def client(proxy: FaultProxy) -> Iterator[Callable[..., Client]]:
    """Makes clients in processes of their own."""
    with ExitStack() as started:

        def make(*commands: str) -> Client:
            made = Client(proxy.address, *commands)
            started.callback(made.close)
            return made

        yield make


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


def test_a_slow_network_takes_its_delay_each_way_and_keeps_the_order(
    proxy: FaultProxy, through: StoreConnection
) -> None:
    through.execute(PING)
    proxy.slow(0.005)

    started = time.monotonic()
    replies = through.execute(Pipeline([Command(("ECHO", number)) for number in range(100)]))
    slow_s = time.monotonic() - started
    proxy.slow(0)
    started = time.monotonic()
    through.execute(PING)
    quick_s = time.monotonic() - started

    assert replies == [str(number).encode() for number in range(100)]
    assert slow_s >= 0.01 > quick_s


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


# The points.


def test_every_script_is_known_by_its_name(proxy: FaultProxy, through: StoreConnection) -> None:
    # Without keys and arguments most scripts fail; here only their names count.
    for name in script_names():
        calls: list[Request] = [Command(("EVAL", lua_script(name).text, 0)), Script(name, [], [])]
        for call in calls:
            with suppress(ReplyError):
                through.execute(call)

    seen = proxy.points()
    assert script_names() == sorted(path.stem for path in LUA.glob("*.lua"))
    assert [name for name in script_names() if seen[name] < 2] == []


def test_each_request_of_a_pipeline_is_counted(
    proxy: FaultProxy, through: StoreConnection, key: str
) -> None:
    stranger = Command(("EVAL", "return 1", 0))
    renew = Script("group", [key], ["jr", "q"])
    through.execute(renew)
    before = proxy.points()

    through.execute(Pipeline([PING, renew, stranger, renew, Command(("time",))]))

    assert proxy.points() - before == {"PING": 1, "group": 2, "EVAL": 1, "TIME": 1}


def test_points_are_told_by_client(
    proxy: FaultProxy, through: StoreConnection, client: Callable[..., Client]
) -> None:
    other = client("ECHO x", "ECHO y")
    other.go()
    other.said()
    through.execute(PING)

    assert proxy.points(lambda pid: pid == other.pid) == {"ECHO": 2}
    assert proxy.points(lambda pid: pid == os.getpid()) == {"PING": 1}


def test_a_point_that_no_request_can_have_is_refused(proxy: FaultProxy) -> None:
    with pytest.raises(ValueError, match="'finsh' is neither a script"):
        proxy.kill_at("finsh", When.AFTER)


@pytest.mark.parametrize(("when", "performed"), [(When.BEFORE, 1), (When.AFTER, 3)])
def test_a_client_is_killed_before_or_after_its_request(
    proxy: FaultProxy,
    client: Callable[..., Client],
    connection: StoreConnection,
    key: str,
    when: When,
    performed: int,
) -> None:
    victim = client(f"RPUSH {key} 1", f"LPUSH {key} 2", f"RPUSH {key} 3")
    trap = proxy.kill_at("LPUSH", when)

    victim.go()

    assert trap.wait(WITHIN_S)
    assert trap.pid == victim.pid
    assert victim.said() == ""
    assert victim.end() == -signal.SIGKILL
    length = Command(("LLEN", key))
    eventually(lambda: connection.execute(length) == performed)


def test_the_nth_request_of_the_clients_that_are_meant_is_the_one(
    proxy: FaultProxy, through: StoreConnection, client: Callable[..., Client]
) -> None:
    spared, meant = client("PING", "PING"), client("PING", "ECHO x", "PING")
    trap = proxy.kill_at("PING", When.BEFORE, nth=2, who=lambda pid: pid == meant.pid)

    through.execute(Pipeline([PING, PING]))
    spared.go()
    said = spared.said()
    meant.go()

    assert said == "done\n"
    assert trap.wait(WITHIN_S)
    assert meant.end() == -signal.SIGKILL
    assert proxy.points(lambda pid: pid == meant.pid) == {"PING": 2, "ECHO": 1}


def test_the_process_with_the_proxy_is_never_killed(
    proxy: FaultProxy, through: StoreConnection
) -> None:
    trap = proxy.kill_at(None, When.BEFORE)

    assert through.execute(PING) == b"PONG"
    assert not trap.has_sprung


def test_the_kill_can_be_noted_before_it_is_done(address: StoreAddress) -> None:
    noted = []

    def note_and_kill(pid: int) -> None:
        noted.append((pid, os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)))
        os.kill(pid, signal.SIGKILL)

    with FaultProxy(address, note_and_kill) as proxy:
        victim = Client(proxy.address, "PING")
        trap = proxy.kill_at("PING", When.AFTER)
        victim.go()
        trap.wait(WITHIN_S)
        victim.end()
        victim.close()

    assert noted == [(victim.pid, None)]


def test_a_client_that_was_dead_already_does_not_count(address: StoreAddress) -> None:
    too_late = [ProcessLookupError()]

    def kill(pid: int) -> None:
        if too_late:
            raise too_late.pop()
        os.kill(pid, signal.SIGKILL)

    with FaultProxy(address, kill) as proxy:
        first, second = Client(proxy.address, "PING"), Client(proxy.address, "PING")
        trap = proxy.kill_at("PING", When.BEFORE)
        first.go()
        first_said = first.said()
        second.go()
        trap.wait(WITHIN_S)
        second.end()
        first.close()
        second.close()

    assert first_said == "done\n"
    assert trap.pid == second.pid


def test_a_trap_that_was_withdrawn_does_not_spring(
    proxy: FaultProxy, client: Callable[..., Client]
) -> None:
    spared = client("PING")
    trap = proxy.kill_at("PING", When.BEFORE)
    proxy.withdraw(trap)

    spared.go()

    assert spared.said() == "done\n"
    assert not trap.has_sprung


def test_a_reply_that_says_the_script_is_unknown_does_not_count(
    proxy: FaultProxy,
    client: Callable[..., Client],
    connection: StoreConnection,
    key: str,
) -> None:
    connection.execute(Command(("SCRIPT", "FLUSH")))
    victim = client(f"group {key}")
    trap = proxy.kill_at("group", When.AFTER)

    victim.go()

    assert trap.wait(WITHIN_S)
    assert victim.end() == -signal.SIGKILL
    assert connection.execute(Command(("EXISTS", key))) == 1


# A daemon.


@pytest.mark.parametrize("when", When)
def test_a_daemon_works_through_the_proxy_and_survives_a_kill_at_a_point(
    project: Callable[..., Project], server: ExternalServer, when: When
) -> None:
    with FaultProxy(StoreAddress("test", url=server.url)) as proxy:
        site = project(f"""
            name: test
            store: {{url: "{proxy.address.url}"}}
            workers: {{processes: 1}}
            tasks: {{act: {act()}}}
        """)
        daemon = site.start()
        site.ended(site.act("true"))
        trap = proxy.kill_at("finish", when, who=lambda pid: pid != daemon.pid)

        job = site.ended(site.act("echo ran >> witness"))
        daemon.stop()

        assert job.state is JobState.COMPLETED
        assert trap.pid not in (None, daemon.pid)
        assert len(site.lines()) == {When.BEFORE: 2, When.AFTER: 1}[when]
        assert {"claim", "finish", "renew", "submit"} <= set(proxy.points())
