"""Measures all rows in rotation, so that a slow minute of the machine hits all of them alike."""

import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from benchmarks.catalog import AT_ONCE, OVERVIEW, PEERS, Peer
from benchmarks.commands import RUNNERS, processors
from benchmarks.environments import interpreter
from benchmarks.overviews import OVERVIEWS, answer_in_turn
from benchmarks.required import JOBRUNNER
from benchmarks.trial import RATE, Amount, try_peer
from jobrunner.bench.extent import Extent
from jobrunner.bench.figures import Figure, Sample, figures_of
from jobrunner.bench.suite import PARTS
from jobrunner.errors import JobrunnerError

# What only jobrunner is measured by. Its throughput is measured beside that of its peers.
OWN_PARTS = tuple(part for part in PARTS if part != "throughput")
# It has a million jobs, and takes a minute.
ONCE = ("promotion",)
# Of a command until it has answered, and of `jobrunner status` in turn with it.
TIME, OURS = "time", "jobrunner status"

RowName = tuple[str, str]  # its part, and whose it is


@dataclass(frozen=True, slots=True)
class Row:
    """One peer in one case, or jobrunner in one part of its own benchmark."""

    part: str
    name: str
    measure: Callable[[], Iterable[Sample]]
    is_repeated: bool = True


@dataclass(frozen=True, slots=True)
class Plan:
    """How much each row does. `cache` has the environments of the peers."""

    amount: Amount
    commands: int
    own: Extent
    repeat: int
    cache: Path


@dataclass(frozen=True, slots=True)
class Results:
    """`failures` says why a row has no figures."""

    figures: Sequence[Figure]
    failures: Mapping[RowName, str]


def rows_of(names: Sequence[str], plan: Plan) -> list[Row]:
    """The rows of these peers; all for none."""
    rows = [
        *(
            Row(case, peer.name, partial(_try, peer, case, plan))
            for peer in PEERS
            for case in peer.setups
        ),
        *(
            Row(case, name, partial(_try_command, name, plan.commands, AT_ONCE[case]))
            for case in AT_ONCE
            for name in RUNNERS
        ),
        *(Row(OVERVIEW, name, partial(_answer, name, plan)) for name in OVERVIEWS),
        *(
            Row(part, JOBRUNNER, partial(PARTS[part], plan.own), part not in ONCE)
            for part in OWN_PARTS
        ),
    ]
    return [row for row in rows if row.name in names or not names]


def measure_rows(rows: Sequence[Row], repeat: int, tell: Callable[[str], None]) -> Results:
    """Measure each row so often; one that fails has no figures, and is left out from then on.

    `tell` is given what begins, then how long it took.
    """
    samples: dict[RowName, list[Sample]] = {(row.part, row.name): [] for row in rows}
    failures: dict[RowName, str] = {}
    for number in range(repeat):
        for row in rows:
            name = (row.part, row.name)
            if name in failures or (number and not row.is_repeated):
                continue
            tell(f"run {number + 1} of {repeat}: {row.name}, {row.part} … ")
            begun = time.monotonic()
            try:
                samples[name] += row.measure()
            except Exception as failure:  # whatever it is: the figures of the others are kept
                failures[name] = _reason(failure)
                del samples[name]
            tell(f"{time.monotonic() - begun:.1f} s {failures.get(name, '')}\n")
    found = ((part, sample) for (part, _), each in samples.items() for sample in each)
    return Results(figures_of(found), failures)


def _reason(failure: Exception) -> str:
    """In one line."""
    why = failure.why if isinstance(failure, JobrunnerError) else None
    said = f"{failure}: {why}" if why else str(failure) or type(failure).__name__
    return f"failed: {' '.join(said.split())}"


def _try(peer: Peer, case: str, plan: Plan) -> Iterator[Sample]:
    is_other = bool(peer.environment)
    python = interpreter(peer.environment, plan.cache) if is_other else Path(sys.executable)
    yield from try_peer(peer, case, python, plan.amount)


def _try_command(name: str, count: int, per_processor: int) -> Iterator[Sample]:
    yield Sample(name, RATE, RUNNERS[name](count, per_processor * processors()), "/s")


def _answer(name: str, plan: Plan) -> Iterator[Sample]:
    overview = OVERVIEWS[name]
    python = interpreter(overview.peer, plan.cache)
    answers = answer_in_turn(overview, python, plan.amount.bulk, plan.own)
    yield Sample(name, TIME, answers.theirs * 1000, "ms")
    yield Sample(name, OURS, answers.ours * 1000, "ms")
