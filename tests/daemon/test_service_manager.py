"""What systemd is told by the real daemon, and what it tells."""

import signal
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from jobrunner.model import JobState
from tests.daemon.harness import PATIENT, Daemon, Project, act, eventually

Projects = Callable[..., Project]

MANIFEST = f"""
name: demo
workers: {{processes: 1}}
tasks:
  act: {act()}
"""


class ServiceManager:
    """The receiving end of a notify socket."""

    def __init__(self, path: Path) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(str(path))
        self._socket.setblocking(False)
        self.messages: list[list[str]] = []

    def has_got(self, line: str, since: int = 0) -> bool:
        self._read()
        return any(line in message for message in self.messages[since:])

    def mark(self) -> int:
        """Where the messages to come begin."""
        self._read()
        return len(self.messages)

    def states(self) -> list[str]:
        """What is not a sign of life."""
        self._read()
        firsts = [message[0] for message in self.messages]
        return [first for first in firsts if not first.startswith(("WATCHDOG", "STATUS"))]

    def close(self) -> None:
        self._socket.close()

    def _read(self) -> None:
        while True:
            try:
                self.messages.append(self._socket.recv(4096).decode().splitlines())
            except BlockingIOError:
                return


@pytest.fixture
def demo(project: Projects) -> Project:
    made: Project = project(MANIFEST)
    return made


@pytest.fixture
def manager(demo: Project) -> Iterator[ServiceManager]:
    listening = ServiceManager(demo.folder / "notify")
    yield listening
    listening.close()


def start(demo: Project, **environ: str) -> Daemon:
    return demo.start(environ={"NOTIFY_SOCKET": str(demo.folder / "notify"), **environ})


def test_the_daemon_tells_of_start_reload_and_stop_and_no_job_can_speak_for_it(
    demo: Project, manager: ServiceManager
) -> None:
    daemon = start(demo)
    eventually(lambda: manager.has_got("READY=1"))
    assert manager.has_got("STATUS=1 workers, 1 tasks, 0 crons")
    silent = demo.act('[ -z "${NOTIFY_SOCKET-}${WATCHDOG_USEC-}${WATCHDOG_PID-}" ]')
    assert demo.ended(silent).state is JobState.COMPLETED
    daemon.signal(signal.SIGHUP)
    daemon.wait_for_log("INFO reloaded")
    daemon.stop()

    assert manager.states() == ["READY=1", "RELOADING=1", "READY=1", "STOPPING=1"]
    [reloading] = [message for message in manager.messages if message[0] == "RELOADING=1"]
    assert reloading[1].startswith("MONOTONIC_USEC=")


def test_a_refused_manifest_ends_the_reload_and_is_told_in_the_status(
    demo: Project, manager: ServiceManager
) -> None:
    daemon = start(demo)
    demo.write("name: demo\ntasks: nonsense\n")

    daemon.signal(signal.SIGHUP)
    daemon.wait_for_log("refused the manifest")

    eventually(lambda: manager.states() == ["READY=1", "RELOADING=1", "READY=1"])
    statuses = [line for message in manager.messages for line in message if "refused" in line]
    assert statuses


def test_the_watchdog_is_fed_also_while_the_daemon_drains(
    demo: Project, manager: ServiceManager
) -> None:
    daemon = start(demo, WATCHDOG_USEC="200000")
    demo.running(demo.act(PATIENT))
    eventually(lambda: manager.has_got("WATCHDOG=1"))

    daemon.signal(signal.SIGTERM)
    eventually(lambda: manager.has_got("STOPPING=1"))
    mark = manager.mark()

    eventually(lambda: manager.has_got("WATCHDOG=1", since=mark))
    (demo.folder / "running").unlink()
    assert daemon.ended() == 0
