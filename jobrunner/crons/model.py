"""What a cron is once its expression or interval has been read."""

from dataclasses import dataclass, field
from datetime import timedelta
from zoneinfo import ZoneInfo

from jobrunner.crons.calendar import Calendar, Fields


@dataclass(frozen=True, slots=True)
class Rule:
    """A cron expression: its fields, and the wall-clock times they name."""

    fields: Fields
    calendar: Calendar


@dataclass(frozen=True, slots=True)
class Cron:
    """A named schedule: a rule, an interval, or the daemon's start (`@reboot`: neither of them).

    An interval of whole days has a rule, too: its midnights.

    Parsed once; reading fire times changes nothing that anyone can see.
    """

    name: str
    expression: str  # as written; `@every 1m30s` for an interval
    zone: ZoneInfo
    rule: Rule | None = field(default=None, repr=False, compare=False)
    interval: timedelta | None = None

    @property
    def is_reboot(self) -> bool:
        """Whether it fires when the daemon starts, and has no fire times of its own."""
        return self.rule is None and self.interval is None

    @property
    def interval_days(self) -> int | None:
        """Of an interval that counts midnights: every how many days."""
        return None if self.rule is None or self.interval is None else self.interval.days

    @property
    def timezone(self) -> str:
        """The name of its time zone."""
        return self.zone.key
