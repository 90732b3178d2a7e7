"""How late the jobs of crons are that all have the same fire time."""

from collections.abc import Iterator, Sequence
from datetime import timedelta

from jobrunner.bench.extent import Extent
from jobrunner.bench.figures import Sample, percentile
from jobrunner.bench.stage import NOOP, Stage
from jobrunner.clock import SystemClock, to_ms
from jobrunner.store.crons import fire_id
from jobrunner.store.keys import Keys
from jobrunner.store.requests import Command, Operation, Pipeline

CRONS = (10, 1_000, 10_000)
QUICK_CRONS = (10, 100)
LEAD_S = 15.0  # from the manifest's writing to the fire time: a busy machine is slow to start it
LEAD_PER_CRON_S = 0.003


def measure_fires(extent: Extent) -> Iterator[Sample]:
    """Crons that fire once, on the same second."""
    for count in QUICK_CRONS if extent.is_quick else CRONS:
        yield from _measure(count, extent.url)


def _measure(count: int, url: str | None) -> Iterator[Sample]:
    lead = timedelta(seconds=LEAD_S + LEAD_PER_CRON_S * count)
    fire_time = (SystemClock().now() + lead).replace(microsecond=0)
    names = [f"cron-{number}" for number in range(count)]
    expression = f"{fire_time:%S %M %H %d %m} *"
    cron = {"task": NOOP, "cron": expression, "timezone": "UTC"}
    with Stage(url, crons=dict.fromkeys(names, cron)) as stage:
        ids = [fire_id(name, fire_time) for name in names]
        stage.note(ids)
        stage.wait_for_ends()
        stage.check()
        made = stage.run(_made_ms(stage.keys, ids))
        ended = stage.ends_ms()
    case = f"{count:,} crons"
    asked_ms = to_ms(fire_time)
    late = [instant - asked_ms for instant in made]
    yield Sample(case, "first", min(late), "ms")
    yield Sample(case, "p50", percentile(late, 0.50), "ms")
    yield Sample(case, "p99", percentile(late, 0.99), "ms")
    yield Sample(case, "all ended", ended[-1] - asked_ms, "ms")


def _made_ms(keys: Keys, job_ids: Sequence[str]) -> Operation[list[int]]:
    """When each job was made, by the store's clock."""
    replies = yield Pipeline(
        [Command(("HGET", keys.job(job_id), "created_at")) for job_id in job_ids]
    )
    return [int(reply) for reply in replies]
