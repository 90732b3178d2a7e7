"""What jobrunner must reach, on two processors, as medians of the same run."""

from benchmarks.catalog import ASYNC, COMMANDS, MANY_COMMANDS, OVERVIEW, SYNC
from benchmarks.required import ANY, JOBRUNNER, Requirement, Spot
from benchmarks.suite import OURS, TIME
from benchmarks.trial import BULK, P50, P99, RATE, RESIDENT, SINGLE
from jobrunner.bench.network import OF_MANY

NOOP = Spot(ASYNC, JOBRUNNER, RATE)
HOSTED = Spot(SYNC, JOBRUNNER, RATE)
CRONS = "1,000 crons"
MANY = "100,000 queued"
DUE = "1,000,000 due"
IDLE = "idle daemon"
ALL_RATES = (Spot(ASYNC, ANY, RATE), Spot(SYNC, ANY, RATE))


def _latency(figure: str) -> tuple[Spot, ...]:
    return (Spot(ASYNC, ANY, figure), Spot(SYNC, ANY, figure))


def _commands(what: str, case: str, other: str, at_least: float) -> Requirement:
    theirs = Spot(case, other, RATE)
    return Requirement(
        f"{what}: × {other}", Spot(case, JOBRUNNER, RATE), (theirs,), at_least=at_least
    )


def _status(other: str) -> Requirement:
    ours, theirs = Spot(OVERVIEW, other, OURS), Spot(OVERVIEW, other, TIME)
    return Requirement(f"status: × {other}", ours, (theirs,), at_most=1)


def _further(what: str, case: str) -> Requirement:
    near, far = (
        Spot("network", f"{longer}{case}", "rate") for longer in ("0 ms longer", "1 ms longer")
    )
    return Requirement(
        f"round trip to the store 1 ms longer, {what}: × the rate", far, (near,), at_least=0.7
    )


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
    _commands("command, one per processor", COMMANDS, "bare subprocess.Popen", 0.7),
    _commands("command, eight per processor", MANY_COMMANDS, "bare subprocess.Popen", 0.7),
    _commands("command, one per processor", COMMANDS, "task-spooler", 3),
    _commands("command, eight per processor", MANY_COMMANDS, "task-spooler", 3),
    Requirement(
        "submit, one awaited at a time: × huey",
        Spot(SYNC, JOBRUNNER, SINGLE),
        (Spot(SYNC, "huey", SINGLE),),
        at_least=1,
    ),
    Requirement(
        "submit --batch: lines/s",
        Spot("submit", "--batch lines", "rate"),
        at_least=30_000,
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
    Requirement("1,000 crons at once: p99 late, ms", Spot("fires", CRONS, "p99"), at_most=250),
    Requirement("1,000 crons at once: first late, ms", Spot("fires", CRONS, "first"), at_most=20),
    Requirement(
        "1,000,000 queued: × the rate at 10,000",
        Spot("depth", "1,000,000 queued", "rate"),
        (Spot("depth", "10,000 queued", "rate"),),
        at_least=0.85,
    ),
    Requirement(
        "1,000,000 due at once: longest store command, ms",
        Spot("promotion", DUE, "longest store command"),
        at_most=10,
    ),
    Requirement(
        "1,000,000 due at once: other submits p99, ms",
        Spot("promotion", DUE, "other submits, p99"),
        at_most=100,
    ),
    Requirement("store per queued job, B", Spot("depth", MANY, "store, queued"), at_most=700),
    Requirement("store per finished job, B", Spot("depth", MANY, "store, finished"), at_most=600),
    Requirement("idle daemon, MB", Spot("memory", IDLE, "all"), at_most=150),
    Requirement("supervisor, MB", Spot("memory", IDLE, "supervisor"), at_most=50),
    Requirement("worker, resident, MB", Spot("memory", IDLE, "worker, resident"), at_most=95),
    Requirement(
        "worker, resident: × stock taskiq's",
        Spot(ASYNC, JOBRUNNER, RESIDENT),
        (Spot(ASYNC, "taskiq", RESIDENT),),
        at_most=1,
    ),
    Requirement(
        "idle daemon, % of a processor", Spot("memory", IDLE, "processor of all"), at_most=0.5
    ),
    Requirement(
        "start to the end of the first job, ms",
        Spot("recovery", "daemon's start", "first job has ended"),
        at_most=1000,
    ),
    Requirement(
        "status with 100,000 finished jobs: × imports alone",
        Spot("cli", "status", "against imports alone"),
        at_most=1.5,
    ),
    _status("rq info"),
    _status("celery status"),
    _further("one worker process", ""),
    _further(OF_MANY, f", {OF_MANY}"),
)
