"""Processes that are stopped, or do not react, without being dead."""

import time
from dataclasses import replace

import psutil

from jobrunner.chaos.arena import Arena, Setting
from jobrunner.chaos.faults import Faults
from jobrunner.chaos.history import NOBODY
from jobrunner.chaos.load import Habits
from jobrunner.chaos.scenario import Scenario
from jobrunner.chaos.tasks import Declaration, Kind, usual_tasks
from jobrunner.client.sync import Client

LEASE_S = 2.0
CALM = Habits(clients=2, per_s=40, bulks=0.02)
# A worker that is held cannot answer a cancel: its supervisor ends it for that, as it should.
UNCANCELLED = replace(CALM, cancels=0)


def stop_beyond_the_lease(arena: Arena) -> None:
    """A worker is stopped until its jobs were given to others, then goes on as if nothing was."""
    faults = Faults(arena)
    for _ in arena.moments(per_s=0.5):
        workers = arena.site.workers()
        if workers:
            lasting = LEASE_S * arena.rng.uniform(1.5, 3)
            faults.stop(arena.rng.choice(workers), lasting, excuses=True)


def stop_for_a_moment(arena: Arena) -> None:
    """Stops far shorter than a lease cost nothing."""
    faults = Faults(arena)
    for _ in arena.moments(per_s=1):
        victims = [*arena.site.workers(), psutil.Process(arena.site.pid)]
        faults.stop(arena.rng.choice(victims), LEASE_S / 5, excuses=False)


def hold_the_worker(arena: Arena) -> None:
    """Tasks that do not let their worker's loop, or its interpreter, go on for several leases."""
    address = arena.address
    ms = int(LEASE_S * 3000)
    with Client(address.name, address.url, socket=address.socket) as client:
        end = time.monotonic() + arena.seconds
        while time.monotonic() < end:
            task = arena.rng.choice(["block", "hold"])
            arena.recorder.fault(task, NOBODY)
            jobs = [client.submit(task, {"ms": ms}), client.submit("locked-hold", {"ms": ms})]
            arena.load.acknowledged.update({job.id: task for job in jobs})
            client.wait([job.id for job in jobs], 20 * LEASE_S)


def _holders() -> Declaration:
    lock = {"name": "held", "ttl": f"{LEASE_S}s", "conflict": "wait"}

    def kind(function: str, **keys: object) -> Kind:
        return Kind({"python": f"jobrunner.chaos.work:{function}", **keys}, weight=0)

    return Declaration(
        tasks={
            **usual_tasks(),
            "block": kind("block"),
            "hold": kind("hold"),
            "locked-hold": kind("hold", lock=lock),
        }
    )


SCENARIOS = (
    Scenario(
        "stop-beyond-the-lease",
        "A worker that is stopped (SIGSTOP) for longer than its lease and goes on afterwards: its "
        "writes are refused, and what it had started is dead before others start its jobs.",
        stop_beyond_the_lease,
        lambda: Setting(lease_s=LEASE_S, habits=CALM),
        seconds=25,
        rounds=2,
    ),
    Scenario(
        "stop-for-a-moment",
        "A worker or supervisor that is stopped for a part of its lease: no job runs twice.",
        stop_for_a_moment,
        lambda: Setting(lease_s=LEASE_S, habits=CALM),
        seconds=15,
    ),
    Scenario(
        "hold-the-worker",
        "A task that blocks its worker's loop, or holds the interpreter lock, for several leases: "
        "neither its job nor any other of the worker runs twice, and its lock stays its own.",
        hold_the_worker,
        lambda: Setting(_holders(), lease_s=LEASE_S, habits=UNCANCELLED),
        seconds=20,
    ),
)
