"""Runs parts, repeated in rotation: a slow minute of the machine then hits all parts alike."""

from collections.abc import Callable, Iterator, Mapping, Sequence

from jobrunner.bench.clistart import measure_cli
from jobrunner.bench.depth import measure_depth
from jobrunner.bench.extent import Extent
from jobrunner.bench.figures import Figure, Sample, figures_of
from jobrunner.bench.fires import measure_fires
from jobrunner.bench.latency import measure_latency
from jobrunner.bench.memory import measure_memory
from jobrunner.bench.network import measure_network
from jobrunner.bench.promotion import measure_promotion
from jobrunner.bench.recovery import measure_recovery
from jobrunner.bench.submitting import measure_submit
from jobrunner.bench.throughput import measure_throughput
from jobrunner.chaos.site import Stuck
from jobrunner.errors import JobrunnerError, UsageError

Measure = Callable[[Extent], Iterator[Sample]]
Tell = Callable[[str], None]  # what is being done now, one line

OWN_SERVER = "network"  # the part that runs on no other server

PARTS: Mapping[str, Measure] = {
    "throughput": measure_throughput,
    "submit": measure_submit,
    "latency": measure_latency,
    "fires": measure_fires,
    "depth": measure_depth,
    "promotion": measure_promotion,
    OWN_SERVER: measure_network,
    "memory": measure_memory,
    "recovery": measure_recovery,
    "cli": measure_cli,
}


def parts_named(names: Sequence[str], url: str | None = None) -> list[str]:
    """These parts in the order of the benchmark; for none all that there are for the store.

    Raises UsageError.
    """
    unknown = [name for name in names if name not in PARTS]
    if unknown:
        raise UsageError(
            f"the benchmark has no part '{unknown[0]}'", fix=f"its parts are {', '.join(PARTS)}"
        )
    if url is not None and OWN_SERVER in names:
        raise UsageError(
            f"the part '{OWN_SERVER}' does not run on a given store",
            why="it puts a distance between the daemon and a server of its own",
            fix="leave out --url for this part",
        )
    others = [name for name in PARTS if url is None or name != OWN_SERVER]
    return [name for name in others if name in names or not names]


def measure(parts: Sequence[str], extent: Extent, tell: Tell) -> list[Figure]:
    """Run the parts as often as asked for.

    Raises NotDelivered, StoreUnavailable, and JobrunnerError for a daemon that hangs.
    """
    samples: list[tuple[str, Sample]] = []
    for number in range(extent.repeat):
        for part in parts:
            tell(f"{part}, run {number + 1} of {extent.repeat}")
            for sample in _samples(part, extent):
                samples.append((part, sample))
                tell(f"{part}, run {number + 1} of {extent.repeat}: {sample.case}")
    return figures_of(samples)


def _samples(part: str, extent: Extent) -> Iterator[Sample]:
    try:
        yield from PARTS[part](extent)
    except Stuck as error:
        raise JobrunnerError(
            f"the benchmark's part '{part}' is stuck",
            why=str(error),
            fix="run it again on a quieter machine; if it is stuck there as well, report it",
        ) from error
