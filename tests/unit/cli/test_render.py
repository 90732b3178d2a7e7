"""Text for people: instants, durations, states and errors."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from jobrunner.cli.render import (
    duration_text,
    error_text,
    instant_text,
    relative_text,
    state_text,
)
from jobrunner.errors import JobNotFound, Location, ManifestError, Problem
from jobrunner.model import JobState, Reason

NOW = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0ms"),
        (0.0009, "0ms"),
        (0.85, "850ms"),
        (0.9999, "999ms"),
        (1, "1.0s"),
        (9.99, "9.9s"),
        (10, "10s"),
        (59.9, "59s"),
        (60, "1m00s"),
        (192, "3m12s"),
        (3600, "1h00m"),
        (7500, "2h05m"),
        (86400, "1d00h"),
        (97200, "1d03h"),
    ],
)
def test_a_duration_has_two_units_and_is_never_rounded_up(seconds: float, text: str) -> None:
    assert duration_text(timedelta(seconds=seconds)) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "now"),
        (0.9, "now"),
        (-0.9, "now"),
        (59, "in 59s"),
        (180, "in 3m"),
        (-125, "2m ago"),
        (-7300, "2h ago"),
        (86400 * 12, "in 12d"),
    ],
)
def test_an_instant_near_now_is_told_from_now(seconds: float, text: str) -> None:
    assert relative_text(NOW + timedelta(seconds=seconds), NOW) == text


def test_an_instant_is_shown_in_the_readers_zone() -> None:
    assert instant_text(NOW, ZoneInfo("Europe/Berlin")) == "2026-11-21 13:00:00 CET"
    assert instant_text(NOW, UTC) == "2026-11-21 12:00:00 UTC"


def test_what_is_missing_is_a_dash() -> None:
    assert duration_text(None) == "-"
    assert relative_text(None, NOW) == "-"


def test_a_reason_stands_beside_its_state_unless_it_says_the_same() -> None:
    assert state_text(JobState.FAILED, Reason.TIMEOUT) == "failed (timeout)"
    assert state_text(JobState.FAILED, Reason.ERROR) == "failed"
    assert state_text(JobState.SKIPPED, Reason.LOCKED) == "skipped (locked)"
    assert state_text(JobState.COMPLETED, None) == "completed"


def test_an_error_says_what_why_and_how_to_fix_it() -> None:
    error = JobNotFound("no job 'x'", why="no record has this id", fix="look at `jobrunner list`")

    assert error_text(error) == (
        "error: no job 'x'\n  why: no record has this id\n  fix: look at `jobrunner list`"
    )
    assert error_text(JobNotFound("no job 'x'")) == "error: no job 'x'"


def test_only_the_label_of_an_error_is_coloured() -> None:
    assert error_text(JobNotFound("no job"), colours=True) == "\x1b[1;31merror:\x1b[0m no job"


def test_all_problems_of_a_manifest_are_shown_with_their_places() -> None:
    error = ManifestError(
        [
            Problem(
                Location("jobs.yaml", 14, 5),
                "unknown key 'tiemout' in task 'nightly-report'",
                why="a task accepts command, env, …",
                fix="rename it to 'timeout'",
            ),
            Problem(Location("jobs.yaml", 20, 11), "bad cron", excerpt="61 * * * *\n^^"),
        ]
    )

    assert error_text(error) == (
        "jobs.yaml:14:5: error: unknown key 'tiemout' in task 'nightly-report'\n"
        "  why: a task accepts command, env, …\n"
        "  fix: rename it to 'timeout'\n"
        "jobs.yaml:20:11: error: bad cron\n"
        "    61 * * * *\n"
        "    ^^\n"
        "The manifest has 2 problems."
    )
