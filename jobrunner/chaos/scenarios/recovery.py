"""How long it takes from the KILL of a worker until its jobs have started elsewhere."""

import time
from collections.abc import Iterable

from jobrunner.chaos.arena import Arena, Setting
from jobrunner.chaos.faults import Faults
from jobrunner.chaos.history import EffectKind, read_history
from jobrunner.chaos.scenario import Scenario
from jobrunner.chaos.site import until
from jobrunner.client.sync import Client
from jobrunner.store.leases import LEASE_TTL

ON_THIS_HOST = "from the kill of a worker to the new start, same host"
ELSEWHERE = "from the kill of a daemon to the new start, other host"
JOBS = 6
LASTING_MS = 3_000  # longer than the kill takes to come
LASTING_ELSEWHERE_MS = 12_000  # and longer than a daemon takes to start, on a busy machine
PATIENCE_S = 60.0


def recover_here(arena: Arena) -> None:
    """Again and again: jobs run, their worker is killed, another one of the daemon has them."""
    faults = Faults(arena)
    end = time.monotonic() + arena.seconds
    while time.monotonic() < end:
        jobs = _running_jobs(arena)
        killed_at = time.monotonic()
        faults.kill_workers(arena.site)
        _wait_for_second_starts(arena, jobs)
        arena.notes.figures[ON_THIS_HOST].append(time.monotonic() - killed_at)
        _wait_for_ends(arena, jobs)


def recover_elsewhere(arena: Arena) -> None:
    """A whole daemon dies, and is not started again; one of another host takes its jobs."""
    faults = Faults(arena)
    first, second = arena.sites
    first.start()
    jobs = _running_jobs(arena, LASTING_ELSEWHERE_MS)
    second.start()
    killed_at = time.monotonic()
    faults.kill_supervisor(first)
    _wait_for_second_starts(arena, jobs)
    arena.notes.figures[ELSEWHERE].append(time.monotonic() - killed_at)
    _wait_for_ends(arena, jobs)


def _running_jobs(arena: Arena, lasting_ms: int = LASTING_MS) -> list[str]:
    address = arena.address
    with Client(address.name, address.url, socket=address.socket) as client:
        refs = client.submit_many("work", [{"ms": lasting_ms}] * JOBS)
    jobs = [ref.id for ref in refs]
    arena.load.acknowledged.update(dict.fromkeys(jobs, "work"))
    until(lambda: _starts(arena, jobs) >= len(jobs), PATIENCE_S, "the jobs have started")
    return jobs


def _wait_for_second_starts(arena: Arena, jobs: list[str]) -> None:
    until(lambda: _starts(arena, jobs) >= 2 * len(jobs), PATIENCE_S, "all have started again")


def _wait_for_ends(arena: Arena, jobs: list[str]) -> None:
    address = arena.address
    with Client(address.name, address.url, socket=address.socket) as client:
        client.wait(jobs, PATIENCE_S)


def _starts(arena: Arena, jobs: Iterable[str]) -> int:
    effects = read_history(arena.history_path).by_job()
    return sum(effect.kind is EffectKind.START for job in jobs for effect in effects.get(job, ()))


SCENARIOS = (
    Scenario(
        "recover-on-the-host",
        "A killed worker's jobs start again within a second on the same host.",
        recover_here,
        lambda: Setting(habits=None, lease_s=LEASE_TTL.total_seconds()),
        seconds=20,
        bounds={ON_THIS_HOST: 1.0},
    ),
    Scenario(
        "recover-on-another-host",
        "A killed daemon's jobs start again within 20 seconds on another host.",
        recover_elsewhere,
        lambda: Setting(
            sites=2, hosts=("first", "second"), habits=None, lease_s=LEASE_TTL.total_seconds()
        ),
        seconds=1,
        bounds={ELSEWHERE: 20.0},
        starts_by_itself=True,
    ),
)
