"""Connections to the real server, the clock of which is the test's.

The scripts are the package's, line by line; only `TIME` is what the connection sends along.
"""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import cache
from hashlib import sha1
from typing import Any

from jobrunner.store.address import StoreAddress
from jobrunner.store.connection import AsyncStoreConnection, StoreConnection
from jobrunner.store.requests import Argument, Command, Pipeline, Request, Script, Series
from jobrunner.store.scripts import lua_script, script_names

Now = Callable[[], datetime]
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
READ_TIME = "redis.call('TIME')"
TAKE_TIME = (
    "local test_micros = table.remove(ARGV) local test_time = {table.remove(ARGV), test_micros}"
)


class ClockedConnection(StoreConnection):
    """For synchronous code."""

    def __init__(self, address: StoreAddress, now: Now) -> None:
        super().__init__(address)
        self._now = now
        _load_scripts(address)

    def execute(self, request: Request) -> Any:
        return super().execute(clocked(request, self._now()))


class AsyncClockedConnection(AsyncStoreConnection):
    """For asynchronous code."""

    def __init__(self, address: StoreAddress, now: Now) -> None:
        super().__init__(address)
        self._now = now
        _load_scripts(address)

    async def execute(self, request: Request) -> Any:
        return await super().execute(clocked(request, self._now()))


def _load_scripts(address: StoreAddress) -> None:
    """First, so that a call later is one small request."""
    with StoreConnection(address) as connection:
        loads = [Command(("SCRIPT", "LOAD", clocked_script(name)[0])) for name in script_names()]
        connection.execute(Pipeline(list(loads)))


def clocked(request: Request, now: datetime) -> Request:
    """The same request to a server where it is `now`; one round trip, as the original."""
    time = _time_of(now)
    if isinstance(request, Series):
        return Series(_clocked_one(one, time) for one in request.requests)
    if isinstance(request, Pipeline):
        return Pipeline([_clocked_one(one, time) for one in request.requests])
    return _clocked_one(request, time)


def _time_of(now: datetime) -> tuple[str, str]:
    seconds, rest = divmod(now - EPOCH, timedelta(seconds=1))
    return str(seconds), str(rest // timedelta(microseconds=1))


def _clocked_one(request: Command | Script, time: tuple[str, str]) -> Command:
    if isinstance(request, Script):
        args: tuple[Argument, ...] = (*request.keys, *request.args, *time)
        return Command(("EVALSHA", clocked_script(request.name)[1], len(request.keys), *args))
    if request.args == ("TIME",):
        return Command(("EVAL", "return ARGV", 0, *time))
    return request


@cache
def clocked_script(name: str) -> tuple[str, str]:
    """A script that takes the time from its last two arguments, and its SHA-1."""
    text = lua_script(name).text.replace(READ_TIME, "test_time")
    flags, newline = "", ""
    if text.startswith("#!"):
        flags, newline, text = text.partition("\n")
    text = f"{flags}{newline}{TAKE_TIME}\n{text}"
    return text, sha1(text.encode(), usedforsecurity=False).hexdigest()
