"""Crons: expression, interval and time zone -> fire times. Pure: it never reads a clock.

croniter is imported when an expression is parsed, not before: the CLI's fast paths need none.
"""

from jobrunner.crons.changes import ClockChange, clock_changes, clock_note
from jobrunner.crons.errors import InvalidCron, NeverFires
from jobrunner.crons.model import Cron
from jobrunner.crons.parse import KnownRules, interval_cron, parse_cron
from jobrunner.crons.times import FireSpan, fire_span, fire_times, next_fire
from jobrunner.crons.words import describe, interval_note

__all__ = [
    "ClockChange",
    "Cron",
    "FireSpan",
    "InvalidCron",
    "KnownRules",
    "NeverFires",
    "clock_changes",
    "clock_note",
    "describe",
    "fire_span",
    "fire_times",
    "interval_cron",
    "interval_note",
    "next_fire",
    "parse_cron",
]
