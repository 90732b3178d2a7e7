"""The embedded server: found, started, adopted and stopped.

It listens on a Unix socket in a private folder and on no port. It lives in a session of its
own, so that it survives a killed daemon; the next daemon adopts it. While it lives it holds a
lock on `server.lock`, inherited at its start: the kernel frees that lock when the server ends,
however it ends. So nobody starts a second server on the same append-only file, and no pid has
to be trusted.
"""

import os
import shutil
import subprocess
import time
from contextlib import suppress
from enum import StrEnum
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import psutil

from jobrunner.embedded.binary import AUTO, Choice, find_binary, server_environ
from jobrunner.embedded.files import ServerFiles, is_locked, try_lock
from jobrunner.embedded.versions import Program, data_file, running_program
from jobrunner.errors import StoreUnavailable
from jobrunner.log import EventLog
from jobrunner.store.address import StoreAddress
from jobrunner.store.checks import info_fields
from jobrunner.store.connection import StoreConnection
from jobrunner.store.failures import ReplyError
from jobrunner.store.patience import Patience
from jobrunner.store.requests import Command

LOG_LINES = 5  # of the server's log, in an error
LOG_LIMIT = 1_000_000  # bytes; a longer log is set aside at the next start
POLL_S = 0.002  # while a server starts or stops: it takes 20 to 50 ms
SLOW_POLL_S = 0.05  # while it loads its data
START_PATIENCE_S = 15.0  # until a started server answers at all; it may load data after that
ANSWER_S = 10.0  # longer than a busy server needs
TERM_PATIENCE_S = 2.0
STOP_PATIENCE_S = 10.0  # for writing the last second to disk
KILL_PATIENCE_S = 5.0
SMALL_FILE = 64 << 20  # bytes; is read in 2 s at a start
LARGE_FILE = 2 << 30  # bytes; what two million jobs write, and is read in less than a minute
SHARE_OF_DISK = 10  # a file that was not rewritten for long takes at most a tenth of what is free


class Start(StrEnum):
    """How a running server came about."""

    STARTED = "started"
    ADOPTED = "adopted"


class Standing(NamedTuple):
    """The program that runs, whether its file has been replaced, and what a start would take."""

    running: Program | None
    is_gone: bool
    chosen: Choice

    @property
    def is_outdated(self) -> bool:
        """Whether a start would take a newer program, or another kind of server."""
        running, chosen = self.running, self.chosen.program
        if running is None or chosen is None:
            return self.is_gone
        is_older = running.kind != chosen.kind or running.version < chosen.version
        return is_older or self.is_gone


class EmbeddedServer:
    """The server of one state folder (which exists, mode 0700).

    `durability` is `everysec` or `always`. `binary` is `auto`, `bundled`, or a path or
    name on PATH. `answer_s`: a server that
    has not answered within so many seconds is taken for hung, and replaced.
    """

    def __init__(
        self,
        state_folder: Path,
        durability: str,
        binary: str = AUTO,
        answer_s: float = ANSWER_S,
    ) -> None:
        self._files = ServerFiles(state_folder)
        self._durability = durability
        self._binary = binary
        self._answer_s = answer_s
        self._process: subprocess.Popen[bytes] | None = None

    def address(self, name: str) -> StoreAddress:
        """Where the namespace `name` is, on this server."""
        return StoreAddress(name, socket=str(self._files.socket()))

    def ensure(self) -> Start:
        """Adopt the running server or start one; return when it serves.

        Raises StoreUnavailable when it cannot be started, with the end of its log.
        """
        if self.is_alive():
            if self.info() is not None:
                self._wait_until_loaded()
                self._request("CONFIG", "SET", "appendfsync", self._durability)
                return Start.ADOPTED
            # It hangs, or its socket was removed: nobody can reach it, and its file is needed.
            self._end_process()
        self._start()
        return Start.STARTED

    def is_alive(self) -> bool:
        """Whether a server process of this state folder exists, also one that hangs."""
        if self._process is not None:
            self._process.poll()  # take its exit status, or it stays a zombie
        with self._files.lock() as lock:
            return is_locked(lock)

    def stop(self) -> None:
        """Shut down cleanly, the data on disk; by TERM and KILL if it does not obey."""
        if self.is_alive():
            if self.info() is not None:
                with suppress(StoreUnavailable):  # it hangs up instead of answering
                    self._request("SHUTDOWN")
            if not self._has_ended_within(STOP_PATIENCE_S):
                self._end_process()
        if self._process is not None:
            self._process.wait()
        self._files.remove_socket()

    def pid(self) -> int | None:
        """The process id of the server; None when it does not answer."""
        info = self.info()
        return int(info["process_id"]) if info else None

    def info(self) -> dict[str, str] | None:
        """What the server says about itself; None when it does not answer."""
        try:
            reply = self._request("INFO")
        except StoreUnavailable:
            return None
        return info_fields(reply)

    def standing(self) -> "Standing | None":
        """The program that runs, and the one a start would take; None when nothing answers.

        Raises StoreUnavailable when none could be started.
        """
        info = self.info()
        if info is None:
            return None
        chosen = find_binary(self._binary, data_file(self._files.data))
        return Standing(running_program(info), _is_gone(info["process_id"]), chosen)

    def replace(self) -> bool:
        """Stop the server, its data on the disk, and start the chosen program; false when that
        failed and the earlier one was started again. Raises StoreUnavailable when neither starts.
        """
        info = self.info()
        earlier = Path(info["executable"]) if info and info.get("executable") else None
        self.stop()
        try:
            self._start()
        except StoreUnavailable:
            if earlier is None or not earlier.is_file():
                raise
            self._start(earlier)
            return False
        return True

    def rewrite(self) -> bool:
        """Begin to rewrite the append-only file, in the background; false when it refuses.

        Raises StoreUnavailable.
        """
        try:
            self._request("BGREWRITEAOF")
        except ReplyError:
            return False
        return True

    def last_words(self) -> str:
        """The last line of the log: of a server that has ended, often why."""
        return (self._files.log_since(0) or [""])[-1]

    def _start(self, path: Path | None = None) -> None:
        """Start this program, or the one that is chosen."""
        binary = path or find_binary(self._binary, data_file(self._files.data)).path
        self._files.prepare(LOG_LIMIT)
        socket = self._files.new_socket()
        with self._files.lock() as lock, self._files.open_log() as log:
            log_start = os.fstat(log.fileno()).st_size
            if not try_lock(lock):
                raise StoreUnavailable(
                    "the embedded server cannot be started: another one was just started",
                    why=f"it holds {self._files.lock_path}",
                    fix="start only one daemon for a state folder",
                )
            try:
                self._process = subprocess.Popen(
                    [binary, *self._options(socket)],
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    cwd=self._files.data,
                    env=server_environ(os.environ),
                    pass_fds=(lock,),
                    start_new_session=True,
                    umask=0o077,
                )
            except OSError as error:
                raise _cannot_execute(binary, error) from error
        self._wait_until_it_answers(self._process, log_start)
        self._wait_until_loaded()

    def _options(self, socket: Path) -> list[str]:
        options = {
            "port": "0",
            "unixsocket": str(socket),
            "unixsocketperm": "700",
            "dir": str(self._files.data),
            "daemonize": "no",
            "set-proc-title": "no",  # the command line tells our server from others
            "appendonly": "yes",
            "appendfsync": self._durability,
            "aof-load-truncated": "yes",  # the last write before a crash may be half done
            "auto-aof-rewrite-percentage": "100",
            # Usually it is rewritten earlier, in a quiet moment: see `rewriting`.
            "auto-aof-rewrite-min-size": str(self._largest_file()),
            "rdbcompression": "no",  # records are too short for it: 3 % smaller, 1.5 times the time
            "save": "",  # the append-only file is all there is to keep
            "maxmemory-policy": "noeviction",
            "hz": "5",  # of its housekeeping, which is most of what an idle server does
            # bytes; by default a message or result of 65 doubles the memory of the job's record
            "hash-max-listpack-value": "512",
            "enable-debug-command": "no",
            "enable-module-command": "no",
        }
        return [part for key, value in options.items() for part in (f"--{key}", value)]

    def _largest_file(self) -> int:
        """Bytes of the append-only file at which a busy server rewrites it."""
        share = shutil.disk_usage(self._files.data).free // SHARE_OF_DISK
        return min(max(share, SMALL_FILE), LARGE_FILE)

    def _wait_until_it_answers(self, process: "subprocess.Popen[bytes]", log_start: int) -> None:
        give_up_at = time.monotonic() + START_PATIENCE_S
        while self.info() is None:
            if process.poll() is not None:
                raise self._failed_start(log_start)
            if time.monotonic() > give_up_at:
                self._end_process()
                raise self._failed_start(log_start)
            time.sleep(POLL_S)

    def _wait_until_loaded(self) -> None:
        """However long it takes: the data is needed, and the server says that it is at it."""
        while (info := self.info()) is not None and info.get("loading", "0") != "0":
            time.sleep(SLOW_POLL_S)
        if info is None:
            raise self._failed_start(0)

    def _failed_start(self, log_start: int) -> StoreUnavailable:
        lines = self._files.log_since(log_start)
        return StoreUnavailable(
            "the embedded server did not start",
            why="\n".join(lines[-LOG_LINES:]) or "it wrote no log",
            fix=_fix_for("\n".join(lines), self._files),
        )

    def _request(self, *args: str) -> bytes:
        def tell() -> None:
            EventLog().warning("waiting for the embedded server, which does not answer")

        address, patience = self.address(""), Patience(tell, self._answer_s)
        with StoreConnection(address, timeout=self._answer_s, patience=patience) as connection:
            reply: bytes = connection.execute(Command(args))
            return reply

    def _end_process(self) -> None:
        """End a server that cannot be asked to. What it answered is in its file already."""
        for process in self._find_processes():
            with suppress(psutil.NoSuchProcess):
                process.terminate()
        if self._has_ended_within(TERM_PATIENCE_S):
            return
        for process in self._find_processes():
            with suppress(psutil.NoSuchProcess):
                process.kill()
        if not self._has_ended_within(KILL_PATIENCE_S):
            raise StoreUnavailable(
                "the embedded server does not answer and cannot be ended",
                why=f"a process of another user, or one in the kernel's hands, "
                f"holds {self._files.lock_path}",
                fix=f"end the process that `fuser {self._files.lock_path}` names",
            )

    def _find_processes(self) -> list[psutil.Process]:
        """The server, and the child that rewrites its file, by the option that names its folder.

        Others, e.g. one that copies the folder, name it in other ways.
        """
        option = ("--dir", str(self._files.data))
        return [
            process
            for process in psutil.process_iter(["cmdline"])
            if option in pairwise(process.info["cmdline"] or ())
        ]

    def _has_ended_within(self, seconds: float) -> bool:
        give_up_at = time.monotonic() + seconds
        while self.is_alive():
            if time.monotonic() > give_up_at:
                return False
            time.sleep(POLL_S)
        return True


def _is_gone(pid: str) -> bool:
    """Whether the program's file was removed or replaced since it was started, as updates do."""
    try:
        return os.readlink(f"/proc/{pid}/exe").endswith(" (deleted)")
    except OSError:
        return False  # not Linux, or another's process


def _cannot_execute(binary: Path, error: OSError) -> StoreUnavailable:
    return StoreUnavailable(
        f"the embedded server cannot be started: {error.strerror}: {binary}",
        why="its file system may be mounted noexec, or the program is for another machine",
        fix="install a server and name it in store.server, or set store.url",
    )


def _fix_for(log: str, files: ServerFiles) -> str:
    if "No space left" in log:
        return f"make room on the disk of {files.data}, then start again"
    if "Bad file format" in log or "Unrecoverable error" in log or "corrupt" in log.lower():
        return (
            "repair the file with `valkey-check-aof --fix "
            f"{files.data}/appendonlydir/appendonly.aof.manifest`, after a copy; "
            f"or set {files.data} aside to start empty"
        )
    return f"read {files.log}"
