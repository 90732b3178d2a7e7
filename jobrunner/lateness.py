"""Which fire times made their jobs late, and why, for the log: never a flood of lines.

It is told what the scheduler noticed (its start, outages, clocks that jumped) and which fire times
made jobs; a late one is reported with the cause that covers it. After a line about a cron the next
one waits for a minute and sums up what came meanwhile.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

from jobrunner.clock import Clock, rfc3339
from jobrunner.log import EventLog

LATE_AFTER = timedelta(seconds=1)  # later than this is worth a warning
QUIET_S = 60.0  # between two lines about the same cron

NOT_RUNNING = "no daemon was running"
STORE_AWAY = "the store could not be reached"
CLOCK_JUMPED = "the clock was set forward, or the machine was suspended"
HELD_UP = "the daemon was held up: it was stopped, or the machine is too busy"


@dataclass(slots=True)
class _Row:
    """Late fire times of one cron that were not told yet."""

    first: datetime
    last: datetime
    worst: timedelta
    why: str
    count: int = 1


class LateFires:
    """The late fire times of one scheduler."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._looked: tuple[datetime, float] | None = None  # by both clocks
        self._cause = NOT_RUNNING
        self._cause_until: datetime | None = None  # of the fire times that it made late
        self._rows: dict[str, _Row] = {}
        self._told_at: dict[str, float] = {}  # monotonic

    def look(self, now: datetime) -> None:
        """Once per tick, before it fires: notes a start, and a clock that jumped."""
        monotonic = self._clock.monotonic()
        if self._looked is None:
            self._cause_until = now
        else:
            before, monotonic_before = self._looked
            awake = timedelta(seconds=monotonic - monotonic_before)
            if now - before > awake + LATE_AFTER:
                self._cause, self._cause_until = CLOCK_JUMPED, now
        self._looked = (now, monotonic)

    def lose_store(self, until: datetime) -> None:
        """The store is away, and is not asked again before `until`."""
        self._cause, self._cause_until = STORE_AWAY, until

    def note(self, cron: str, fire_time: datetime) -> None:
        """A fire time made its job just now."""
        late = self._clock.now() - fire_time
        if late <= LATE_AFTER:
            return
        is_covered = self._cause_until is not None and fire_time <= self._cause_until
        why = self._cause if is_covered else HELD_UP
        row = self._rows.get(cron)
        if row is None:
            self._rows[cron] = _Row(fire_time, fire_time, late, why)
            return
        row.last, row.count = fire_time, row.count + 1
        if late > row.worst:
            row.worst, row.why = late, why

    def tell(self) -> None:
        """Log what is due to be told, a line per cron."""
        now = self._clock.monotonic()
        for cron in list(self._rows):
            if now >= self._told_at.get(cron, now - QUIET_S) + QUIET_S:
                self._told_at[cron] = now
                _tell(cron, self._rows.pop(cron))


def _tell(cron: str, row: _Row) -> None:
    fields: dict[str, object] = {"cron": cron, "fire_time": rfc3339(row.first)}
    if row.count > 1:
        fields |= {"last": rfc3339(row.last), "fires": row.count}
    seconds = round(row.worst.total_seconds(), 1)
    EventLog().warning("fired late", **fields, seconds=seconds, why=row.why)
