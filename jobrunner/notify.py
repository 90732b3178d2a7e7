"""What systemd is told of the daemon: sd_notify(3), in a few lines, without a library."""

import os
import socket
from collections.abc import MutableMapping
from datetime import timedelta
from types import TracebackType

from jobrunner.clock import SystemClock
from jobrunner.log import EventLog

# A service manager that does not read must not stall the daemon's loop for longer, and not at all
# by what is sent again and again.
SEND_TIMEOUT_S = 1.0


class Notifier:
    """Sends states to the service manager; does nothing where there is none.

    A notification that cannot be sent is logged and forgotten: the jobs matter more.
    """

    def __init__(self, address: str | None, watchdog_every: timedelta | None = None) -> None:
        """`address` as in NOTIFY_SOCKET: a path, or a name in the abstract namespace after `@`."""
        self.watchdog_every = watchdog_every  # how often to call `watchdog`; None: never
        self._log = EventLog()
        self._address = _socket_address(address) if address else None
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) if address else None

    def __enter__(self) -> "Notifier":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the socket; later notifications go nowhere."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def ready(self, status: str = "") -> None:
        """The start, or the reload, is finished."""
        self._send("READY=1", status)

    def reloading(self, status: str = "") -> None:
        """A reload begins; `ready` ends it."""
        microseconds = int(SystemClock().monotonic() * 1_000_000)
        self._send(f"RELOADING=1\nMONOTONIC_USEC={microseconds}", status)

    def stopping(self, status: str = "") -> None:
        """The stop begins."""
        self._send("STOPPING=1", status)

    def status(self, text: str) -> None:
        """One line for `systemctl status`."""
        self._send("", text, may_wait=False)

    def watchdog(self) -> None:
        """The daemon is alive; due every `watchdog_every`."""
        self._send("WATCHDOG=1", may_wait=False)

    def main_pid(self, pid: int) -> None:
        """The process that systemd should take for the daemon."""
        self._send(f"MAINPID={pid}")

    def _send(self, state: str, status: str = "", *, may_wait: bool = True) -> None:
        if self._socket is None or self._address is None:
            return
        lines = [state] if state else []
        if status:
            # A line break would begin another variable.
            lines.append(f"STATUS={' '.join(status.splitlines())}")
        self._socket.settimeout(SEND_TIMEOUT_S if may_wait else 0)
        try:
            self._socket.sendto("\n".join(lines).encode(), self._address)
        except OSError as error:
            self._log.warning("could not notify the service manager", error=error)


def take_notifier(environ: MutableMapping[str, str]) -> Notifier:
    """The notifier that the environment asks for; its variables are removed.

    So that no job, nor the embedded server, can speak for the daemon.
    """
    address = environ.pop("NOTIFY_SOCKET", None)
    usec = environ.pop("WATCHDOG_USEC", "")
    pid = environ.pop("WATCHDOG_PID", str(os.getpid()))
    is_watched = usec.isdecimal() and int(usec) > 0 and pid == str(os.getpid())
    # Half of it, as sd_watchdog_enabled(3) advises: one late beat is forgiven.
    return Notifier(address, timedelta(microseconds=int(usec)) / 2 if is_watched else None)


def _socket_address(address: str) -> str:
    return "\0" + address[1:] if address.startswith("@") else address
