"""The results as Markdown: what the terminal shows, and what docs/performance.md keeps."""

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

from benchmarks.catalog import ASYNC, AT_ONCE, COMMANDS, MANY_COMMANDS, OVERVIEW, PEERS, SYNC
from benchmarks.required import Verdict
from benchmarks.suite import OURS, OWN_PARTS, TIME, Results
from benchmarks.trial import BULK, P50, P99, RATE, RESIDENT, SERVER, SINGLE, WORKER
from jobrunner.bench.conditions import Conditions
from jobrunner.bench.figures import Figure

DOCUMENT = Path(__file__).parents[1] / "docs" / "performance.md"
BEGIN, END = "<!-- measured -->\n", "<!-- end of measured -->\n"
COLUMNS = {
    RATE: "jobs/s",
    WORKER: "worker µs/job",
    SERVER: "server µs/job",
    RESIDENT: "worker MB",
    SINGLE: "submit/s",
    BULK: "bulk submit/s",
    P50: "latency p50 ms",
    P99: "p99 ms",
}
HEADINGS = {
    ASYNC: "asynchronous no-op",
    SYNC: "synchronous no-op",
    COMMANDS: "command `true`, one at a time per processor",
    MANY_COMMANDS: "command `true`, eight at a time per processor",
}
NONE = "–"


def report(results: Results, verdicts: Sequence[Verdict], conditions: Conditions, how: str) -> str:
    """All of it. `how` says how much was measured, and how often."""
    parts = [conditions_text(conditions, how)]
    parts += [case_table(case, results) for case in HEADINGS]
    parts += [overview_table(results), own_table(results), verdict_table(verdicts)]
    return "\n".join(part for part in parts if part)


def conditions_text(conditions: Conditions, how: str) -> str:
    """What the figures depend on."""
    return (
        f"{date_text(conditions.at)}: jobrunner {conditions.version}, Python {conditions.python}, "
        f"{conditions.system}, {conditions.processors} processors; {conditions.store}. {how}\n"
    )


def date_text(at: datetime) -> str:
    return at.strftime("%Y-%m-%d")


def case_table(case: str, results: Results) -> str:
    """A row per peer, the fastest first; those that failed say why. Empty for no rows."""
    figures = {(each.case, each.name): each for each in results.figures if each.part == case}
    names = sorted(
        {name for name, _ in figures}, key=lambda name: -_median(figures.get((name, RATE)))
    )
    failed = {name: why for (part, name), why in results.failures.items() if part == case}
    if not names and not failed:
        return ""
    columns = [RATE] if case in AT_ONCE else list(COLUMNS)
    lines = [
        f"| {HEADINGS[case]} | {' | '.join(COLUMNS[column] for column in columns)} |",
        "|---|" + "---:|" * len(columns),
    ]
    lines += [
        f"| {title_of(case, name)} | "
        + " | ".join(cell(figures.get((name, column))) for column in columns)
        + " |"
        for name in names
    ]
    lines += [_failed_row(title_of(case, name), why) for name, why in failed.items()]
    return "\n".join(lines) + "\n"


def overview_table(results: Results) -> str:
    """Commands that tell how things are, each beside ours. Empty without a peer's."""
    failed = {name: why for (part, name), why in results.failures.items() if part == OVERVIEW}
    figures = {(each.case, each.name): each for each in results.figures if each.part == OVERVIEW}
    if not figures and not failed:
        return ""
    lines = [f"| tells how things are | ms | `{OURS}` in turn with it, ms |", "|---|---:|---:|"]
    lines += [
        f"| {name} | {cell(figures.get((name, TIME)))} | {cell(figures.get((name, OURS)))} |"
        for name in sorted({name for name, _ in figures})
    ]
    lines += [_failed_row(name, why) for name, why in failed.items()]
    return "\n".join(lines) + "\n"


def own_table(results: Results) -> str:
    """What jobrunner alone was measured by. Empty for nothing."""
    failed = {part: why for (part, _), why in results.failures.items() if part in OWN_PARTS}
    figures = [figure for figure in results.figures if figure.part in OWN_PARTS]
    if not figures and not failed:
        return ""
    lines = ["| jobrunner alone | case | figure | measured |", "|---|---|---|---:|"]
    lines += [
        f"| {each.part} | {each.case} | {each.name}, {each.unit} | {cell(each)} |"
        for each in figures
    ]
    lines += [_failed_row(part, why) for part, why in failed.items()]
    return "\n".join(lines) + "\n"


def verdict_table(verdicts: Sequence[Verdict]) -> str:
    """Each requirement with its figure."""
    lines = ["| must reach | at least | measured | |", "|---|---:|---:|---|"]
    return "\n".join([*lines, *map(_verdict_row, verdicts)]) + "\n"


def _failed_row(name: str, why: str) -> str:
    return f"| {name} | {why.replace('|', '/')} |"


def _verdict_row(verdict: Verdict) -> str:
    required = verdict.requirement
    bound = (
        f"{required.at_least:g}" if required.at_most is None else f"at most {required.at_most:g}"
    )
    if verdict.value is None:
        return f"| {required.what} | {bound} | {NONE} | not measured |"
    reached = "reached" if verdict.is_reached else "**not reached**"
    return f"| {required.what} | {bound} | {number(verdict.value)} | {reached} |"


def cell(figure: Figure | None) -> str:
    """The median, with the range where there is one."""
    if figure is None:
        return NONE
    if len(figure.values) == 1:
        return number(figure.median)
    return f"{number(figure.median)} ({number(figure.low)}–{number(figure.high)})"


def number(value: float) -> str:
    """With the digits that count."""
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def title_of(case: str, name: str) -> str:
    """How a row is called; with its setup, for a peer."""
    titles = {
        peer.name: f"{peer.title} ({peer.setups[case]})" for peer in PEERS if case in peer.setups
    }
    return titles.get(name, name)


def with_measured(document: str, text: str) -> str:
    """The document with this text between its markers."""
    before, _, rest = document.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n{text}\n{END}{after}"


def _median(figure: Figure | None) -> float:
    return figure.median if figure else 0.0
