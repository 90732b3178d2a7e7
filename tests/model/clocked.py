"""The real store with a clock that tests move, and everything in it as a plain value.

The scripts are the package's, line by line; only `TIME` is read from a key instead of the server.
"""

from collections import Counter
from dataclasses import dataclass, field
from functools import cache
from hashlib import sha1
from typing import Any

from jobrunner.store.connection import StoreConnection
from jobrunner.store.keys import GROUP, Keys
from jobrunner.store.requests import Command, Pipeline, Script, Single
from jobrunner.store.scripts import lua_script
from jobrunner.store.stats import Window
from jobrunner.store.tallies import OVERALL, read_tally
from tests.model.arguments import rest_of
from tests.model.state import View

CLOCK = "test-clock"  # list: seconds and microseconds, as TIME replies
READ_CLOCK = f"redis.call('LRANGE', '{CLOCK}', 0, 1)"
DUMP = """
local found = {}
for _, key in ipairs(redis.call('KEYS', ARGV[1])) do
  local kind, value = redis.call('TYPE', key)['ok'], nil
  if kind == 'hash' then value = redis.call('HGETALL', key)
  elseif kind == 'zset' then value = redis.call('ZRANGE', key, 0, -1, 'WITHSCORES')
  elseif kind == 'set' then value = redis.call('SMEMBERS', key)
  elseif kind == 'list' then value = redis.call('LRANGE', key, 0, -1)
  elseif kind == 'string' then value = redis.call('GET', key)
  else
    local held = redis.pcall('XPENDING', key, ARGV[2], '-', '+', 10000)
    value = {redis.call('XRANGE', key, '-', '+'), held.err and {} or held}
  end
  found[#found + 1] = {key, kind, value}
end
return found
"""


@dataclass(frozen=True, slots=True)
class StoredEntry:
    """An entry of a stream; `holder` is the worker that has claimed it."""

    entry_id: str
    fields: dict[str, str]
    holder: str


@dataclass(slots=True)
class Dump:
    """All keys of the namespace, without its prefix."""

    values: View = field(default_factory=dict)
    streams: dict[str, list[StoredEntry]] = field(default_factory=dict)
    ghosts: list[str] = field(default_factory=list)  # claimed entries that are not there


@dataclass(frozen=True, slots=True)
class ClockedStore:
    """Performs requests with the time of `CLOCK`."""

    keys: Keys
    connection: StoreConnection

    def reset(self, now_ms: int) -> None:
        """Empty the server, and set its clock."""
        self.connection.execute(Command(("FLUSHALL",)))
        self.set_clock(now_ms)

    def set_clock(self, now_ms: int) -> None:
        seconds, millis = divmod(now_ms, 1000)
        new = Command(("RPUSH", CLOCK, seconds, millis * 1000))
        self.connection.execute(Pipeline([Command(("DEL", CLOCK)), new]))

    def execute(self, request: Single) -> Any:
        """Perform a request in one round trip."""
        if isinstance(request, Pipeline):
            ours = Pipeline([self._clocked(one) for one in request.requests])
            return self.connection.execute(ours)
        return self.connection.execute(self._clocked(request))

    def _clocked(self, request: Command | Script) -> Command:
        if isinstance(request, Script):
            sha = self._load(request.name)
            return Command(("EVALSHA", sha, len(request.keys), *request.keys, *request.args))
        return Command(("LRANGE", CLOCK, 0, 1)) if request.args == ("TIME",) else request

    def _load(self, name: str) -> str:
        text, sha = clocked_script(name)
        if not self.connection.execute(Command(("SCRIPT", "EXISTS", sha)))[0]:
            self.connection.execute(Command(("SCRIPT", "LOAD", text)))
        return sha

    def dump(self) -> Dump:
        """Everything in the namespace."""
        found = Dump()
        request = Command(("EVAL", DUMP, 0, f"jr:{{{self.keys.name}}}:*", GROUP))
        for key, kind, value in self.connection.execute(request):
            name = rest_of(key.decode())
            if kind == b"stream":
                found.streams[name] = _entries(value, found.ghosts)
            elif name != "server":  # its run; it never goes away here
                found.values[name] = _value(kind.decode(), value)
        _sum_counts(found.values)
        return found


def _sum_counts(values: dict[str, Any]) -> None:
    """In place of the statistics, per window what was counted: in its buckets, and not yet folded.

    Not what they tell of waits and runs: entries get their ids from the server's own clock.
    """
    tally = [item.split(" ", 2)[1:] for item in values.pop("tally", [])]
    values.pop("folds", None)
    for window in Window:
        names = [name for name in values if name.startswith(f"stats:{window}:")]
        stored = [(text, task) for name in names for task, text in values.pop(name).items()]
        counts: Counter[str] = Counter()
        for text, task in [*tally, *(pair for pair in stored if pair[1] != OVERALL)]:
            counts.update(
                {f"{what}:{task}": by for what, by in read_tally(text).items() if what.isalpha()}
            )
        values |= {f"counted:{window}": counts} if counts else {}


@cache
def clocked_script(name: str) -> tuple[str, str]:
    """The script's text with the tests' clock, and its SHA-1."""
    text = lua_script(name).text.replace("redis.call('TIME')", READ_CLOCK)
    return text, sha1(text.encode(), usedforsecurity=False).hexdigest()


def _entries(value: Any, ghosts: list[str]) -> list[StoredEntry]:
    entries, pending = value
    holders = {entry_id.decode(): worker.decode() for entry_id, worker, *_ in pending}
    found = [
        StoredEntry(entry_id.decode(), _pairs(flat), holders.pop(entry_id.decode(), ""))
        for entry_id, flat in entries
    ]
    ghosts.extend(holders)
    return found


def _value(kind: str, value: Any) -> object:
    if kind == "hash":
        return _pairs(value)
    if kind == "zset":
        return {member: int(score) for member, score in _pairs(value).items()}
    if kind == "set":
        return {member.decode() for member in value}
    if kind == "list":
        return [item.decode() for item in value]
    return value.decode()


def _pairs(flat: list[bytes]) -> dict[str, str]:
    items = [item.decode() for item in flat]
    return dict(zip(items[::2], items[1::2], strict=True))
