"""A process that does nothing but keep a worker's lease, and tells what happens to it.

A process, since a heartbeat that lost its lease ends the process that it is in.
"""

import json
import sys
import time
from datetime import timedelta

from jobrunner.clock import SystemClock
from jobrunner.heartbeat import Heartbeat, HeartbeatEvents
from jobrunner.runner.processes import ProcessRegistry
from jobrunner.store.address import StoreAddress
from jobrunner.store.connection import StoreConnection
from jobrunner.store.keys import Keys
from jobrunner.store.leases import LockLease


def main() -> None:
    settings = json.loads(sys.argv[1])
    address = StoreAddress(settings["name"], socket=settings["socket"])
    clock = SystemClock()
    events = HeartbeatEvents(
        lambda: print("lease_lost", flush=True),
        lambda job_id: print("lock_lost", job_id, flush=True),
        lambda job_ids: print("cancel", *job_ids, flush=True),
    )
    heartbeat = Heartbeat(
        Keys(address.name),
        StoreConnection(address),
        clock,
        "w1",
        ProcessRegistry("w1"),
        events,
        timedelta(seconds=settings["ttl_s"]),
        timedelta(seconds=settings["hold_on_s"]),
    )
    heartbeat.start()
    for lock in settings["locks"]:
        heartbeat.hold(LockLease(**lock), clock.monotonic())
    print("beating", flush=True)
    time.sleep(60)


if __name__ == "__main__":
    main()
