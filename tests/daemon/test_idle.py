"""What an idle daemon costs its store."""

import re
from collections import Counter

from tests.daemon.harness import Project, act, eventually

MANIFEST = f"""
name: demo
workers: {{processes: 2, slots: 8}}
tasks:
  act: {act()}
  aside: {act("queue: aside")}
crons:
  yearly: {{task: act, cron: "0 0 1 1 *", params: {{script: "true"}}}}
"""
WATCH_S = 5
PROCESSES = 3  # the supervisor and two workers


def commands(demo: Project) -> Counter[str]:
    """Calls per command since the server's start; those within scripts count, too."""
    stats = demo.info("commandstats")
    calls = {name: re.match(r"calls=(\d+)", value) for name, value in stats.items()}
    return Counter({name[8:]: int(found[1]) for name, found in calls.items() if found})


def uptime_s(demo: Project) -> int:
    return int(demo.info("server")["uptime_in_seconds"])


def test_an_idle_process_sends_less_than_a_command_a_second_and_never_searches_the_keys() -> None:
    with Project(MANIFEST) as demo:
        demo.start()
        demo.workers_ready(2)
        demo.ended(demo.act("true"))
        demo.workers_ready(2)
        begin, before = uptime_s(demo), commands(demo)

        eventually(lambda: uptime_s(demo) >= begin + WATCH_S, within=20)

        after = commands(demo)
        made = after - before
        for own in ("info", "client|setname", "hello"):
            del made[own]
        round_trips = made["evalsha"] + made["xreadgroup"] + made["blpop"]
        assert round_trips <= PROCESSES * WATCH_S, made
        # No command of these is sent by anybody, ever.
        assert after.keys().isdisjoint({"keys", "scan", "hscan", "zscan", "sscan"})
        # Nothing else than those goes on, besides what is within the scripts.
        assert sum(made.values()) <= PROCESSES * WATCH_S * 8, made
