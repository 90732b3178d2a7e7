"""`backfill`: past fire times make their jobs, each once, whoever else made some of them."""

import io
import json
from contextlib import chdir
from datetime import UTC, datetime
from pathlib import Path

import pytest
from msgspec.structs import replace

from jobrunner import message
from jobrunner.cli.app import run
from jobrunner.cli.backfill import ASK_ABOVE, BATCH
from jobrunner.cli.context import CliContext
from jobrunner.model import Job, JobState, Priority, Reason
from jobrunner.params import ParamSpec, ParamType
from jobrunner.store.crons import Fire, fire, pause_cron, read_crons
from jobrunner.store.published import Published, PublishedCron, PublishedTask, publish
from tests.store.factories import MESSAGE, Store
from tests.unit.cli.conftest import Invoke, Outcome, StandingClock, Terminal

NAME = "nightly"
FIRST, SECOND, THIRD = (f"nightly@2026-11-{day:02}T01:00:00Z" for day in (1, 2, 3))
THREE_DAYS = ("--from", "2026-11-01", "--to", "2026-11-04")


@pytest.fixture(autouse=True)
def crons(store: Store) -> None:
    """As a daemon leaves them; nightly is at 02:00 in Berlin."""
    params = [ParamSpec("day", ParamType.DATE, default="today", required=False)]
    task = PublishedTask("backup", "command", params=params, queue="web", priority=Priority.HIGH)
    crons = [
        PublishedCron(NAME, "backup", "0 2 * * *", "daily at 02:00", "Europe/Berlin"),
        PublishedCron("dawn", "backup", "30 0 * * *", "daily at 00:30", "America/New_York"),
        PublishedCron("often", "backup", "@every 1s", "every second"),
        PublishedCron("up", "backup", "@reboot", "at boot"),
    ]
    published = Published({"backup": task}, {cron.name: cron for cron in crons})
    store.run(publish(store.keys, published))


def jobs(store: Store) -> list[Job]:
    return [store.job(job_id) for job_id in sorted(store.records())]


def summary(outcome: Outcome) -> dict[str, int]:
    assert (outcome.stderr, outcome.code) == ("", 0)
    found = json.loads(outcome.stdout)
    return {name: found[name] for name in ("submitted", "queued_again", "existing")}


def a_fire(day: int) -> Fire:
    fire_time = datetime(2026, 11, day, 1, tzinfo=UTC)
    return Fire(NAME, fire_time, "backup", MESSAGE, "web", Priority.NORMAL)


def test_each_past_fire_time_makes_a_job_that_knows_it(invoke: Invoke, store: Store) -> None:
    outcome = invoke("backfill", NAME, *THREE_DAYS)

    assert outcome == Outcome("submitted 3 jobs of cron 'nightly'\n", "", 0)
    assert [job.id for job in jobs(store)] == [FIRST, SECOND, THIRD]
    job = store.job(SECOND)
    assert job.fire_time == datetime(2026, 11, 2, 1, tzinfo=UTC)
    assert (job.cron, job.task, job.queue, job.priority) == (NAME, "backup", "web", Priority.HIGH)
    assert job.arguments == {"day": "2026-11-02"}
    entries = store.claim()
    assert [entry.job_id for entry in entries] == [FIRST, SECOND, THIRD]
    assert [message.decode(entry.message).fire_time for entry in entries] == [
        round(job.fire_time.timestamp() * 1000) for job in jobs(store) if job.fire_time
    ]


def test_a_fire_time_that_has_a_job_is_left_alone(invoke: Invoke, store: Store) -> None:
    store.run(fire(store.keys, [a_fire(2)]))

    first = invoke("backfill", NAME, *THREE_DAYS, "--json")
    again = invoke("backfill", NAME, *THREE_DAYS)

    assert summary(first) == {"submitted": 2, "queued_again": 0, "existing": 1}
    assert again.stdout == ("submitted 0 jobs of cron 'nightly'; 3 fire times had a job already\n")
    assert len(store.entries()) == 3


def test_a_fire_time_that_was_skipped_is_queued_after_all(invoke: Invoke, store: Store) -> None:
    skip = replace(a_fire(1), skip=Reason.MISFIRE, detail="1 fire times")
    store.run(fire(store.keys, [skip]))

    outcome = invoke("backfill", NAME, *THREE_DAYS)

    assert outcome.stdout == (
        "submitted 2 jobs of cron 'nightly'; queued 1 that had been skipped\n"
    )
    assert store.state(FIRST) is JobState.QUEUED


def test_the_crons_last_handled_fire_time_stays(invoke: Invoke, store: Store) -> None:
    store.run(fire(store.keys, [a_fire(20)]))
    [before] = store.run(read_crons(store.keys, [NAME]))

    invoke("backfill", NAME, *THREE_DAYS)

    assert store.run(read_crons(store.keys, [NAME])) == [before]


def test_a_paused_cron_can_be_backfilled(invoke: Invoke, store: Store) -> None:
    store.run(pause_cron(store.keys, NAME))

    invoke("backfill", NAME, *THREE_DAYS)

    assert len(jobs(store)) == 3


def test_without_an_end_it_goes_on_until_now(invoke: Invoke, store: Store) -> None:
    invoke("backfill", NAME, "--from", "2026-11-20", "--priority", "low")

    assert [job.id for job in jobs(store)] == [
        "nightly@2026-11-20T01:00:00Z",
        "nightly@2026-11-21T01:00:00Z",
    ]
    assert {job.priority for job in jobs(store)} == {Priority.LOW}


@pytest.mark.parametrize(
    "bounds",
    [
        ("2026-11-01", "2026-11-02"),  # a day of 25 hours
        ("2026-11-01T00:30", "2026-11-01T00:31"),
        ("2026-11-01T04:30:00Z", "2026-11-01T04:30:01Z"),
        ("2026-11-01T05:30:00+01:00", "2026-11-02T05:30:00Z"),
    ],
)
def test_bounds_are_local_to_the_cron_unless_they_have_an_offset(
    invoke: Invoke, store: Store, bounds: tuple[str, str]
) -> None:
    invoke("backfill", "dawn", "--from", bounds[0], "--to", bounds[1])

    assert [job.id for job in jobs(store)] == ["dawn@2026-11-01T04:30:00Z"]


def test_a_dry_run_lists_the_fire_times_and_makes_nothing(invoke: Invoke, store: Store) -> None:
    store.run(fire(store.keys, [a_fire(2)]))
    before = store.snapshot()

    listed = invoke("backfill", NAME, *THREE_DAYS, "--dry-run")
    found = invoke("backfill", NAME, *THREE_DAYS, "--dry-run", "--json")

    assert listed.stdout.splitlines() == [
        f"Sun 2026-11-01 02:00:00 CET  {FIRST}  to be made",
        f"Mon 2026-11-02 02:00:00 CET  {SECOND}  queued",
        f"Tue 2026-11-03 02:00:00 CET  {THIRD}  to be made",
    ]
    assert json.loads(found.stdout)[1] == {
        "id": SECOND,
        "fire_time": "2026-11-02T01:00:00Z",
        "local_time": "2026-11-02T02:00:00+01:00",
        "state": "queued",
    }
    assert store.snapshot() == before


# Many.


def test_many_are_made_in_batches_with_progress_on_a_terminal_only(
    invoke: Invoke, store: Store
) -> None:
    span = ("--from", "2026-11-21T11:00:00", "--to", "2026-11-21T11:20:00")

    on_terminal = invoke("backfill", "often", *span, terminal=True)
    in_pipe = invoke("backfill", "often", *span)

    assert f"\r\x1b[K{BATCH} of 1,200 fire times" in on_terminal.stderr
    assert on_terminal.stderr.endswith("\r\x1b[K")
    assert on_terminal.stdout == "submitted 1,200 jobs of cron 'often'\n"
    assert in_pipe.stderr == ""
    ids = [entry.job_id for entry in store.claim(free=2000)]
    assert ids == sorted(ids)
    assert len(ids) == 1200


def test_more_than_a_slip_of_the_pen_should_make_needs_a_word(invoke: Invoke, store: Store) -> None:
    span = ("--from", "2026-11-01", "--to", "2026-11-21")

    in_pipe = invoke("backfill", "often", *span)
    refused = invoke("backfill", "often", *span, terminal=True, stdin="n\n")

    assert in_pipe.stderr.startswith("error: no jobs were made: cron 'often' has 1,728,000 fire")
    assert "\n  fix: choose a shorter span, or use --yes\n" in in_pipe.stderr
    assert (in_pipe.code, refused.code, jobs(store)) == (5, 5, [])
    assert f"{ASK_ABOVE:,}" in in_pipe.stderr


class Interrupting(Terminal):
    """A terminal on which Ctrl-C is pressed when it shows some text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self._text = text

    def write(self, text: str) -> int:
        if self._text in text:
            raise KeyboardInterrupt
        return super().write(text)


def test_one_that_was_interrupted_says_how_far_it_came_and_goes_on_when_repeated(
    invoke: Invoke, store: Store, tmp_path: Path
) -> None:
    span = ["--from", "2026-11-21T11:00:00", "--to", "2026-11-21T11:20:00"]
    cli = CliContext(
        stdout=io.StringIO(),
        stderr=Interrupting("\r\x1b[K1,000 of"),
        environ={},
        clock=StandingClock(),
    )

    with chdir(tmp_path):
        code = run(["backfill", "often", *span], cli)
    repeated = invoke("backfill", "often", *span, "--json")

    assert code == 130
    assert isinstance(cli.stderr, io.StringIO)
    assert cli.stderr.getvalue().endswith(
        "stopped after 1,000 of 1,200 fire times, 1,000 jobs submitted; "
        "the same command goes on there\n"
    )
    assert summary(repeated) == {"submitted": 200, "queued_again": 0, "existing": 1000}


# What cannot be done.


@pytest.mark.parametrize(
    ("args", "error", "code"),
    [
        (("nihgtly", "--from", "2026-11-01"), "no cron 'nihgtly'", 3),
        (
            (NAME, "--from", "2026-11-04", "--to", "2026-11-01"),
            "--from 2026-11-04 is not before --to 2026-11-01",
            2,
        ),
        ((NAME, "--from", "2026-12-04"), "--from 2026-12-04 is not before --to now", 2),
        (
            (NAME, "--from", "2026-11-01", "--to", "2027-01-01"),
            "--to 2027-01-01 is in the future",
            2,
        ),
        (
            (NAME, "--from", "2026-11-01T03:00", "--to", "2026-11-01T23:00"),
            "cron 'nightly' has no fire time from 2026-11-01T03:00 to 2026-11-01T23:00",
            2,
        ),
        (("up", "--from", "2026-11-01"), "cron 'up' has no fire times", 2),
        ((NAME, "--from", "yesterday"), "cannot read the instant 'yesterday'", 2),
    ],
)
def test_what_cannot_be_done_is_told_with_its_fix(
    invoke: Invoke, store: Store, args: tuple[str, ...], error: str, code: int
) -> None:
    outcome = invoke("backfill", *args)

    lines = outcome.stderr.splitlines()
    assert lines[0] == f"error: {error}"
    assert lines[-1].startswith("  fix: ")
    assert (outcome.stdout, outcome.code, jobs(store)) == ("", code, [])
