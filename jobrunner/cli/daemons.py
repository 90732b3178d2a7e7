"""The daemon on this host that has the manifest's state folder: found and signalled by pid."""

import os
import signal
import socket
from dataclasses import dataclass

from jobrunner.cli.context import CliContext
from jobrunner.errors import IllegalTransition, StoreUnavailable
from jobrunner.locate import Located
from jobrunner.state import RunningDaemon, read_daemon


@dataclass(frozen=True, slots=True)
class LocalDaemon:
    """A running daemon and what it runs."""

    located: Located
    daemon: RunningDaemon

    @property
    def is_running(self) -> bool:
        """Whether it is still the same process that has the folder."""
        now = read_daemon(self.located.state_folder)
        return now is not None and now.pid == self.daemon.pid

    def send(self, number: signal.Signals) -> None:
        """Send it a signal. Raises IllegalTransition when it is another user's."""
        try:
            os.kill(self.daemon.pid, number)
        except ProcessLookupError:
            return  # it ended by itself: whoever asked for its end will see that
        except PermissionError as error:
            raise IllegalTransition(
                f"cannot signal the daemon, pid {self.daemon.pid}: it belongs to another user",
                fix="run as the user of the daemon, e.g. with `sudo -u USER`",
            ) from error


def find_daemon(cli: CliContext) -> LocalDaemon:
    """The manifest's daemon on this host. Raises StoreUnavailable when none runs here."""
    located = cli.located()
    daemon = read_daemon(located.state_folder)
    if daemon is None:
        raise StoreUnavailable(
            f"no daemon of {located.manifest} runs on this host",
            why=f"nobody has its state folder {located.state_folder}",
            fix="start it with `jobrunner run`, or ask on the host where it runs",
        )
    if daemon.host != socket.gethostname():
        raise StoreUnavailable(
            f"the daemon of {located.manifest} runs on {daemon.host}, pid {daemon.pid}",
            why="a daemon can be signalled on its own host only",
            fix=f"run this command on {daemon.host}",
        )
    return LocalDaemon(located, daemon)
