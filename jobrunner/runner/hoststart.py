"""Starts the process of a function host, with all by which its worker has it."""

import os
import socket
import subprocess
import sys
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from jobrunner.clock import Clock
from jobrunner.message import MOST_RESULT
from jobrunner.runner.hostcall import WriteProgress
from jobrunner.runner.openfiles import OpenFiles
from jobrunner.runner.pipes import OutputPipes
from jobrunner.runner.processes import ProcessRegistry
from jobrunner.runner.tokens import Tokens
from jobrunner.runner.tree import Tree

HOST_VARIABLE = "JOBRUNNER_HOST"
NO_JOB = ""


@dataclass(frozen=True, slots=True)
class HostSettings:
    """What all hosts of a worker share."""

    processes: ProcessRegistry
    folder: Path  # the manifest's: working folder, and first on sys.path
    environ: Mapping[str, str]
    clock: Clock
    write_progress: WriteProgress
    withheld: Mapping[str, str] = field(default_factory=dict)  # the store's variables
    open_files: OpenFiles | None = None  # None: the limit is this process's own
    most_result: int = MOST_RESULT  # bytes


@dataclass(frozen=True, slots=True)
class HostProcess:
    """A started host; nobody watches it yet."""

    pid: int
    tree: Tree
    socket: socket.socket
    pipes: OutputPipes
    tokens: Tokens

    def abandon(self, settings: HostSettings) -> None:
        """Kill it and let go of it: it could not be watched."""
        self.tree.kill()
        settings.processes.remove(self.tree)
        self.socket.close()
        self.tokens.close()
        self.pipes.close()


def start_host(name: str, settings: HostSettings) -> HostProcess:
    """Start one. Raises OSError; then everything is closed again."""
    with ExitStack() as made:
        pipes = OutputPipes()
        made.callback(pipes.close)
        tokens = Tokens()
        made.callback(tokens.close)
        ours, theirs = socket.socketpair()
        made.enter_context(ours)
        ours.setblocking(False)
        with theirs:
            pid = _spawn(name, settings, theirs, pipes, tokens)
        made.pop_all()
    tree = settings.processes.add(pid, NO_JOB, f"{HOST_VARIABLE}={name}")
    return HostProcess(pid, tree, ours, pipes, tokens)


def _spawn(
    name: str, settings: HostSettings, theirs: socket.socket, pipes: OutputPipes, tokens: Tokens
) -> int:
    own = {**settings.processes.variables, HOST_VARIABLE: name}
    # -P: a folder `jobrunner` beside the manifest must not be taken for this package.
    module = [sys.executable, "-P", "-m", "jobrunner.runner.hostchild"]
    stdout, stderr = pipes.write_ends
    inherited = (theirs.fileno(), tokens.read_end)
    arguments = map(str, (*inherited, os.getpid(), settings.folder, settings.most_result))
    process = subprocess.Popen(
        [*module, *arguments],
        stdin=subprocess.DEVNULL,
        stdout=stdout,
        stderr=stderr,
        cwd=settings.folder,
        env={**settings.environ, **own},
        pass_fds=inherited,
        start_new_session=True,
    )
    if settings.open_files is not None:
        settings.open_files.give_back(process.pid)  # it has an interpreter to load first
    process.returncode = 0  # hand it over: it is reaped by its pid
    return process.pid
