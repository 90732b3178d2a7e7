"""What an idle daemon costs its store."""

import time

from jobrunner.store.connection import StoreConnection
from jobrunner.store.requests import Command
from tests.daemon.harness import Project, act

MANIFEST = f"""
name: demo
workers: {{processes: 2, slots: 8}}
tasks:
  act: {act()}
  aside: {act("queue: aside")}
crons:
  yearly: {{task: act, cron: "0 0 1 1 *", params: {{script: "true"}}}}
"""
WATCH_S = 9.9  # two beats of every loop, of 5 s at most, and no third of any
PROCESSES = 3  # the supervisor and two workers


def test_an_idle_process_sends_about_a_command_a_second_and_never_searches_the_keys() -> None:
    with Project(MANIFEST) as demo:
        demo.start()
        demo.workers_ready(2)
        demo.ended(demo.act("true"))
        demo.disconnect()

        seen = watch(demo)

        sent = [line for line in seen if " lua]" not in line]
        assert 0 < len(sent) <= 1.2 * PROCESSES * WATCH_S, sent
        names = {line.split('"')[1].upper() for line in seen}
        assert names.isdisjoint({"KEYS", "SCAN", "HSCAN", "SSCAN", "ZSCAN"})


def watch(demo: Project) -> list[str]:
    """What the server was asked for some seconds, a line per command; of scripts also the inner."""
    lines = []
    with StoreConnection(demo.client.address) as connection:
        connection.execute(Command(("MONITOR",)))
        end = time.monotonic() + WATCH_S
        while (left := end - time.monotonic()) > 0:
            line = connection.read_push(left)
            if line is not None:
                lines.append(line.decode())
    return lines
