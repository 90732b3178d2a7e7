"""Measure jobrunner and its peers side by side, and print the table.

A full run of all peers also writes it into docs/performance.md. Peers that are missing are
installed into environments of their own below --cache, from PyPI.
"""

import argparse
import sys
from pathlib import Path

from benchmarks.catalog import PEERS
from benchmarks.commands import RUNNERS
from benchmarks.environments import versions
from benchmarks.overviews import OVERVIEWS
from benchmarks.report import DOCUMENT, report, with_measured
from benchmarks.required import judge
from benchmarks.suite import ONCE, Plan, measure_rows, rows_of
from benchmarks.targets import TARGETS
from benchmarks.trial import Amount
from jobrunner.bench.conditions import conditions_now
from jobrunner.bench.extent import QUICK_JOBS, Extent
from jobrunner.clock import SystemClock

CACHE = Path("~/.cache/jobrunner-bench")
FULL, QUICK = Amount(5_000, 50_000, 500), Amount(200, 2_000, 50)
FULL_COMMANDS, QUICK_COMMANDS = 2_000, 300
REPEAT = 3


def main() -> None:
    """The command line."""
    options = _parser().parse_args()
    plan = _plan(options.quick, options.repeat, options.cache.expanduser())
    conditions = conditions_now(SystemClock().now(), None, options.quick)
    results = measure_rows(rows_of(options.peers, plan), plan.repeat, _tell)
    verdicts = judge(TARGETS, results.figures, [peer.name for peer in PEERS if peer.is_limit])
    text = report(results, verdicts, conditions, _plan_text(plan))
    sys.stdout.write(text)
    if not (options.quick or options.peers):
        DOCUMENT.write_text(with_measured(DOCUMENT.read_text(), text))


def _plan(is_quick: bool, repeat: int | None, cache: Path) -> Plan:
    if is_quick:
        own = Extent(QUICK_JOBS, is_quick=True)
        return Plan(QUICK, QUICK_COMMANDS, own, repeat or 1, cache)
    return Plan(FULL, FULL_COMMANDS, Extent(), repeat or REPEAT, cache)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    names = sorted({*(peer.name for peer in PEERS), *RUNNERS, *OVERVIEWS})
    parser.add_argument("peers", nargs="*", metavar="PEER", choices=[*names, []], help="only these")
    parser.add_argument("--quick", action="store_true", help="a short run, whose figures are rough")
    parser.add_argument("--repeat", type=int, help=f"runs; {REPEAT}, quick: 1")
    parser.add_argument("--cache", type=Path, default=CACHE, help="of environments; %(default)s")
    return parser


def _plan_text(plan: Plan) -> str:
    return (
        f"Medians of {plan.repeat} runs in rotation, with their ranges; {' and '.join(ONCE)} once. "
        f"A run: as many jobs as the peer performs in some seconds, at most "
        f"{plan.amount.single:,} submitted one by one and {plan.amount.bulk:,} in bulk, then "
        f"performed by one worker process; {plan.amount.latencies:,} latencies at most; "
        f"{plan.commands:,} commands. Versions: {versions()}."
    )


def _tell(text: str) -> None:
    """Progress: a line per row."""
    sys.stderr.write(text)
    sys.stderr.flush()


if __name__ == "__main__":
    main()
