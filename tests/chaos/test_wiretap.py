"""What the fault proxy calls each request, and the clients it kills there."""

import os
import signal
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

import jobrunner.store
from jobrunner.chaos.proxy import FaultProxy
from jobrunner.chaos.wiretap import When
from jobrunner.model import JobState
from jobrunner.store.address import StoreAddress
from jobrunner.store.connection import StoreConnection
from jobrunner.store.failures import ReplyError
from jobrunner.store.requests import Command, Pipeline, Request, Script
from jobrunner.store.scripts import lua_script, script_names
from tests.chaos.clients import PING, WITHIN_S, Client
from tests.daemon.harness import ExternalServer, Project, act, eventually

LUA = Path(jobrunner.store.__file__).parent / "lua"


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
