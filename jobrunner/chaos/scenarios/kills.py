"""KILL at random instants under load: of everything that a daemon consists of."""

from jobrunner.chaos.arena import Arena, Setting
from jobrunner.chaos.faults import Faults
from jobrunner.chaos.load import Habits
from jobrunner.chaos.scenario import Scenario

# A server that is killed again while it starts may be away for some seconds, on a busy machine.
LONG_LEASE_S = 10.0
BUSY = Habits(clients=3, per_s=90, bulk=200, bulks=0.1)


def kill_anything(arena: Arena) -> None:
    """The processes of the daemons, in turn and all at once."""
    faults = Faults(arena)
    kinds = {
        faults.kill_worker: 8,
        faults.kill_workers: 2,
        faults.kill_host: 5,
        faults.kill_command: 3,
        faults.kill_group: 3,
        faults.kill_supervisor: 1,
    }
    for _ in arena.moments(per_s=4):
        [kill] = arena.rng.choices(list(kinds), list(kinds.values()))
        site = arena.rng.choice(arena.sites)
        if site.is_alive():
            kill(site)
        else:
            site.spawn()


def kill_server(arena: Arena) -> None:
    """The embedded server, which its daemon starts again."""
    faults = Faults(arena)
    for _ in arena.moments(per_s=0.5):
        faults.kill_server()
        arena.server_answers()


SCENARIOS = (
    Scenario(
        "kill-anything",
        "Workers, function hosts, commands, process groups and supervisors are killed at random "
        "under load; nothing is lost, and nothing runs twice for any other reason.",
        kill_anything,
        lambda: Setting(habits=BUSY),
        seconds=15,
        rounds=8,
    ),
    Scenario(
        "kill-one-of-two-daemons",
        "Two daemons on one store are killed in turn; jobs of one go on with the other.",
        kill_anything,
        lambda: Setting(sites=2, habits=BUSY),
        seconds=15,
        rounds=4,
    ),
    Scenario(
        "kill-server",
        "The embedded server is killed under load and comes back with all its jobs.",
        kill_server,
        lambda: Setting(is_embedded=True, lease_s=LONG_LEASE_S, habits=BUSY),
        seconds=12,
        rounds=2,
        is_safe=False,
    ),
)
