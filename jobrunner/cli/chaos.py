"""`jobrunner chaos`: prove the promises on this machine and this store."""

import signal
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from jobrunner.cli.context import CliContext
from jobrunner.cli.group import cli_of
from jobrunner.errors import ExitCode, UsageError

if TYPE_CHECKING:
    from jobrunner.chaos.document import Part
    from jobrunner.chaos.report import Report
    from jobrunner.chaos.rounds import Round
    from jobrunner.chaos.scenario import Scenario
    from jobrunner.chaos.suite import Outcome
    from jobrunner.store.address import StoreAddress

SHORT_S = 2.0  # of faults in a round, so that all safe scenarios take about two minutes
SEEDS = 1_000_000  # short to write down
MOST_AT_ONCE = 4  # rounds; each has two to four busy processes


def chaos(
    ctx: typer.Context,
    only: Annotated[
        list[str] | None, typer.Option("--only", metavar="SCENARIO", help="May be repeated.")
    ] = None,
    seed: Annotated[
        int | None, typer.Option("--seed", min=0, help="Play the same faults again.")
    ] = None,
    seconds: Annotated[
        float | None,
        typer.Option("--seconds", min=0.1, max=3600, help=f"Of a round; default: {SHORT_S:g}."),
    ] = None,
    is_full: Annotated[
        bool, typer.Option("--full", help="All rounds in full length, up to 20 minutes.")
    ] = False,
    is_list: Annotated[bool, typer.Option("--list", help="List the scenarios.")] = False,
    has_own_server: Annotated[
        bool,
        typer.Option(
            "--own-server",
            help="Servers of its own instead of your store: also scenarios that harm a server.",
        ),
    ] = False,
    report_file: Annotated[
        Path | None,
        typer.Option("--report", help="Write the report into this Markdown file, too."),
    ] = None,
) -> ExitCode:
    cli = cli_of(ctx)
    if is_full and seconds is not None:
        raise UsageError(
            "--full and --seconds exclude each other",
            why="a full run has rounds of the length that each scenario needs",
            fix="leave one of them out",
        )
    scenarios = _chosen(only or [], is_list or has_own_server)
    if is_list:
        return _list(cli, scenarios, report_file)
    length_s = SHORT_S if seconds is None else seconds
    rounds = _rounds(scenarios, _seed_or_random(seed), length_s, is_full)
    store = None if has_own_server else _reachable_store(cli)
    with _interrupted_once():
        report = _play(cli, rounds, store)
    return _tell(cli, report, report_file)


def _chosen(names: Sequence[str], may_harm: bool) -> "list[Scenario]":
    """Those of these names, or all; only those that harm no server, unless they may."""
    from jobrunner.chaos.catalog import SCENARIOS

    chosen = [scenario for scenario in SCENARIOS if scenario.name in names or not names]
    for name in set(names) - {scenario.name for scenario in chosen}:
        raise _unknown(name, [scenario.name for scenario in SCENARIOS])
    safe = [scenario for scenario in chosen if scenario.is_safe or may_harm]
    if names and len(safe) < len(chosen):
        [harmful, *_] = [scenario.name for scenario in chosen if not scenario.is_safe]
        raise UsageError(
            f"scenario '{harmful}' is not played on your store",
            why="it harms the server, and so all that others do there",
            fix="use --own-server",
        )
    return safe


def _unknown(name: str, names: Sequence[str]) -> UsageError:
    from difflib import get_close_matches

    near = get_close_matches(name, names, n=1)
    listing = "`jobrunner chaos --list` lists all"
    fix = f"use '{near[0]}'; {listing}" if near else listing
    return UsageError(f"there is no scenario '{name}'", fix=fix)


def _list(cli: CliContext, scenarios: "Sequence[Scenario]", file: Path | None) -> ExitCode:
    from jobrunner.chaos.document import Part, scenarios_markdown
    from jobrunner.cli.render_chaos import scenario_json, scenarios_table

    if file is not None:
        _write_part(file, Part.SCENARIOS, scenarios_markdown())
    elif cli.json:
        cli.write_json([scenario_json(scenario) for scenario in scenarios])
    else:
        cli.print(lambda width: scenarios_table(scenarios, width))
    return ExitCode.DONE


def _seed_or_random(seed: int | None) -> int:
    import random

    return random.randrange(SEEDS) if seed is None else seed


def _rounds(
    scenarios: "Sequence[Scenario]", seed: int, seconds: float, is_full: bool
) -> "list[Round]":
    from jobrunner.chaos.rounds import full_rounds, short_rounds

    return full_rounds(scenarios, seed) if is_full else short_rounds(scenarios, seed, seconds)


def _reachable_store(cli: CliContext) -> "StoreAddress":
    """The manifest's. Raises StoreUnavailable."""
    from jobrunner.store.connection import StoreConnection
    from jobrunner.store.requests import Command

    address = cli.store().address
    with StoreConnection(address) as connection:
        connection.execute(Command(("PING",)))
    return address


@contextmanager
def _interrupted_once() -> Iterator[None]:
    """Ctrl-C or TERM ends the rounds, which takes seconds; another one does not cut that off."""

    def interrupt(*_: object) -> None:
        for each in before:
            signal.signal(each, lambda *_: None)
        raise KeyboardInterrupt

    before = {each: signal.signal(each, interrupt) for each in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)


def _play(cli: CliContext, rounds: "Sequence[Round]", store: "StoreAddress | None") -> "Report":
    import os

    from jobrunner.chaos.report import Report
    from jobrunner.chaos.rounds import play_rounds
    from jobrunner.cli.render_chaos import RoundsProgress

    at_once = min(os.cpu_count() or 1, MOST_AT_ONCE)
    begun_at, begun = cli.clock.now(), cli.clock.monotonic()
    outcomes: list[Outcome] = []
    with (
        RoundsProgress(cli, len(rounds)) as progress,
        closing(play_rounds(rounds, store, at_once, progress.begin)) as playing,
    ):
        for outcome in playing:
            outcomes.append(outcome)
            progress.end(outcome)
    return Report(
        sorted(outcomes, key=lambda outcome: _place(outcome, rounds)),
        rounds[0].seed,
        begun_at,
        cli.clock.monotonic() - begun,
        "--own-server" if store is None else "",
    )


def _place(outcome: "Outcome", rounds: "Sequence[Round]") -> int:
    """In the order of the rounds, whichever ended first."""
    places = [(each.scenario.name, each.seed) for each in rounds]
    return places.index((outcome.scenario.name, outcome.seed))


def _tell(cli: CliContext, report: "Report", file: Path | None) -> ExitCode:
    from jobrunner.chaos.document import Part, report_markdown, scenarios_markdown
    from jobrunner.chaos.report import report_json
    from jobrunner.cli.render_chaos import report_screen

    if file is not None:
        _write_part(file, Part.SCENARIOS, scenarios_markdown())
        _write_part(file, Part.REPORT, report_markdown(report))
    if cli.json:
        cli.write_json(report_json(report))
    else:
        cli.print(lambda width: report_screen(report, width))
    return ExitCode.DONE if report.is_good else ExitCode.FAILED


def _write_part(file: Path, part: "Part", content: str) -> None:
    """Into the file, which need not exist. Raises UsageError."""
    from jobrunner.chaos.document import replace_part

    try:
        text = file.read_text() if file.exists() else ""
        file.write_text(replace_part(text, part, content))
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(
            f"the report cannot be written to {file}: {error}", fix="name another file"
        ) from error
