"""The parent's side: starts the child, waits for its end, reads what it wrote."""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO

import msgspec

from jobrunner.clock import SystemClock
from jobrunner.discover.answer import Discovery, Importing, ModuleProblem, Question
from jobrunner.errors import Location, Problem
from jobrunner.manifest.trust import TRUST_VARIABLE, Guard
from jobrunner.runner.descriptors import anonymous_file

TIMEOUT = timedelta(seconds=30)
KILL_AFTER_S = 2.0  # past the timeout: time for the child to note where it hangs and end itself
OUTPUT_SHOWN = 500  # characters, from the end of what a crashed child had printed


def discover(
    imports: Sequence[str],
    targets: Mapping[str, str],
    folder: Path,
    timeout: timedelta = TIMEOUT,
    guard: Guard = Guard.NONE,
) -> Discovery:
    """Scan the modules `imports` for tasks, and describe the functions that `targets` name.

    `targets` maps a task's name to `module:function`; `folder`, the manifest's, is the child's
    working folder and comes first on its `sys.path`. Blocks until the child has ended.
    """
    if not imports and not targets:
        return Discovery([], [])
    question = Question(list(imports), dict(targets), str(folder.absolute()), timeout, guard)
    with anonymous_file() as asked, anonymous_file() as answer, _large_file() as output:
        asked.write(msgspec.json.encode(question))
        asked.seek(0)
        ended = _run_child(question, asked, answer, output)
        return _read(answer) or Discovery([], [_silence(question, ended, answer, output)])


def _large_file() -> IO[bytes]:
    """For what modules print, which may be much: rather on a disk."""
    try:
        return TemporaryFile()
    except OSError:
        return anonymous_file()


def _run_child(
    question: Question, asked: IO[bytes], answer: IO[bytes], output: IO[bytes]
) -> int | None:
    """The child's exit status; None when it was too slow."""
    clock = SystemClock()
    started = clock.monotonic()
    # -P: a folder `jobrunner` beside the manifest must not be taken for this package.
    child = subprocess.Popen(
        [sys.executable, "-P", "-m", "jobrunner.discover", str(answer.fileno())],
        cwd=question.folder,
        # A module that asks for its own manifest finds the one that was read: it was checked.
        env={**os.environ, TRUST_VARIABLE: "1"},
        stdin=asked,
        stdout=output,
        stderr=output,
        pass_fds=[answer.fileno()],
        start_new_session=True,
    )
    limit = question.timeout.total_seconds()
    try:
        child.wait(limit + KILL_AFTER_S)
    except subprocess.TimeoutExpired:
        return None
    finally:
        _kill_group(child)
    return child.returncode if clock.monotonic() - started < limit else None


def _kill_group(child: subprocess.Popen[bytes]) -> None:
    # Also when the child has ended: what a module started at import must not outlive it.
    # macOS refuses with EPERM when only a zombie is left in the group.
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(child.pid, signal.SIGKILL)
    child.wait()


def _read(answer: IO[bytes]) -> Discovery | None:
    step = _last_step(answer)
    return step if isinstance(step, Discovery) else None


def _last_step(answer: IO[bytes]) -> Discovery | Importing | None:
    """The last whole line that the child wrote: a step was begun, or the answer is there."""
    answer.seek(0)
    lines = [line for line in answer.read().splitlines(keepends=True) if line.endswith(b"\n")]
    return msgspec.json.decode(lines[-1], type=Discovery | Importing) if lines else None


def _silence(
    question: Question, ended: int | None, answer: IO[bytes], output: IO[bytes]
) -> ModuleProblem:
    """The problem of a child that ended without an answer."""
    output.seek(0)
    printed = output.read().decode(errors="replace")
    step = _last_step(answer)
    if not isinstance(step, Importing):
        return ModuleProblem((), _crash("looking for tasks", ended, printed))
    what = f"importing module {step.module!r}"
    if ended is not None:
        return ModuleProblem(step.key, _crash(what, ended, printed))
    problem = Problem(
        where=_hanging_at(question.folder, printed),
        what=f"{what} took longer than {question.timeout.total_seconds():g} s",
        why="modules with tasks are imported at every start and reload",
        fix="move the work of the module into a function, or guard it with "
        "`if __name__ == '__main__':`",
    )
    return ModuleProblem(step.key, problem)


def _crash(what: str, ended: int | None, printed: str) -> Problem:
    how = f"signal {-ended}" if ended is not None and ended < 0 else f"exit status {ended}"
    return Problem(
        where=None,
        what=f"{what} ended the process ({how})",
        why=printed.strip()[-OUTPUT_SHOWN:] or "it printed nothing",
        fix="a module with tasks must be importable: `python -c 'import …'` shows what happens",
    )


def _hanging_at(folder: str, printed: str) -> Location | None:
    """The innermost line of user code in the stacks that `faulthandler` printed."""
    frames = re.findall(r'^  File "(.+)", line (\d+) in ', printed, re.MULTILINE)
    own = [(file, line) for file, line in frames if file.startswith(folder + os.sep)]
    return Location(own[0][0], int(own[0][1]), 1) if own else None
