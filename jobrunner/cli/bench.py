"""`jobrunner bench`: how fast this jobrunner is on this machine."""

from typing import TYPE_CHECKING, Annotated

import typer

from jobrunner.cli.context import CliContext
from jobrunner.cli.group import cli_of

if TYPE_CHECKING:
    from jobrunner.bench.extent import Extent

CLEAR_LINE = "\r\x1b[K"

Parts = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="PART",
        help="What to measure: throughput, submit, latency, fires, depth, promotion, network, "
        "memory, recovery, cli; all without one.",
    ),
]
Jobs = Annotated[
    int | None, typer.Option("--jobs", help="Jobs of one run. Default: 20000; quick: 1000.")
]
Repeat = Annotated[
    int | None, typer.Option("--repeat", help="Runs of each part. Default: 3; quick: 1.")
]
Url = Annotated[
    str | None,
    typer.Option(
        "--url",
        help="Run on this store, in a namespace of its own, emptied afterwards; "
        "without it on a server of its own.",
    ),
]
Quick = Annotated[bool, typer.Option("--quick", help="Try it: a short run, figures are rough.")]


def bench(
    ctx: typer.Context,
    parts: Parts = None,
    jobs: Jobs = None,
    repeat: Repeat = None,
    url: Url = None,
    is_quick: Quick = False,
) -> None:
    from jobrunner.bench.conditions import conditions_now
    from jobrunner.bench.suite import measure, parts_named

    cli = cli_of(ctx)
    names = parts_named(parts or [], url)
    extent = _extent(jobs, repeat, url, is_quick)
    conditions = conditions_now(cli.clock.now(), url, is_quick)
    progress = _Progress(cli)
    try:
        figures = measure(names, extent, progress.tell)
    finally:
        progress.clear()
    if cli.json:
        from jobrunner.cli.render_bench import bench_json

        cli.write_json(bench_json(conditions, figures))
    else:
        from jobrunner.cli.render_bench import conditions_text, figures_table

        cli.print(lambda width: figures_table(figures, width))
        cli.write(conditions_text(conditions))


def _extent(jobs: int | None, repeat: int | None, url: str | None, is_quick: bool) -> "Extent":
    from jobrunner.bench.extent import JOBS, QUICK_JOBS, QUICK_REPEAT, REPEAT, Extent

    usual = (QUICK_JOBS, QUICK_REPEAT) if is_quick else (JOBS, REPEAT)
    return Extent(
        usual[0] if jobs is None else jobs, usual[1] if repeat is None else repeat, is_quick, url
    )


class _Progress:
    """One line on a terminal, written over and over; nothing elsewhere."""

    def __init__(self, cli: CliContext) -> None:
        self._stream = cli.stderr
        self._is_shown = cli.stderr.isatty()

    def tell(self, text: str) -> None:
        if self._is_shown:
            self._stream.write(CLEAR_LINE + text)
            self._stream.flush()

    def clear(self) -> None:
        if self._is_shown:
            self._stream.write(CLEAR_LINE)
            self._stream.flush()
