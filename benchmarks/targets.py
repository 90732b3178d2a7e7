"""What jobrunner must reach, on two processors, as medians of the same run."""

from benchmarks.catalog import ASYNC, COMMANDS, SYNC
from benchmarks.required import ANY, JOBRUNNER, Requirement, Spot
from benchmarks.trial import BULK, P50, P99, RATE, SINGLE

NOOP = Spot(ASYNC, JOBRUNNER, RATE)
HOSTED = Spot(SYNC, JOBRUNNER, RATE)
COMMAND = Spot(COMMANDS, JOBRUNNER, RATE)
ALL_RATES = (Spot(ASYNC, ANY, RATE), Spot(SYNC, ANY, RATE))


def _latency(figure: str) -> tuple[Spot, ...]:
    return (Spot(ASYNC, ANY, figure), Spot(SYNC, ANY, figure))


TARGETS = (
    Requirement("async: × stock taskiq", NOOP, (Spot(ASYNC, "taskiq", RATE),), at_least=15),
    Requirement("async: × the best peer", NOOP, ALL_RATES, at_least=2),
    Requirement(
        "async: × the bare synchronous loop", NOOP, (Spot(SYNC, "bare_sync", RATE),), at_least=0.8
    ),
    Requirement(
        "sync: × stock taskiq in threads", HOSTED, (Spot(SYNC, "taskiq", RATE),), at_least=3
    ),
    Requirement("sync: × huey", HOSTED, (Spot(SYNC, "huey", RATE),), at_least=1.5),
    Requirement(
        "command: × a bare subprocess.Popen loop",
        COMMAND,
        (Spot(COMMANDS, "bare subprocess.Popen", RATE),),
        at_least=0.7,
    ),
    Requirement(
        "command: × task-spooler", COMMAND, (Spot(COMMANDS, "task-spooler", RATE),), at_least=3
    ),
    Requirement(
        "submit, one awaited at a time: × huey",
        Spot(SYNC, JOBRUNNER, SINGLE),
        (Spot(SYNC, "huey", SINGLE),),
        at_least=1,
    ),
    Requirement(
        "submit, bulk: × stock taskiq's kiq",
        Spot(ASYNC, JOBRUNNER, BULK),
        (Spot(ASYNC, "taskiq", SINGLE),),
        at_least=20,
    ),
    Requirement("idle latency p50, ms", Spot(ASYNC, JOBRUNNER, P50), at_most=1),
    Requirement("idle latency p99, ms", Spot(ASYNC, JOBRUNNER, P99), at_most=2.5),
    Requirement(
        "idle latency p50: × the best peer", Spot(ASYNC, JOBRUNNER, P50), _latency(P50), at_most=1
    ),
    Requirement(
        "idle latency p99: × the best peer", Spot(ASYNC, JOBRUNNER, P99), _latency(P99), at_most=1
    ),
)
