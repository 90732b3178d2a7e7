"""The checks of a server: judged from values, and asked of a real one."""

from datetime import UTC, datetime, timedelta

import pytest
from msgspec.structs import replace

from jobrunner.clock import SystemClock
from jobrunner.store.address import StoreAddress
from jobrunner.store.checks import Level, ServerFacts, ServerFinding, check_server, judge
from jobrunner.store.connection import StoreConnection
from jobrunner.store.requests import Command

GOOD = ServerFacts(
    info={
        "redis_version": "7.2.4",
        "valkey_version": "9.1.2",
        "role": "master",
        "maxmemory": "0",
        "maxmemory_policy": "noeviction",
        "aof_enabled": "1",
    },
    save="",
    offset_s=0.2,
)
REDIS = {key: value for key, value in GOOD.info.items() if key != "valkey_version"}


class LateClock(SystemClock):
    """A machine whose clock is behind."""

    def now(self) -> datetime:
        return datetime.now(UTC) - timedelta(minutes=5)


def finding(facts: ServerFacts, check: str) -> ServerFinding:
    [found] = [found for found in judge(facts) if found.check == check]
    return found


def test_a_good_server_passes_every_check() -> None:
    assert {found.level for found in judge(GOOD)} == {Level.OK}


@pytest.mark.parametrize(
    ("check", "info", "level"),
    [
        ("version", {"redis_version": "7.2.0"}, Level.OK),
        ("version", {"redis_version": "8.0.1"}, Level.OK),
        ("version", {"redis_version": "7.0.15"}, Level.REFUSAL),
        ("version", {"redis_version": "managed"}, Level.UNKNOWN),
        ("role", {"role": "slave"}, Level.REFUSAL),
        ("role", {"redis_mode": "cluster"}, Level.WARNING),
        ("eviction", {"maxmemory_policy": "allkeys-lru", "maxmemory": "100"}, Level.REFUSAL),
        ("eviction", {"maxmemory_policy": "allkeys-lru", "maxmemory": "0"}, Level.WARNING),
        ("persistence", {"aof_enabled": "0"}, Level.WARNING),
        ("persistence", {"aof_last_write_status": "err"}, Level.WARNING),
    ],
)
def test_a_server_is_judged_by_what_it_tells(
    check: str, info: dict[str, str], level: Level
) -> None:
    found = finding(replace(GOOD, info={**REDIS, **info}), check)

    assert found.level is level
    assert (found.fix is not None) == (level in (Level.WARNING, Level.REFUSAL))


def test_what_a_managed_server_hides_is_unknown_and_no_warning() -> None:
    hidden = {**REDIS, "aof_enabled": "0"}
    del hidden["maxmemory_policy"]

    found = judge(replace(GOOD, info=hidden, save=None))

    assert {f.check for f in found if f.level is Level.UNKNOWN} == {"eviction", "persistence"}
    assert not any(f.is_warning or f.is_refusal for f in found)


@pytest.mark.parametrize(("offset", "words"), [(3.04, "3.0 s ahead of"), (-90, "90.0 s behind")])
def test_a_clock_that_is_off_is_a_warning(offset: float, words: str) -> None:
    found = finding(replace(GOOD, offset_s=offset), "clock")

    assert found.is_warning
    assert words in found.what


def test_a_real_server_is_asked(connection: StoreConnection) -> None:
    found = {f.check: f.level for f in check_server(connection, SystemClock())}

    assert found == {
        "reachable": Level.OK,
        "version": Level.OK,
        "role": Level.OK,
        "eviction": Level.OK,
        "persistence": Level.WARNING,  # the tests' server saves nothing
        "clock": Level.OK,
    }


def test_the_clocks_are_compared(connection: StoreConnection) -> None:
    [found] = [f for f in check_server(connection, LateClock()) if f.check == "clock"]

    assert "300.0 s ahead of" in found.what


def test_a_server_that_forbids_config_is_still_judged(
    connection: StoreConnection, store_socket: str
) -> None:
    connection.execute(
        Command(("ACL", "SETUSER", "managed", "on", ">pw", "~*", "+@all", "-config"))
    )
    address = StoreAddress("test", url=f"unix://managed:pw@{store_socket}")

    with StoreConnection(address) as restricted:
        levels = {f.check: f.level for f in check_server(restricted, SystemClock())}

    assert levels["persistence"] is Level.UNKNOWN
    assert levels["version"] is Level.OK


def test_a_server_that_cannot_be_reached_is_a_refusal() -> None:
    connection = StoreConnection(StoreAddress("test", url="redis://127.0.0.1:1"))

    [found] = check_server(connection, SystemClock())

    assert found.is_refusal
    assert "127.0.0.1:1 cannot be reached" in found.what
