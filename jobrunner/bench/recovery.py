"""How soon work goes on: after a worker or the server was killed, and after a daemon's start."""

import os
import signal
import time
from collections.abc import Iterator
from contextlib import suppress

from jobrunner.bench.extent import Extent
from jobrunner.bench.figures import Sample
from jobrunner.bench.stage import NOOP, PATIENCE_S, WORK, Stage
from jobrunner.chaos.site import until
from jobrunner.chaos.tasks import Kind
from jobrunner.errors import StoreUnavailable
from jobrunner.model import Job, JobState
from jobrunner.store.leases import read_workers

LINGER = "linger"
LINGER_S = 2.0  # longer than a recovery takes
KILLS = 5
RECORDS = 50_000  # jobs that have ended: what the server reads at its start
TASKS = {
    NOOP: Kind({"python": f"{WORK}:noop"}),
    LINGER: Kind({"python": f"{WORK}:linger", "record": "eager"}),
}


def measure_recovery(extent: Extent) -> Iterator[Sample]:
    """Kills of a worker beside which there is another one; then a start with a queued job."""
    with Stage(extent.url, TASKS, processes=2) as stage:
        for _ in range(extent.scaled(KILLS)):
            yield Sample("killed worker", "job runs again", _kill_worker(stage) * 1000, "ms")
            stage.wait_for_workers()
        stage.check(attempts=2)
    with Stage(extent.url, is_embedded=extent.url is None) as stage:
        yield Sample("daemon's start", "first job has ended", _start(stage) * 1000, "ms")
        stage.check()
    if extent.url is None:
        with Stage(None, is_embedded=True) as stage:
            yield from _kill_server(stage, extent.scaled(RECORDS))
            stage.check()


def _kill_server(stage: Stage, records: int) -> Iterator[Sample]:
    """The embedded server reads at its start what these jobs have written."""
    stage.warm_up(NOOP, records)
    info = stage.info("persistence")
    written = int(info["aof_current_size"])
    pid = int(stage.info("server")["process_id"])
    begun = time.perf_counter()
    os.kill(pid, signal.SIGKILL)
    until(lambda: _serves_another(stage, pid), PATIENCE_S, "the server serves again")
    taken = time.perf_counter() - begun
    stage.warm_up(NOOP, 1)
    yield Sample("killed server", "serves again", taken * 1000, "ms")
    yield Sample("killed server", "its file", written / 1e6, "MB")


def _serves_another(stage: Stage, pid: int) -> bool:
    with suppress(StoreUnavailable):  # away, or loading
        stage.size(stage.keys.running())
        return int(stage.info("server")["process_id"]) != pid
    return False


def _kill_worker(stage: Stage) -> float:
    """Seconds from the kill to the next attempt of the job that ran there."""
    job_id = stage.client.submit(LINGER, {"seconds": LINGER_S}).id
    stage.note([job_id], is_counted=False)  # the call of the killed worker has no result
    until(lambda: stage.client.job(job_id).state is JobState.RUNNING, PATIENCE_S, "the job runs")
    pid = _worker_pid(stage, stage.client.job(job_id))
    begun = time.perf_counter()
    stage.kill(pid)
    until(lambda: stage.client.job(job_id).attempt > 1, PATIENCE_S, "the job runs again")
    taken = time.perf_counter() - begun
    stage.client.wait([job_id], PATIENCE_S)
    return taken


def _worker_pid(stage: Stage, job: Job) -> int:
    return next(each.pid for each in stage.run(read_workers(stage.keys)) if each.id == job.worker)


def _start(stage: Stage) -> float:
    """Seconds from `jobrunner run` to the end of a job that was queued.

    An embedded server is started by it, and reads its file.
    """
    stage.site.stop()
    with stage.server_alone():
        stage.submit(NOOP, 1)
    begun = time.perf_counter()
    stage.site.spawn_like_users()
    stage.wait_for_ends()
    taken = time.perf_counter() - begun
    stage.site.wait_until_ready()
    return taken
