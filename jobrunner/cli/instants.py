"""Instants and durations as people give them to options."""

from datetime import UTC, datetime, tzinfo

from jobrunner.errors import UsageError
from jobrunner.manifest.units import LONGEST, TooLong, parse_duration


def since_option(text: str, now: datetime, zone: tzinfo | None) -> datetime:
    """`1d` is that long ago; else an instant as `instant_option` reads it. UTC.

    Raises UsageError.
    """
    try:
        return now - parse_duration(text)
    except TooLong:
        raise UsageError(
            f"the duration '{text}' is too long",
            why=f"the longest is {LONGEST.days}d",
            fix="leave the option out for jobs of any age",
        ) from None
    except ValueError:
        return instant_option(text, zone)


def instant_option(text: str, zone: tzinfo | None) -> datetime:
    """RFC 3339, or a date or time in the zone (None: the system's); UTC. Raises UsageError."""
    try:
        instant = datetime.fromisoformat(text)
        if instant.tzinfo is None and zone is not None:
            instant = instant.replace(tzinfo=zone)
        return instant.astimezone(UTC)
    except OverflowError:
        raise UsageError(
            f"the instant '{text}' is out of range",
            why="in UTC it is before the year 1 or after the year 9999",
            fix="write an instant within them",
        ) from None
    except ValueError:
        raise UsageError(
            f"cannot read the instant '{text}'",
            why="it is neither RFC 3339 nor a local date or time",
            fix="write e.g. 2026-03-28, 2026-03-28T01:30 or 2026-03-28T00:30:00Z",
        ) from None
