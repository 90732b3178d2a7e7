"""`jobrunner submit`: a job of a task, or one for each line of a batch."""

from datetime import timedelta
from typing import TYPE_CHECKING, Annotated

import typer

from jobrunner.cli.arguments import QueueOption
from jobrunner.cli.complete import job_ids, task_names
from jobrunner.cli.context import CliContext
from jobrunner.cli.group import cli_of
from jobrunner.cli.store import OpenStore
from jobrunner.errors import ExitCode, UsageError
from jobrunner.manifest.units import parse_duration
from jobrunner.model import Priority

if TYPE_CHECKING:
    from jobrunner.client.request import JobRequest
    from jobrunner.client.sync import JobRef


Task = Annotated[str | None, typer.Argument(help="The task.", autocompletion=task_names)]
Pairs = Annotated[list[str] | None, typer.Argument(metavar="KEY=VALUE", help="Its parameters.")]
Delay = Annotated[
    timedelta | None,
    typer.Option("--in", parser=parse_duration, metavar="DURATION", help="After it, e.g. 5m."),
]
At = Annotated[
    str | None,
    typer.Option(
        "--at", help="Not before it: RFC 3339, a local date, with or without a time, or 03:00."
    ),
]
Key = Annotated[
    str | None, typer.Option("--key", help="With a known key the earlier job is given back.")
]
PriorityOption = Annotated[
    Priority | None, typer.Option("--priority", help="Another than the task's.")
]
After = Annotated[
    str | None,
    typer.Option("--after", help="Begin when this job has completed.", autocompletion=job_ids),
]
Wait = Annotated[bool, typer.Option("--wait", help="Wait for the end; exit with the job's result.")]
Follow = Annotated[
    bool, typer.Option("--follow", help="Print its output while it runs, as --wait.")
]
Durable = Annotated[bool, typer.Option("--durable", help="Return when it is on the server's disk.")]
Batch = Annotated[str | None, typer.Option("--batch", help="A file of JSON lines, or - for stdin.")]


def submit(
    ctx: typer.Context,
    task: Task = None,
    pairs: Pairs = None,
    delay: Delay = None,
    at: At = None,
    key: Key = None,
    queue: QueueOption = None,
    priority: PriorityOption = None,
    after: After = None,
    is_waiting: Wait = False,
    follow: Follow = False,
    durable: Durable = False,
    batch: Batch = None,
) -> ExitCode:
    cli = cli_of(ctx)
    if batch is not None:
        _refuse_beside_batch(task, pairs, delay, at, key, after, is_waiting, follow)
        return _submit_batch(cli, batch, queue, priority, durable)
    if task is None:
        raise UsageError(
            "which task?", fix="give its name, e.g. `jobrunner submit backup`, or --batch FILE"
        )
    from jobrunner.cli.instants import coming_instant
    from jobrunner.client.request import JobRequest

    store = cli.store()
    request = JobRequest(
        task,
        parameters_of(pairs or []),
        delay=delay,
        at=None if at is None else coming_instant(at, cli.clock.now(), cli.zone),
        key=key,
        queue=queue,
        priority=priority,
        after=None if after is None else store.job_id(after),
        from_text=True,
    )
    return submit_and_tell(cli, request, is_waiting=is_waiting, follow=follow, durable=durable)


def parameters_of(pairs: list[str]) -> dict[str, str]:
    """`["day=2026-11-21"]` as a mapping. Raises UsageError."""
    found: dict[str, str] = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals or not name:
            raise UsageError(
                # Not what stands behind it: that may be a secret.
                f"cannot read the parameter '{name}{equals}'",
                why="a parameter is written as key=value",
                fix=f"write e.g. {name or 'key'}=value",
            )
        if name in found:
            raise UsageError(f"parameter '{name}' is given twice", fix="give it once")
        found[name] = value
    return found


def submit_and_tell(
    cli: CliContext, request: "JobRequest", *, is_waiting: bool, follow: bool, durable: bool = False
) -> ExitCode:
    """Make the job and print its id; then, if that is wanted, its output and its end."""
    if follow and cli.json:
        raise UsageError("--follow cannot print JSON", fix="use --wait, or `jobrunner logs --json`")
    store = cli.store()
    job = store.client.submit_batch([request], durable=durable)[0]
    if not (is_waiting or follow):
        _tell_submitted(cli, job, request.task)
        return ExitCode.DONE
    if follow:
        cli.note(job.id)  # stdout is for the job's own output
        _print_output(cli, store, job.id)
    elif not cli.json:
        cli.write(job.id)
        cli.stdout.flush()
    from jobrunner.cli.wait import tell_end

    [ended] = store.client.wait([job.id])
    return tell_end(cli, ended)


def _tell_submitted(cli: CliContext, job: "JobRef", task: str) -> None:
    if cli.json:
        cli.write_json(_submitted_json(job, task))
    else:
        cli.write(job.id)


def _submitted_json(job: "JobRef", task: str) -> dict[str, str | None]:
    from jobrunner.cli.render_json import submitted_json

    return submitted_json(job.id, task, job.submitted.state if job.submitted else None)


def _print_output(cli: CliContext, store: OpenStore, job_id: str) -> None:
    from jobrunner.cli.logs import followed, print_lines
    from jobrunner.store.logs import read_log

    print_lines(cli, followed(store, job_id, store.run(read_log(store.keys, job_id))))


def _refuse_beside_batch(*options: object) -> None:
    if any(options):
        raise UsageError(
            "--batch takes the jobs from its lines",
            why="only --queue, --priority and --durable go with it, for all lines",
            fix='write e.g. {"task": "backup", "params": {"day": "2026-11-21"}, "in": "5m"}',
        )


def _submit_batch(
    cli: CliContext, source: str, queue: str | None, priority: Priority | None, durable: bool
) -> ExitCode:
    from jobrunner.cli.batch import read_batch

    requests = read_batch(cli, source, queue, priority)
    jobs = cli.store().client.submit_batch(requests, durable=durable)
    if cli.json:
        tasks = [request.task for request in requests]
        cli.write_json([_submitted_json(*pair) for pair in zip(jobs, tasks, strict=True)])
    elif jobs:
        cli.write("\n".join(job.id for job in jobs))
    return ExitCode.DONE
