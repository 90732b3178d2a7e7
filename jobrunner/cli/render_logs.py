"""Lines of output as text."""

from datetime import tzinfo

from jobrunner.clock import from_ms
from jobrunner.store.logs import LogLine


def line_text(line: LogLine, zone: tzinfo | None, *, with_time: bool) -> str:
    """The line; with the local time of day in front if that is wanted."""
    if not with_time:
        return line.text
    at = from_ms(line.at_ms).astimezone(zone)
    return f"{at:%H:%M:%S}.{at.microsecond // 1000:03} {line.text}"
