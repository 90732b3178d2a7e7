"""A fresh PostgreSQL for one run, set up to lose as little in a crash as the other server does."""

import os
import shutil
import subprocess
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import Self

import psutil

from benchmarks.failure import PeerFailed

PORT = "5432"  # only the name of the socket depends on it
USER = "postgres"  # of the database, and of the system when this runs as root, which it refuses
READY_S = 30.0
LOOK_S = 0.05
END_S = 10.0
# What was committed may be lost for up to three times this delay: about the second that the
# append-only file may lose.
SETTINGS = {
    "synchronous_commit": "off",
    "wal_writer_delay": "300ms",
    "listen_addresses": "",
    "port": PORT,
}


class PostgresServer:
    """Started and removed with its folder. As `Server`; its socket is a folder."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="jr-bench-"))
        self._data = self.folder / "data"
        self._user = USER if os.geteuid() == 0 else None
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def socket(self) -> str:
        return str(self._data)

    def usage_s(self) -> float:
        """Processor time of all its processes so far."""
        if self._process is None:
            return 0.0
        server = psutil.Process(self._process.pid)
        total = 0.0
        for process in (server, *server.children(recursive=True)):
            with suppress(psutil.NoSuchProcess):
                total += sum(process.cpu_times()[:4])
        return total

    def __enter__(self) -> Self:
        try:
            self._start()
        except (OSError, LookupError, subprocess.SubprocessError) as error:
            self._remove()
            raise PeerFailed(f"PostgreSQL cannot be started: {error}") from error
        return self

    def _start(self) -> None:
        initdb, postgres = _found("initdb"), _found("postgres")
        self._data.mkdir(mode=0o700)
        if self._user:
            self.folder.chmod(0o755)
            shutil.chown(self._data, self._user)
        command = [initdb, "--no-sync", "--auth=trust", f"--username={USER}", "-D", str(self._data)]
        subprocess.run(command, user=self._user, check=True, capture_output=True, cwd="/")
        options = [f"--{name}={value}" for name, value in SETTINGS.items()]
        with (self.folder / "server.log").open("wb") as log:
            self._process = subprocess.Popen(
                [
                    postgres,
                    "-D",
                    str(self._data),
                    f"--unix_socket_directories={self._data}",
                    *options,
                ],
                user=self._user,
                stdout=log,
                stderr=log,
                cwd="/",
            )
        give_up_at = time.monotonic() + READY_S
        while "ready to accept" not in (self.folder / "server.log").read_text():
            if self._process.poll() is not None or time.monotonic() > give_up_at:
                raise PeerFailed("PostgreSQL does not start: see initdb and postgres")
            time.sleep(LOOK_S)

    def __exit__(self, *_: object) -> None:
        self._remove()

    def _remove(self) -> None:
        if self._process is not None:
            self._process.terminate()
            try:
                self._process.wait(END_S)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        shutil.rmtree(self.folder, ignore_errors=True)


def _found(name: str) -> str:
    found = shutil.which(name)
    if found is None:
        raise PeerFailed(f"{name} is not installed")
    return found
