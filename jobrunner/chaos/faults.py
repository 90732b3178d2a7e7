"""What is done to processes: each fault is in the history before it happens."""

import os
import signal
from collections.abc import Sequence
from contextlib import suppress

import psutil

from jobrunner.chaos.arena import Arena
from jobrunner.chaos.history import NOBODY
from jobrunner.chaos.site import Site, Stuck, until
from jobrunner.runner.proctable import started_at

DEATH_S = 20.0


class Faults:
    """The faults of one arena, at random victims where a kind is named."""

    def __init__(self, arena: Arena) -> None:
        self._arena = arena
        self._recorder = arena.recorder

    def kill(
        self, name: str, pids: Sequence[int], whose: Sequence[int] | str | None = None
    ) -> None:
        """KILL processes. `whose` attempts may run again for it: by default those of the pids."""
        self._recorder.fault(f"kill-{name}", pids if whose is None else whose)
        for pid in pids:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

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
        self._recorder.fault("kill-group", [pid])
        with suppress(ProcessLookupError):
            os.killpg(pid, signal.SIGKILL)  # a command leads its group
        return True

    def kill_supervisor(self, site: Site) -> bool:
        """The workers die with it. It is not started again here."""
        self.kill("supervisor", [site.pid], whose=site.pids())
        site.wait()
        return True

    def kill_server(self) -> bool:
        """The store's server; no job may run again for that."""
        pid = self.server_pid()
        self.kill("server", [pid], whose=NOBODY)
        until(lambda: started_at(pid) is None, DEATH_S, "the server is dead")
        return True

    def server_pid(self) -> int:
        """Raises Stuck when there is no server of this round, or it does not answer."""
        pid = self._arena.server.pid() if self._arena.server else None
        if pid is None:
            raise Stuck("this round's server does not answer")
        return pid
