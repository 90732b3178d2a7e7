"""The card of one job, for `show`."""

from collections.abc import Iterator
from datetime import datetime, tzinfo

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from jobrunner.cli.foreign import escaped, json_text
from jobrunner.cli.render import (
    STATE_STYLES,
    duration_text,
    instant_text,
    relative_text,
)
from jobrunner.cli.render_tables import job_state, took
from jobrunner.doctor.finding import size_text
from jobrunner.errors import MASK
from jobrunner.model import Job, JobError, JobState

LABEL_STYLE = "bold"


def job_card(
    job: Job, now: datetime, zone: tzinfo | None, secrets: frozenset[str] = frozenset()
) -> RenderableType:
    """All that is known about a job, as `label  value` lines; values of `secrets` are masked."""
    card = Table.grid(padding=(0, 2, 0, 0))
    card.add_column(style=LABEL_STYLE, no_wrap=True)
    card.add_column(overflow="fold")
    for label, value in _facts(job, now, zone, secrets):
        card.add_row(label, escaped(value) if isinstance(value, str) else value)
    if job.error is not None and job.error.traceback:
        trace = Text(escaped(job.error.traceback))
        return Group(card, Text("traceback", style=LABEL_STYLE), trace)
    return card


def _facts(
    job: Job, now: datetime, zone: tzinfo | None, secrets: frozenset[str]
) -> Iterator[tuple[str, RenderableType]]:
    """The facts that there are, in the order a reader asks for them."""
    yield "job", job.id
    yield "task", job.task
    yield "state", job_state(job)
    yield from _texts(
        ("detail", job.detail), ("error", error_line(job.error) if job.error else None)
    )
    if job.result is not None:
        yield "result", json_text(job.result)
    yield from _texts(("stderr", job.last_stderr))
    if job.progress is not None:
        yield "progress", json_text(job.progress)
    if job.arguments:
        yield "arguments", arguments_text(job.arguments, secrets)
    yield from _times(job, now, zone)
    yield from _usage(job)
    yield "queue", f"{job.queue} ({job.priority})"
    yield from _texts(
        ("lock", job.lock),
        ("after", job.after),
        ("key", job.key),
        ("worker", job.worker),
    )


def _times(job: Job, now: datetime, zone: tzinfo | None) -> Iterator[tuple[str, RenderableType]]:
    if job.attempt:
        yield "attempt", str(job.attempt)
    instants = {
        "cron": None,
        "fire time": job.fire_time,
        "created": job.created_at,
        "due": None if job.is_terminal else job.due_at,
        "started": job.started_at,
        "finished": job.finished_at,
    }
    if job.cron:
        yield "cron", job.cron
    for label, instant in instants.items():
        if instant is not None:
            yield label, f"{instant_text(instant, zone)} ({relative_text(instant, now)})"
    duration = took(job, now)
    if duration is not None:
        yield "took" if job.is_terminal else "running for", duration_text(duration)


def _usage(job: Job) -> Iterator[tuple[str, RenderableType]]:
    """What the attempt used, and what it left behind."""
    if job.usage is not None:
        used = job.usage
        parts = [] if used.cpu_ms is None else [f"processor {used.cpu_ms:,} ms"]
        for name, size in (
            ("memory", used.memory_bytes),
            ("read", used.read_bytes),
            ("written", used.write_bytes),
        ):
            parts += [] if size is None else [f"{name} {size_text(size)}"]
        yield from _texts(("used", ", ".join(parts)))
    for is_gone, label in ((True, "stopped"), (False, "survived")):
        found = [f"{each.name} ({each.pid})" for each in job.left or [] if each.is_gone is is_gone]
        yield from _texts((label, ", ".join(found) and f"left behind: {', '.join(found)}"))


def _texts(*facts: tuple[str, str | None]) -> Iterator[tuple[str, RenderableType]]:
    for label, text in facts:
        if text:
            style = STATE_STYLES[JobState.FAILED] if label == "error" else ""
            yield label, Text(escaped(text), style=style)


def error_line(error: JobError) -> str:
    """`exit: the command ended with 3`."""
    return f"{error.type}: {error.message}"


def arguments_text(arguments: dict[str, object], secrets: frozenset[str]) -> str:
    """`day=2026-11-21 region=eu`; values of secret parameters are masked."""
    shown = {name: MASK if name in secrets else value for name, value in arguments.items()}
    return " ".join(
        f"{name}={value if isinstance(value, str) else json_text(value)}"
        for name, value in shown.items()
    )
