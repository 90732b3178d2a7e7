"""How values look to people: instants, durations, states and errors as text.

Tables are in `render_tables.py`, the status screen in `render_status.py`, JSON in
`render_json.py`; no other file formats.
"""

from datetime import datetime, timedelta, tzinfo

from jobrunner.cli.foreign import escaped, json_text, one_line
from jobrunner.errors import JobrunnerError, ManifestError, Problem
from jobrunner.model import Job, JobState, Reason

# Told apart by people who see red and green as one; the word stands beside each colour.
STATE_STYLES: dict[JobState, str] = {
    JobState.SCHEDULED: "",
    JobState.BLOCKED: "yellow",
    JobState.QUEUED: "",
    JobState.RUNNING: "bold bright_blue",
    JobState.COMPLETED: "cyan",
    JobState.FAILED: "bold red",
    JobState.SKIPPED: "yellow",
    JobState.CANCELLED: "dim",
}

_SECOND = timedelta(seconds=1)
_MINUTE = timedelta(minutes=1)
_HOUR = timedelta(hours=1)
_DAY = timedelta(days=1)


def duration_text(duration: timedelta | None) -> str:
    """`850ms`, `4.2s`, `3m12s`, `2h05m`, `1d03h`: two units at most; `-` for None."""
    if duration is None:
        return "-"
    if duration < _SECOND:
        return f"{duration // timedelta(milliseconds=1)}ms"
    if duration < 10 * _SECOND:
        tenths = duration // timedelta(milliseconds=100)
        return f"{tenths // 10}.{tenths % 10}s"
    if duration < _MINUTE:
        return f"{duration // _SECOND}s"
    if duration < _HOUR:
        return f"{duration // _MINUTE}m{duration % _MINUTE // _SECOND:02}s"
    if duration < _DAY:
        return f"{duration // _HOUR}h{duration % _HOUR // _MINUTE:02}m"
    return f"{duration // _DAY}d{duration % _DAY // _HOUR:02}h"


def rough_duration_text(duration: timedelta) -> str:
    """The same in one unit, rounded down: `45s`, `3m`, `2h`, `12d`."""
    for unit, letter in ((_DAY, "d"), (_HOUR, "h"), (_MINUTE, "m")):
        if duration >= unit:
            return f"{duration // unit}{letter}"
    return f"{duration // _SECOND}s"


def relative_text(instant: datetime | None, now: datetime) -> str:
    """`in 3m`, `2m ago`, `now` within a second; `-` for None."""
    if instant is None:
        return "-"
    distance = instant - now
    if abs(distance) < _SECOND:
        return "now"
    if distance > timedelta(0):
        return f"in {rough_duration_text(distance)}"
    return f"{rough_duration_text(-distance)} ago"


def instant_text(instant: datetime, zone: tzinfo | None) -> str:
    """`2026-11-21 03:00:12 CET` in the zone; None is the system's."""
    return instant.astimezone(zone).strftime("%Y-%m-%d %H:%M:%S %Z")


def state_text(state: JobState, reason: Reason | None) -> str:
    """`failed (timeout)`; the reason `error` says no more than `failed` does and is left out."""
    if reason is None or reason is Reason.ERROR:
        return state.value
    return f"{state.value} ({reason.value})"


def job_state_text(job: Job) -> str:
    """The job's state and reason; tells when a cancel was asked for and not yet answered."""
    text = state_text(job.state, job.reason)
    return f"{text}, cancelling" if job.cancel_requested and not job.is_terminal else text


def outcome_text(job: Job) -> str:
    """The error, the detail of a skip, or the result, on one line; `-` when there is none."""
    if job.error is not None:
        return " ".join(job.error.message.split())
    if job.detail:
        return one_line(job.detail)
    return "-" if job.result is None else json_text(job.result)


def error_text(error: JobrunnerError, colours: bool = False) -> str:
    """What is wrong, why, and how to fix it; for a manifest, all of its problems."""
    if isinstance(error, ManifestError):
        parts = [problem_text(problem, colours) for problem in error.problems]
        if error.left_out:
            parts.append(f"… and {error.left_out:,} more")
        return "\n".join([*parts, f"{error.what[:1].upper()}{error.what[1:]}."])
    problem = Problem(None, error.what, error.why, error.fix, error.excerpt)
    return problem_text(problem, colours)


def problem_text(problem: Problem, colours: bool = False, label: str = "error") -> str:
    """`file:line:column: error: …` with excerpt, why and fix, each on its own line; escaped."""
    colour = "1;31" if label == "error" else "1;33"
    label = f"\x1b[{colour}m{label}:\x1b[0m" if colours else f"{label}:"
    place = f"{problem.where}: " if problem.where else ""
    lines = [f"{escaped(place)}{label} {escaped(problem.what)}"]
    if problem.excerpt:
        lines += [f"    {escaped(line)}" for line in problem.excerpt.splitlines()]
    lines += [
        f"  {name}: {escaped(text)}"
        for name, text in (("why", problem.why), ("fix", problem.fix))
        if text
    ]
    return "\n".join(lines)
