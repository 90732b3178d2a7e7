"""Measures all rows in rotation, so that a slow minute of the machine hits all of them alike."""

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from benchmarks.catalog import COMMANDS, PEERS, Peer
from benchmarks.commands import RUNNERS
from benchmarks.environments import interpreter
from benchmarks.failure import PeerFailed
from benchmarks.trial import RATE, Amount, try_peer
from jobrunner.bench.figures import Figure, Sample, figures_of


@dataclass(frozen=True, slots=True)
class Row:
    """One peer in one case."""

    case: str
    name: str
    measure: Callable[[], Iterator[Sample]]


@dataclass(frozen=True, slots=True)
class Results:
    """`failures` says why a row, by case and name, has no figures, or not those of all runs."""

    figures: Sequence[Figure]
    failures: Mapping[tuple[str, str], str]


def rows_of(names: Sequence[str], amount: Amount, commands: int, cache: Path) -> list[Row]:
    """The rows of these peers; all for none."""
    rows = [
        Row(case, peer.name, partial(_try, peer, case, amount, cache))
        for peer in PEERS
        for case in peer.setups
    ]
    rows += [Row(COMMANDS, name, partial(_try_command, name, commands)) for name in RUNNERS]
    return [row for row in rows if row.name in names or not names]


def measure_rows(rows: Sequence[Row], repeat: int, tell: Callable[[str], None]) -> Results:
    """Measure each row so often; one that fails is left out of the runs that follow."""
    samples: list[tuple[str, Sample]] = []
    failures: dict[tuple[str, str], str] = {}
    for number in range(repeat):
        for row in rows:
            if (row.case, row.name) in failures:
                continue
            tell(f"run {number + 1} of {repeat}: {row.name}, {row.case}")
            try:
                samples += [(row.case, sample) for sample in row.measure()]
            except PeerFailed as failure:
                failures[row.case, row.name] = str(failure)
    return Results(figures_of(samples), failures)


def _try(peer: Peer, case: str, amount: Amount, cache: Path) -> Iterator[Sample]:
    python = interpreter(peer.environment, cache) if peer.environment else Path(sys.executable)
    yield from try_peer(peer, case, python, amount)


def _try_command(name: str, count: int) -> Iterator[Sample]:
    yield Sample(name, RATE, RUNNERS[name](count), "/s")
