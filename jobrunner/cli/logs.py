"""`jobrunner logs`: what a job wrote; with -f, while it runs."""

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Annotated

import typer

from jobrunner.cli.arguments import JobArgument
from jobrunner.cli.context import CliContext
from jobrunner.cli.group import cli_of
from jobrunner.cli.store import OpenStore

if TYPE_CHECKING:
    from jobrunner.store.logs import LogLine, LogPage

WAIT_MS = 1000  # for new output; lines come at once, this is how often the state is looked at
ENDING_WAIT_MS = 50  # after the output has ended: the record follows within a moment


def logs(
    ctx: typer.Context,
    job: JobArgument,
    follow: Annotated[
        bool, typer.Option("--follow", "-f", help="Go on while the job runs.")
    ] = False,
    tail: Annotated[
        int | None, typer.Option("--tail", min=0, help="Only the last lines; how many.")
    ] = None,
    with_times: Annotated[
        bool, typer.Option("--times", "-t", help="Show when each line was written.")
    ] = False,
) -> None:
    from jobrunner.store.logs import read_log

    cli = cli_of(ctx)
    store = cli.store()
    job_id = store.job_id(job)
    page = store.run(read_log(store.keys, job_id, tail=tail))
    lines: Iterable[LogLine] = followed(store, job_id, page) if follow else page.lines
    print_lines(cli, lines, with_times=with_times)


def print_lines(cli: CliContext, lines: "Iterable[LogLine]", *, with_times: bool = False) -> None:
    """Write each line as it comes; as JSON, one array that is closed at the end."""
    if cli.json:
        _write_array(cli, lines)
        return
    from jobrunner.cli.foreign import output_line
    from jobrunner.cli.render_logs import line_text

    for line in lines:
        text = line_text(line, cli.zone, with_time=with_times)
        # In a pipe or file, what the job wrote; a terminal would obey it.
        if cli.stdout.isatty():
            text = output_line(text, has_colours=cli.has_colours(cli.stdout))
        cli.write_styled(text)
        cli.stdout.flush()


def _write_array(cli: CliContext, lines: "Iterable[LogLine]") -> None:
    from jobrunner.cli.foreign import json_text
    from jobrunner.cli.render_json import log_line_json

    cli.stdout.write("[")
    for number, line in enumerate(lines):
        cli.stdout.write(f"{',' if number else ''}\n{json_text(log_line_json(line))}")
        cli.stdout.flush()
    cli.stdout.write("\n]\n")


def followed(store: OpenStore, job_id: str, page: "LogPage") -> "Iterator[LogLine]":
    """The page's lines and those after it, as they are written, until the job has ended."""
    from jobrunner.store.logs import follow_log
    from jobrunner.store.records import read_job

    yield from page.lines
    has_ended = False
    while True:
        wait_ms = ENDING_WAIT_MS if page.ended is not None or has_ended else WAIT_MS
        page = store.run(follow_log(store.keys, job_id, page.cursor, wait_ms))
        yield from page.lines
        # One more look after the end was seen: output may have come between the two.
        if has_ended and not page.lines:
            return
        has_ended = store.run(read_job(store.keys, job_id)).is_terminal
