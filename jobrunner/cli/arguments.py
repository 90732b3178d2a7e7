"""Arguments and options that several commands share."""

from datetime import timedelta
from typing import Annotated

import typer

from jobrunner.cli.complete import cron_names, job_ids, queue_names, task_names
from jobrunner.manifest.units import parse_duration

MOST_LISTED = 1_000_000  # jobs; they are sorted in memory, and retention keeps a tenth by default

_JOB_HELP = "An id, the unique beginning of a recent one, @last or @last:TASK."

JobArgument = Annotated[str, typer.Argument(help=_JOB_HELP, autocompletion=job_ids)]
OptionalJobArgument = Annotated[str | None, typer.Argument(help=_JOB_HELP, autocompletion=job_ids)]
JobsArgument = Annotated[list[str], typer.Argument(help=_JOB_HELP, autocompletion=job_ids)]
TaskArgument = Annotated[str, typer.Argument(help="The task.", autocompletion=task_names)]
TaskOption = Annotated[
    str | None, typer.Option("--task", help="Only of this task.", autocompletion=task_names)
]
CronArgument = Annotated[str, typer.Argument(help="The cron.", autocompletion=cron_names)]
QueueOption = Annotated[
    str | None,
    typer.Option("--queue", help="Another queue than the task's.", autocompletion=queue_names),
]
LimitOption = Annotated[
    int, typer.Option("--limit", min=1, max=MOST_LISTED, help="At most so many.")
]
TimeoutOption = Annotated[
    timedelta | None,
    typer.Option(
        "--timeout",
        parser=parse_duration,
        metavar="DURATION",
        help="Give up after it, e.g. 10m; the jobs go on.",
    ),
]
