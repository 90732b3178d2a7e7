"""A bad network between daemons and their store: away, half-open, resetting, slow."""

import time
from collections.abc import Callable, Sequence
from enum import StrEnum
from functools import partial

from jobrunner.chaos.arena import Arena, Setting
from jobrunner.chaos.history import NOBODY
from jobrunner.chaos.load import Habits
from jobrunner.chaos.proxy import FaultProxy
from jobrunner.chaos.scenario import Scenario
from jobrunner.chaos.scenarios.kills import LONG_LEASE_S
from jobrunner.chaos.site import Site
from jobrunner.chaos.tasks import Declaration, usual_tasks

# An outage shorter than this share of a lease costs nobody its trust: that lasts for nine tenths,
# and a third may have passed since the last renewal. The rest is for machines that are busy.
HARMLESS = 0.3
LEASE_S = 5.0  # a tenth is the margin, in which a busy machine has to kill all jobs

DELAY_S = 0.05  # of a slow network, each way
CALM = Habits(per_s=30, bulks=0.02)  # clients go past the proxy, and never pause


class Outage(StrEnum):
    """What a network that is down does to a connection."""

    REFUSED = "refused"  # it is reset, and new ones are closed
    HALF_OPEN = "half-open"  # it hangs

    def begin(self, proxy: FaultProxy) -> None:
        if self is Outage.REFUSED:
            proxy.refuse()
        else:
            proxy.cut()


def short_outages(arena: Arena) -> None:
    """Shorter than what a lease bears."""
    [proxy] = start_behind_proxies(arena)
    for _ in arena.moments(per_s=0.7):
        lasting_s = arena.rng.uniform(0.1, HARMLESS) * LONG_LEASE_S
        _be_away(arena, proxy, lasting_s, "short", NOBODY)


def long_outage(outage: Outage, arena: Arena) -> None:
    """The store is away for all of the round, which is longer than the leases."""
    [proxy] = start_behind_proxies(arena)
    supervisor = arena.site.pid
    next(iter(arena.moments(per_s=1)), None)  # the first jobs have begun
    lasting_s = max(arena.seconds, 1.5 * LEASE_S)
    _be_away(arena, proxy, lasting_s, "long", _workers(arena.site), outage)
    if not arena.site.is_alive() or arena.site.pid != supervisor:
        arena.notes.problems.append("the supervisor did not outlive an outage")


def cut_off_one_of_two(arena: Arena) -> None:
    """One daemon cannot reach the store, while the other takes over its jobs."""
    proxies = start_behind_proxies(arena)
    for _ in arena.moments(per_s=1):
        number = arena.rng.randrange(len(proxies))
        lasting_s = arena.rng.uniform(1.3, 2.5) * LEASE_S
        _be_away(arena, proxies[number], lasting_s, "long", _workers(arena.sites[number]))


def resets(arena: Arena) -> None:
    """All connections end, and new ones work."""
    [proxy] = start_behind_proxies(arena)
    for _ in arena.moments(per_s=2):
        arena.recorder.fault("reset", NOBODY)
        proxy.reset()


def slow_network(arena: Arena) -> None:
    """Each request takes so much longer."""
    [proxy] = start_behind_proxies(arena)
    with arena.recorder.lasting("slow"):
        proxy.slow(DELAY_S)
        time.sleep(arena.seconds)
        proxy.slow(0)


def start_behind_proxies(arena: Arena) -> Sequence[FaultProxy]:
    """Start the arena, each daemon with a proxy of its own before its store."""
    proxies = [arena.keep(FaultProxy(arena.address)) for _ in arena.sites]
    for site, proxy in zip(arena.sites, proxies, strict=True):
        arena.url = proxy.address.url
        site.write(arena.manifest())
        site.spawn()
    for site in arena.sites:
        site.wait_until_ready()
    arena.load.start()
    return proxies


def lasting_leases(lease_s: float, hosts: Sequence[str] = ()) -> Setting:
    """Locks last as long as leases do."""
    tasks = usual_tasks(lock_ttl_s=lease_s)
    return Setting(Declaration(tasks), len(hosts) or 1, hosts, lease_s, habits=CALM)


def _be_away(
    arena: Arena,
    proxy: FaultProxy,
    lasting_s: float,
    how: str,
    pids: Sequence[int] | str,
    outage: Outage | None = None,
) -> None:
    """An outage, of a random kind by default; the attempts of `pids` may run again for it."""
    outage = outage or arena.rng.choice(list(Outage))
    name = f"{how}-{outage}"
    with arena.recorder.lasting(name, pids):
        outage.begin(proxy)
        time.sleep(lasting_s)
        proxy.restore()


def _workers(site: Site) -> list[int]:
    return [worker.pid for worker in site.workers()]


def _scenario(
    name: str,
    promise: str,
    play: Callable[[Arena], None],
    setting: Callable[[], Setting],
    seconds: float,
) -> Scenario:
    return Scenario(name, promise, play, setting, seconds, starts_by_itself=True)


SCENARIOS = (
    _scenario(
        "short-outages",
        "The store cannot be reached, or connections hang half-open, for less than what a lease "
        "bears: no job runs twice for that.",
        short_outages,
        partial(lasting_leases, LONG_LEASE_S),
        25,
    ),
    _scenario(
        "store-away",
        "The store cannot be reached for 30 s: jobs are killed before their lease ends, and run "
        "again when it is back; the daemon goes on by itself.",
        partial(long_outage, Outage.REFUSED),
        partial(lasting_leases, LEASE_S),
        30,
    ),
    _scenario(
        "half-open",
        "All connections hang for longer than a lease, and requests of the time arrive late: jobs "
        "are killed before, and nothing that arrives late does harm.",
        partial(long_outage, Outage.HALF_OPEN),
        partial(lasting_leases, LEASE_S),
        30,
    ),
    _scenario(
        "cut-off-one-of-two",
        "One of two daemons is cut off from the store, and the other takes its jobs: what the "
        "first had running is dead before, and its locks are given to nobody else earlier.",
        cut_off_one_of_two,
        partial(lasting_leases, LEASE_S, ("first", "second")),
        40,
    ),
    _scenario(
        "resets",
        "Connections end at random under load: nothing is lost, and nothing runs twice.",
        resets,
        partial(lasting_leases, LONG_LEASE_S),
        15,
    ),
    _scenario(
        "slow-network",
        "The network takes 50 ms each way: everything goes on, only later.",
        slow_network,
        partial(lasting_leases, LONG_LEASE_S),
        15,
    ),
)
