"""Statistics: what happened in the last minute, hour and day, and as long as history is kept.

Each script that makes or ends jobs appends what it did to the tally, one item per task and call.
The daemon folds items into buckets: a hash per stretch of time, a field per task and one for all.
Reading adds up the buckets of a window, and what is not folded yet; so without a daemon nothing is
missing either. Buckets expire with their window; those of days as history does.

Of several daemons that fold the same items one is served: `fold.lua` refuses who has seen another
number of folds. So adding up outside the store is safe, and cheap for the server.
"""

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from enum import StrEnum
from math import ceil

import msgspec

from jobrunner.clock import from_ms
from jobrunner.store.damage import count_of
from jobrunner.store.keys import Keys
from jobrunner.store.requests import Argument, Command, Operation, Pipeline, Script
from jobrunner.store.tallies import OVERALL, Tally, Time, percentile, read_tally, tally_text
from jobrunner.store.together import at_once

FOLD_BATCH = 250  # items per step: some milliseconds of the daemon's time, few of the server's
DAY_MS = 86_400_000
_SECOND = re.compile(r"\d{1,11}", re.ASCII)
MOST_DAYS = 10_000  # that are looked for, should the number be damaged


class Window(StrEnum):
    """How far back; `all` is as long as finished jobs are kept."""

    MINUTE = "1m"
    HOUR = "1h"
    DAY = "1d"
    ALL = "all"


class _Grain(msgspec.Struct, frozen=True):
    """The buckets of a window: it is read from `number` whole ones and the one under way."""

    width_ms: int
    number: int


_GRAINS = {
    Window.MINUTE: _Grain(5_000, 12),
    Window.HOUR: _Grain(300_000, 12),
    Window.DAY: _Grain(3_600_000, 24),
}
_Bucket = tuple[Window, int]  # a window, and the number of its bucket since the epoch


class Percentiles(msgspec.Struct, frozen=True):
    """Of the times of attempts; None where there were none. At most 5 % off."""

    p50: timedelta | None
    p95: timedelta | None
    p99: timedelta | None


class Stats(msgspec.Struct, frozen=True):
    """What happened since an instant. `rate_per_s`: jobs completed or failed per second."""

    task: str | None  # None: all tasks together
    window: Window
    since: datetime
    submitted: int
    completed: int
    failed: int
    skipped: int
    cancelled: int
    rate_per_s: float
    wait: Percentiles  # of attempts, from queued to begun
    duration: Percentiles  # of attempts that completed or failed


class Query(msgspec.Struct, frozen=True):
    """A window, of one task (or `OVERALL`), or of all tasks that did something, overall first."""

    window: Window
    task: str | None = None


class _Item(msgspec.Struct, frozen=True):
    """One thing of the tally."""

    at_ms: int
    task: str
    tally: Tally


def fold(keys: Keys, keep_for: timedelta) -> Operation[bool]:
    """Fold the oldest items of the tally; whether there were any. Day buckets live `keep_for`."""
    texts, folds = yield Pipeline(
        [
            Command(("LRANGE", keys.tally(), 0, FOLD_BATCH - 1)),
            Command(("HGET", keys.folds(), "folds")),
        ]
    )
    if not texts:
        return False
    items = list(_items_of(texts))
    days = ceil(keep_for / timedelta(days=1)) + 1
    sums = _sum_up(items)
    yield from _add_stored(keys, sums)
    names, args = _fold_arguments(keys, sums, days)
    first_ms = min((item.at_ms for item in items), default=0)
    yield Script(
        "fold",
        [keys.tally(), keys.folds(), *names],
        [folds or "", len(texts), first_ms, days, *args],
    )
    return True


def _items_of(texts: Sequence[bytes]) -> Iterator[_Item]:
    """What cannot be read is left out."""
    for text in texts:
        second, _, rest = text.decode(errors="replace").partition(" ")
        tally, _, task = rest.partition(" ")
        if _SECOND.fullmatch(second) and task:
            yield _Item(int(second) * 1000, task, read_tally(tally))


def _sum_up(items: Sequence[_Item]) -> dict[_Bucket, dict[str, Tally]]:
    """Per bucket of each window and per task, and all tasks."""
    # The shortest parts first: under load they sum up hundreds of items for all others.
    short_ms = _width_ms(Window.MINUTE)
    parts: dict[tuple[int, str], Tally] = {}
    for item in items:
        parts.setdefault((item.at_ms // short_ms, item.task), Counter()).update(item.tally)
    sums: dict[_Bucket, dict[str, Tally]] = {}
    for (number, name), tally in parts.items():
        for window in Window:
            by_task = sums.setdefault((window, number * short_ms // _width_ms(window)), {})
            for task in (name, OVERALL):
                by_task.setdefault(task, Counter()).update(tally)
    return sums


def _width_ms(window: Window) -> int:
    return DAY_MS if window is Window.ALL else _GRAINS[window].width_ms


def _add_stored(keys: Keys, sums: dict[_Bucket, dict[str, Tally]]) -> Operation[None]:
    if not sums:
        return
    replies = yield Pipeline(
        [Command(("HMGET", keys.stats(*bucket), *tasks)) for bucket, tasks in sums.items()]
    )
    for by_task, reply in zip(sums.values(), replies, strict=True):
        for tally, stored in zip(by_task.values(), reply, strict=True):
            tally.update(read_tally((stored or b"").decode(errors="replace")))


def _fold_arguments(
    keys: Keys, sums: dict[_Bucket, dict[str, Tally]], days: int
) -> tuple[list[str], list[Argument]]:
    names: list[str] = []
    args: list[Argument] = []
    for (window, number), by_task in sums.items():
        names.append(keys.stats(window, number))
        # One more than are read, for the one under way.
        kept = days if window is Window.ALL else _GRAINS[window].number
        args += [(kept + 1) * _width_ms(window), len(by_task)]
        for task, tally in by_task.items():
            args += [task, tally_text(tally)]
    return names, args


def read_stats(keys: Keys, queries: Sequence[Query]) -> Operation[list[Stats]]:
    """The statistics of each query, in their order."""
    time, days = yield Pipeline([Command(("TIME",)), Command(("HGET", keys.folds(), "days"))])
    now_ms = int(time[0]) * 1000 + int(time[1]) // 1000
    # Before a daemon has said how many are kept: no less than the window of a day.
    span = _Span(now_ms, min(max(count_of(days), 1), MOST_DAYS))
    # Of one instant: a fold in between takes from the tally what it adds to the buckets.
    texts, since, *replies = yield from at_once(
        [
            Command(("LRANGE", keys.tally(), 0, -1)),
            Command(("HGET", keys.folds(), "since")),
            *(request for query in queries for request in _requests(keys, span, query)),
        ]
    )
    reader = _Reader(span, list(_items_of(texts)), count_of(since))
    rest = iter(replies)
    return [stats for query in queries for stats in reader.answer(query, rest)]


class _Span(msgspec.Struct, frozen=True):
    """The time that is looked back upon."""

    now_ms: int
    days: int  # that are kept

    def numbers(self, window: Window) -> range:
        """The buckets that the window touches, up to the one under way."""
        last = self.now_ms // _width_ms(window)
        back = self.days if window is Window.ALL else _GRAINS[window].number
        return range(last - back, last + 1)


def _requests(keys: Keys, span: _Span, query: Query) -> Iterator[Command]:
    """What must be read, one request per bucket."""
    for number in span.numbers(query.window):
        key = keys.stats(query.window, number)
        yield Command(("HGETALL", key) if query.task is None else ("HMGET", key, query.task))


class _Reader:
    """Adds up what is stored and what is not folded yet, at one instant."""

    def __init__(self, span: _Span, items: Sequence[_Item], since_ms: int) -> None:
        self._span = span
        first_ms = since_ms or min((item.at_ms for item in items), default=span.now_ms)
        # One in the future was noted by a clock that was ahead: then nobody knows since when.
        self._since_ms = first_ms if first_ms <= span.now_ms else 0
        self._unfolded = _sum_up(items)

    def answer(self, query: Query, replies: Iterator[Sequence[bytes | None]]) -> Iterator[Stats]:
        """The statistics that are in the replies to the query's requests, which it takes."""
        sums: dict[str, Tally] = {} if query.task is None else {query.task: Counter()}
        for number in self._span.numbers(query.window):
            reply = next(replies)
            flat = reply if query.task is None else [query.task.encode(), reply[0]]
            for task, text in zip(flat[::2], flat[1::2], strict=True):
                tally = sums.setdefault((task or b"").decode(errors="replace"), Counter())
                tally.update(read_tally((text or b"").decode(errors="replace")))
            for name, unfolded in self._unfolded.get((query.window, number), {}).items():
                if query.task in (None, name):
                    sums.setdefault(name, Counter()).update(unfolded)
        if query.task is None:
            sums.setdefault(OVERALL, Counter())
        # `*` first: it is sorted before every name of a task.
        for task_name in sorted(sums, key=lambda name: (name != OVERALL, name)):
            yield self._stats_of(task_name, query.window, sums[task_name])

    def _stats_of(self, task: str, window: Window, tally: Tally) -> Stats:
        since_ms = max(self._span.numbers(window)[0] * _width_ms(window), self._since_ms)
        seconds = max((self._span.now_ms - since_ms) / 1000, 1)
        return Stats(
            task=None if task == OVERALL else task,
            window=window,
            since=from_ms(since_ms),
            submitted=tally["submitted"],
            completed=tally["completed"],
            failed=tally["failed"],
            skipped=tally["skipped"],
            cancelled=tally["cancelled"],
            rate_per_s=(tally["completed"] + tally["failed"]) / seconds,
            wait=_percentiles(tally, Time.WAIT),
            duration=_percentiles(tally, Time.RUN),
        )


def _percentiles(tally: Tally, time: Time) -> Percentiles:
    return Percentiles(*(percentile(tally, time, share) for share in (0.5, 0.95, 0.99)))
