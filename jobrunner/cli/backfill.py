"""`jobrunner backfill`: the jobs of a cron's past fire times."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import islice
from typing import TYPE_CHECKING, Annotated

import typer

from jobrunner.cli.arguments import CronArgument
from jobrunner.cli.context import CliContext
from jobrunner.cli.group import cli_of
from jobrunner.cli.store import OpenStore
from jobrunner.errors import IllegalTransition, StoreUnavailable, UsageError
from jobrunner.model import JobState, Priority

if TYPE_CHECKING:
    from jobrunner.crons import Cron, FireSpan
    from jobrunner.store.published import PublishedCron, PublishedTask
    from jobrunner.store.submission import Submission, Submitted

ASK_ABOVE = 100_000  # jobs: some 100 MB of the store's memory
BATCH = 500  # jobs per round trip, as a submit has
RESOLUTION = timedelta(microseconds=1)  # of a datetime; fire times are searched in (since, until]


@dataclass(frozen=True, slots=True)
class Backfill:
    """The past fire times that were asked for: later than `since`, not later than `until`."""

    cron: "Cron"
    task: "PublishedTask"
    declared: "PublishedCron"
    since: datetime
    until: datetime
    priority: Priority

    def batches(self) -> Iterator[list[datetime]]:
        """The fire times, oldest first."""
        from jobrunner.crons import fire_times

        coming = fire_times(self.cron, self.since, self.until)
        while batch := list(islice(coming, BATCH)):
            yield batch


@dataclass(slots=True)
class Outcome:
    """How many fire times became what."""

    submitted: int = 0
    queued_again: int = 0  # they were skipped before
    existing: int = 0  # they had a job

    @property
    def done(self) -> int:
        return self.submitted + self.queued_again + self.existing


def backfill(
    ctx: typer.Context,
    cron: CronArgument,
    start: Annotated[
        str,
        typer.Option("--from", help="The first instant: RFC 3339, or a date or time of the cron."),
    ],
    end: Annotated[
        str | None,
        typer.Option("--to", help="The instant before which to end. Default: now."),
    ] = None,
    priority: Annotated[
        Priority | None, typer.Option("--priority", help="Another than the task's.")
    ] = None,
    is_dry_run: Annotated[
        bool, typer.Option("--dry-run", help="List the fire times and make nothing.")
    ] = False,
    is_confirmed: Annotated[
        bool, typer.Option("--yes", "-y", help=f"Do not ask about more than {ASK_ABOVE:,} jobs.")
    ] = False,
) -> None:
    from jobrunner.crons import fire_span

    cli = cli_of(ctx)
    store = cli.store()
    asked = _asked(cli, store, cron, start, end, priority)
    span = fire_span(asked.cron, asked.since, asked.until)
    if span is None:
        raise UsageError(
            f"cron '{cron}' has no fire time from {start} to {end or 'now'}",
            why=f"it fires at {asked.cron.expression} in {asked.cron.timezone}",
            fix=f"`jobrunner next {cron} --from {start}` shows when",
        )
    if span.count > ASK_ABOVE and not is_confirmed:
        _confirm(cli, cron, span)
    if is_dry_run:
        _list(cli, store, asked)
    else:
        _tell(cli, cron, span, _make_jobs(cli, store, asked, span.count))


def _asked(
    cli: CliContext,
    store: OpenStore,
    name: str,
    start: str,
    end: str | None,
    priority: Priority | None,
) -> Backfill:
    from jobrunner.cli.names import published_cron, require_task
    from jobrunner.crons import parse_cron

    declared = published_cron(store, name)
    task = require_task(store, declared.task)
    cron = parse_cron(declared.schedule, declared.timezone, name)
    if cron.is_reboot:
        raise UsageError(
            f"cron '{name}' has no fire times",
            why="it fires when the machine has booted",
            fix=f"`jobrunner trigger {name}` makes a job of it now",
        )
    since, until = _bounds(cli, cron, start, end)
    return Backfill(cron, task, declared, since, until, priority or task.priority)


def _bounds(
    cli: CliContext, cron: "Cron", start: str, end: str | None
) -> tuple[datetime, datetime]:
    from jobrunner.cli.instants import instant_option

    now = cli.clock.now()
    since = instant_option(start, cron.zone)
    until = now if end is None else instant_option(end, cron.zone)
    if until > now:
        raise UsageError(
            f"--to {end} is in the future",
            why="a backfill makes the jobs of past fire times; the daemon makes the coming ones",
            fix="leave --to out: then it ends now",
        )
    if since >= until:
        raise UsageError(
            f"--from {start} is not before --to {end or 'now'}",
            why=f"dates and times without an offset are those of {cron.timezone}",
            fix="give --from the earlier one",
        )
    return since - RESOLUTION, until if end is None else until - RESOLUTION


def _confirm(cli: CliContext, name: str, span: "FireSpan") -> None:
    question = f"cron '{name}' has {span.count:,} fire times in this span. Go on?"
    if not cli.confirm(question):
        raise IllegalTransition(
            f"no jobs were made: cron '{name}' has {span.count:,} fire times in this span",
            why=f"more than {ASK_ABOVE:,} need a word, since a slip of the pen is likelier",
            fix="choose a shorter span, or use --yes",
        )


def _list(cli: CliContext, store: OpenStore, asked: Backfill) -> None:
    from jobrunner.cli.render_fires import past_fire_json, past_fire_line
    from jobrunner.store.crons import fire_states

    rows = []
    for batch in asked.batches():
        states = store.run(fire_states(store.keys, asked.cron.name, batch))
        found = zip(batch, states, strict=True)
        if cli.json:
            rows += [past_fire_json(asked.cron, *each) for each in found]
        else:
            cli.write("\n".join(past_fire_line(asked.cron, *each) for each in found))
    if cli.json:
        cli.write_json(rows)


def _make_jobs(cli: CliContext, store: OpenStore, asked: Backfill, total: int) -> Outcome:
    """Make them all; what was done is told also when this is cut off."""
    from jobrunner.store.submission import submit

    outcome = Outcome()
    try:
        for batch in asked.batches():
            _show_progress(cli, f"{outcome.done:,} of {total:,} fire times")
            submissions = [_submission(asked, fire_time) for fire_time in batch]
            _count(store, outcome, store.run(submit(store.keys, submissions)))
    except (KeyboardInterrupt, StoreUnavailable):
        _show_progress(cli, "")
        cli.note(
            f"stopped after {outcome.done:,} of {_counted(total, 'fire time')}, "
            f"{_counted(outcome.submitted, 'job')} submitted; the same command goes on there"
        )
        raise
    _show_progress(cli, "")
    return outcome


def _show_progress(cli: CliContext, text: str) -> None:
    """On a terminal only, in place of what was there."""
    if cli.stderr.isatty():
        cli.stderr.write(f"\r\x1b[K{text}")
        cli.stderr.flush()


def _submission(asked: Backfill, fire_time: datetime) -> "Submission":
    from jobrunner.clock import to_ms
    from jobrunner.store.crons import fire_id
    from jobrunner.store.submission import Submission

    name, task = asked.cron.name, asked.task
    today = fire_time.astimezone(asked.cron.zone).date()
    return Submission(
        fire_id(name, fire_time),
        task.name,
        asked.declared.message_of(task, today, to_ms(fire_time)),
        queue=task.queue,
        priority=asked.priority,
        cron=name,
        fire_time=fire_time,
    )


def _count(store: OpenStore, outcome: Outcome, submitted: "Sequence[Submitted]") -> None:
    """A fire time that was skipped has a record and no job yet: it is queued after all."""
    from jobrunner.store.submission import retry_job

    for job in submitted:
        if job.is_new:
            outcome.submitted += 1
        elif job.state is JobState.SKIPPED:
            try:
                store.run(retry_job(store.keys, job.id))
            except IllegalTransition:
                outcome.existing += 1  # somebody else was faster
            else:
                outcome.queued_again += 1
        else:
            outcome.existing += 1


def _tell(cli: CliContext, name: str, span: "FireSpan", outcome: Outcome) -> None:
    from jobrunner.clock import rfc3339

    if cli.json:
        cli.write_json(
            {
                "cron": name,
                "first": rfc3339(span.first),
                "last": rfc3339(span.last),
                "fire_times": span.count,
                "submitted": outcome.submitted,
                "queued_again": outcome.queued_again,
                "existing": outcome.existing,
            }
        )
        return
    parts = [f"submitted {_counted(outcome.submitted, 'job')} of cron '{name}'"]
    if outcome.queued_again:
        parts.append(f"queued {outcome.queued_again:,} that had been skipped")
    if outcome.existing:
        parts.append(f"{_counted(outcome.existing, 'fire time')} had a job already")
    cli.write("; ".join(parts))


def _counted(number: int, noun: str) -> str:
    """`1 job`, `1,200 jobs`."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"
