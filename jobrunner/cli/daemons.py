"""The daemon on this host that has the manifest's state folder: found and signalled by pid."""

import errno
import os
import signal
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial

from jobrunner.cli.context import CliContext
from jobrunner.errors import IllegalTransition, StoreUnavailable
from jobrunner.locate import Located
from jobrunner.state import RunningDaemon, holds_lock, read_daemon


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
        """Send it a signal, and nobody who only was named as the daemon.

        Raises IllegalTransition when it is another user's, or no daemon of the state folder.
        """
        pid = self.daemon.pid
        try:
            with _pinned(pid) as send:
                if not holds_lock(self.located.state_folder, pid):
                    if self.is_running:
                        raise _not_the_daemon(pid, self.located)
                    return  # it has ended meanwhile
                send(number)
        except ProcessLookupError:
            return  # it ended by itself: whoever asked for its end will see that
        except PermissionError as error:
            raise IllegalTransition(
                f"cannot signal the daemon, pid {pid}: it belongs to another user",
                fix="run as the user of the daemon, e.g. with `sudo -u USER`",
            ) from error


@contextmanager
def _pinned(pid: int) -> Iterator[Callable[[signal.Signals], None]]:
    """Sends signals to the process that has this pid now, whoever has it later."""
    if not hasattr(os, "pidfd_open") or not hasattr(signal, "pidfd_send_signal"):
        yield partial(os.kill, pid)
        return
    try:
        opened = os.pidfd_open(pid)
    except OSError as error:
        if error.errno not in (errno.ENOSYS, errno.EPERM):  # an old kernel, a sandbox
            raise
        yield partial(os.kill, pid)
        return
    try:
        yield partial(signal.pidfd_send_signal, opened)
    finally:
        os.close(opened)


def _not_the_daemon(pid: int, located: Located) -> IllegalTransition:
    return IllegalTransition(
        f"process {pid} is not signalled: it is no daemon of {located.state_folder}",
        why="the folder's lock file names it, but it does not hold the lock",
        fix="look who does: `fuser -v` and the lock file tell",
    )


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
