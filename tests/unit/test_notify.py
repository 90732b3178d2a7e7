"""What systemd hears over the notify socket."""

import logging
import os
import socket
import sys
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from jobrunner.clock import SystemClock
from jobrunner.notify import Notifier, take_notifier


class Listener:
    """The service manager's end of the socket."""

    def __init__(self, address: str) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(address)
        self._socket.setblocking(False)

    def heard(self) -> list[str]:
        """All messages since the last call; a datagram is there as soon as it was sent."""
        messages = []
        try:
            while True:
                messages.append(self._socket.recv(4096).decode())
        except BlockingIOError:
            return messages

    def close(self) -> None:
        self._socket.close()


@pytest.fixture
def path(tmp_path: Path) -> str:
    return str(tmp_path / "notify")


@pytest.fixture
def listener(path: str) -> Iterator[Listener]:
    listener = Listener(path)
    yield listener
    listener.close()


def test_each_state_is_sent_as_systemd_names_it(listener: Listener, path: str) -> None:
    with Notifier(path) as notifier:
        notifier.ready("2 workers")
        notifier.status("1 job running")
        notifier.watchdog()
        notifier.main_pid(4711)
        notifier.stopping()

    assert listener.heard() == [
        "READY=1\nSTATUS=2 workers",
        "STATUS=1 job running",
        "WATCHDOG=1",
        "MAINPID=4711",
        "STOPPING=1",
    ]


def test_a_reload_carries_the_monotonic_time_in_microseconds(listener: Listener, path: str) -> None:
    before = SystemClock().monotonic()

    with Notifier(path) as notifier:
        notifier.reloading("reading jobs.yaml")

    [message] = listener.heard()
    state, usec, status = message.split("\n")
    assert (state, status) == ("RELOADING=1", "STATUS=reading jobs.yaml")
    sent = int(usec.removeprefix("MONOTONIC_USEC=")) / 1_000_000
    assert before - 1e-6 <= sent <= SystemClock().monotonic()


def test_a_status_of_two_lines_sets_no_second_variable(listener: Listener, path: str) -> None:
    with Notifier(path) as notifier:
        notifier.status("failed:\nMAINPID=1")

    assert listener.heard() == ["STATUS=failed: MAINPID=1"]


@pytest.mark.skipif(sys.platform != "linux", reason="abstract sockets are Linux's")
def test_an_abstract_socket_is_reached() -> None:
    name = f"jobrunner-test-{os.getpid()}"
    listener = Listener("\0" + name)

    with Notifier("@" + name) as notifier:
        notifier.ready()

    assert listener.heard() == ["READY=1"]
    listener.close()


def test_the_variables_are_taken_out_of_the_environment(listener: Listener, path: str) -> None:
    environ = {
        "NOTIFY_SOCKET": path,
        "WATCHDOG_USEC": "30000000",
        "WATCHDOG_PID": str(os.getpid()),
        "HOME": "/root",
    }

    with take_notifier(environ) as notifier:
        notifier.ready()

    assert environ == {"HOME": "/root"}
    assert listener.heard() == ["READY=1"]


@pytest.mark.parametrize(
    ("variables", "every"),
    [
        ({"WATCHDOG_USEC": "30000000"}, timedelta(seconds=15)),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": str(os.getpid())}, timedelta(seconds=15)),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "1"}, None),
        ({"WATCHDOG_USEC": "soon"}, None),
        ({}, None),
    ],
)
def test_the_watchdog_is_fed_twice_per_interval_by_the_watched_process_only(
    variables: dict[str, str], every: timedelta | None
) -> None:
    assert take_notifier(dict(variables)).watchdog_every == every


def test_without_a_service_manager_nothing_happens() -> None:
    with take_notifier({}) as notifier:
        notifier.ready()
        notifier.stopping("bye")


def test_a_vanished_service_manager_is_logged_and_harmless(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with Notifier(str(tmp_path / "gone")) as notifier, caplog.at_level(logging.WARNING):
        notifier.watchdog()

    assert "could not notify the service manager" in caplog.text
