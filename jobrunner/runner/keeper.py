"""The keeper of one command, as the worker sees it; what it does is told in `keeperchild`."""

import errno
import json
import os
import socket
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import msgspec

from jobrunner.model import Usage
from jobrunner.runner import keeperchild
from jobrunner.runner.descriptors import anonymous_file
from jobrunner.runner.exits import STATUS_LOST, on_exit, usage_of
from jobrunner.runner.failures import CannotStart, no_room
from jobrunner.runner.identity import Identity
from jobrunner.runner.processes import KEEPER_VARIABLE
from jobrunner.runner.readiness import Readers
from jobrunner.runner.refusals import refusal
from jobrunner.runner.spawn import Launch, rlimits_of

READ_BYTES = 4096
NEEDED = ("PATH", "LD_LIBRARY_PATH")  # to start Python; the command's own variables are told apart


class _End(msgspec.Struct, tag="ended"):
    """How the command ended, in the keeper's words."""

    code: int
    cpu_s: float
    memory_kib: int | None
    read_blocks: int
    written_blocks: int


class _Refused(msgspec.Struct, tag="refused"):
    """Why it could not begin; `limit` is the key in the manifest that could not be set."""

    errno: int | None
    what: str
    filename: str | None
    limit: str | None


@dataclass(frozen=True, slots=True)
class CommandEnd:
    """How a command ended below its keeper; `refused` is why it never began."""

    code: int
    usage: Usage | None = None
    refused: CannotStart | None = None


class Keeper:
    """Started when made; belongs to the worker's loop."""

    def __init__(
        self, launch: Launch, variables: Mapping[str, str], stdout: int, stderr: int
    ) -> None:
        """`variables` are by which the keeper is known. Raises CannotStart."""
        self._launch = launch
        self._received = b""
        self._readers: Readers | None = None
        self._socket, theirs = socket.socketpair()
        self._socket.setblocking(False)
        try:
            with theirs:
                self.pid = _start(launch, variables, theirs.fileno(), stdout, stderr)
        except OSError as error:
            self._socket.close()
            what = f"cannot start the keeper of a command: {error}"
            raise no_room(error) or CannotStart(what) from error
        if launch.open_files is not None:
            launch.open_files.give_back(self.pid)

    def watch(
        self,
        readers: Readers,
        on_command_end: Callable[[CommandEnd], None],
        on_own_end: Callable[[], None],
    ) -> None:
        """Call back, in the loop, when the command has ended, and when the keeper has."""

        def read() -> None:
            try:
                part = self._socket.recv(READ_BYTES)
            except OSError:
                part = b""
            self._received += part
            end = self._end(is_over=not part)
            if end is not None:
                self._forget_socket()
                on_command_end(end)

        self._readers = readers
        readers.add_reader(self._socket.fileno(), read)
        on_exit(readers, self.pid, lambda *_: on_own_end())

    def release(self) -> None:
        """Let it go: it kills what is left, and ends."""
        self._forget_socket()
        self._socket.close()

    def descriptors(self) -> list[int]:
        """What is open here: a copy of it in another process would keep the keeper waiting."""
        return [opened] if (opened := self._socket.fileno()) >= 0 else []

    def _forget_socket(self) -> None:
        if self._readers is not None:
            self._readers.remove_reader(self._socket.fileno())
            self._readers = None

    def _end(self, *, is_over: bool) -> CommandEnd | None:
        """The end that was told; None as long as it is not there."""
        refused = None
        for line in self._received.splitlines():
            try:
                told = msgspec.json.decode(line, type=_End | _Refused)
            except msgspec.DecodeError:
                break  # not all of it has come
            if isinstance(told, _End):
                blocks = told.read_blocks, told.written_blocks
                usage = usage_of(told.cpu_s, told.memory_kib, *blocks)
                return CommandEnd(told.code, usage, refused)
            refused = self._refusal(told)
        return CommandEnd(STATUS_LOST) if is_over else None  # somebody has killed the keeper

    def _refusal(self, told: _Refused) -> CannotStart:
        launch = self._launch
        if told.limit is not None:
            return CannotStart(
                f"cannot set {told.limit}",
                why=told.what,
                fix="ask for less, or give the daemon the right to",
            )
        error: Exception = ValueError(told.what)
        if told.errno is not None:
            error = OSError(told.errno, os.strerror(told.errno), told.filename)
        if told.errno == errno.EAGAIN and launch.limits.pids is not None:
            return CannotStart(
                f"limits.pids of {launch.limits.pids} was reached before it began",
                why="without control groups it counts all processes of the job's user, and other "
                "ones of that user are as many already",
                fix="raise limits.pids, or give the task a user of its own, or the daemon control "
                "groups",
            )
        if (lack := no_room(error)) is not None:
            return lack
        return refusal(error, launch.argv, launch.env, launch.cwd, launch.cwd_written)


def _start(
    launch: Launch, variables: Mapping[str, str], control: int, stdout: int, stderr: int
) -> int:
    """The keeper's pid. Raises OSError."""
    with anonymous_file() as text:
        text.write(_encoded(launch))
        text.seek(0)
        process = subprocess.Popen(
            [sys.executable, "-I", "-S", str(Path(keeperchild.__file__)), str(control)],
            stdin=text,
            stdout=stdout,
            stderr=stderr,
            cwd="/",
            env=_environ() | {**variables, KEEPER_VARIABLE: "1"},
            pass_fds=[control],
            start_new_session=True,
        )
    process.returncode = 0  # hand it over: it is reaped by its pid
    return process.pid


def _environ() -> dict[str, str]:
    return {name: os.environ[name] for name in NEEDED if name in os.environ}


def _encoded(launch: Launch) -> bytes:
    who = launch.identity or Identity(os.geteuid(), os.getegid(), os.getgroups(), {})
    # Not by msgspec: a variable may hold bytes that are no text, which only this keeps as they are.
    return json.dumps(
        {
            "argv": launch.argv,
            "env": launch.env,
            "cwd": str(launch.cwd),
            "uid": who.uid,
            "gid": who.gid,
            "groups": who.groups,
            "umask": launch.umask,
            "nice": launch.nice,
            "rlimits": rlimits_of(launch.limits),
        }
    ).encode()
