"""What is done to processes: each fault is in the history before it happens."""

import os
import signal
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress

import psutil

from jobrunner.chaos.arena import Arena
from jobrunner.chaos.history import NOBODY
from jobrunner.chaos.site import Site, Stuck, until, workers_of
from jobrunner.runner.proctable import can_run, descendants, started_at
from jobrunner.store.checks import info_fields
from jobrunner.store.connection import StoreConnection
from jobrunner.store.requests import Command

DEATH_S = 20.0
WRITE_S = 30.0
HELD_BACK = ("aof_buffer_length", "aof_pending_bio_fsync")  # of INFO persistence


class Faults:
    """The faults of one arena, at random victims where a kind is named."""

    def __init__(self, arena: Arena) -> None:
        self._arena = arena
        self._recorder = arena.recorder

    def kill(self, name: str, pids: Sequence[int]) -> None:
        """KILL processes; return when they and all that they had started are dead.

        The jobs of all these may run again for it. Raises Stuck when one lives on.
        """
        victims = freeze(pids)
        with self._recorder.lasting(f"kill-{name}", victims):
            _signal(pids, signal.SIGKILL)
            until(lambda: not _living(victims), DEATH_S, f"all are dead: {victims}")

    def kill_one(self, name: str, victims: Sequence[psutil.Process]) -> bool:
        """KILL one of them; false when there is none."""
        if victims:
            self.kill(name, [self._arena.rng.choice(victims).pid])
        return bool(victims)

    def kill_worker(self, site: Site) -> bool:
        return self.kill_one("worker", site.workers())

    def kill_workers(self, site: Site) -> bool:
        """All of them at once."""
        pids = [worker.pid for worker in site.workers()]
        if pids:
            self.kill("workers", pids)
        return bool(pids)

    def kill_host(self, site: Site) -> bool:
        return self.kill_one("host", site.hosts())

    def kill_command(self, site: Site) -> bool:
        """The command's first process: its job fails, and is not run again."""
        return self.kill_one("command", site.commands())

    def kill_group(self, site: Site) -> bool:
        """A command's process group."""
        commands = site.commands()
        if not commands:
            return False
        pid = self._arena.rng.choice(commands).pid
        with self._recorder.lasting("kill-group", [pid]):
            with suppress(ProcessLookupError):
                os.killpg(pid, signal.SIGKILL)  # a command leads its group
            until(lambda: not _living([pid]), DEATH_S, f"the command {pid} is dead")
        return True

    def kill_supervisor(self, site: Site) -> bool:
        """All that its workers had started dies with it. It is not started again here."""
        freeze([site.pid])
        victims = freeze([worker.pid for worker in site.workers()])
        with self._recorder.lasting("kill-supervisor", victims):
            site.signal(signal.SIGKILL)
            site.wait()
            until(lambda: not _living(victims), DEATH_S, f"all are dead: {victims}")
        return True

    def kill_server(self) -> bool:
        """The store's server; no job may run again for that.

        Not while it holds writes back, up to 2 s, for a disk that is at the last ones: with
        `everysec` it may lose these (`machine-crash-everysec` sees to what is lost then).
        """
        until(self._has_written_all, WRITE_S, "the server has given all to the disk")
        pid = self.server_pid()
        with self._recorder.lasting("kill-server"):
            os.kill(pid, signal.SIGKILL)
            until(lambda: not _living([pid]), DEATH_S, "the server is dead")
        return True

    def _has_written_all(self) -> bool:
        with StoreConnection(self._arena.address) as connection:  # the arena's is to survive
            info = info_fields(connection.execute(Command(("INFO", "persistence"))))
        return all(info[name] == "0" for name in HELD_BACK)

    def stop(self, process: psutil.Process, lasting_s: float, *, excuses: bool) -> None:
        """STOP a process for so many seconds, then CONT. `excuses`: its jobs may run again."""
        name = "stop" if excuses else "stop-shortly"
        victims = [process.pid, *descendants(process.pid)]
        with (
            self._recorder.lasting(name, victims if excuses else NOBODY),
            suppress(psutil.NoSuchProcess),
        ):
            process.suspend()
            time.sleep(lasting_s)
            process.resume()

    @contextmanager
    def suspended(self) -> Iterator[None]:
        """The machine sleeps: nothing of the daemons runs. No job may run again for that.

        The server goes on, to be told of its new clock; with nobody to ask it, it sleeps as well.
        """
        pids = [pid for site in self._arena.sites for pid in (site.pid, *descendants(site.pid))]
        with self._recorder.lasting("suspend"):
            _signal(pids, signal.SIGSTOP)
            yield
            _signal(pids, signal.SIGCONT)

    def server_pid(self) -> int:
        """Raises Stuck when there is no server of this round, or it does not answer."""
        pid = self._arena.server.pid() if self._arena.server else None
        if pid is None:
            raise Stuck("this round's server does not answer")
        return pid


def freeze(pids: Sequence[int]) -> list[int]:
    """Stop processes that will be killed, and the workers they started: the number of their
    victims must not grow between the look and the kill. Returns all of these.
    """
    _stop(pids)
    _stop([worker.pid for pid in pids for worker in workers_of(pid)])
    return [*pids, *(pid for parent in pids for pid in descendants(parent))]


def _stop(pids: Sequence[int]) -> None:
    _signal(pids, signal.SIGSTOP)
    until(lambda: not any(map(can_run, pids)), DEATH_S, f"all are stopped: {pids}")


def _living(pids: Iterable[int]) -> list[int]:
    return [pid for pid in pids if started_at(pid) is not None]


def _signal(pids: Iterable[int], number: signal.Signals) -> None:
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, number)
