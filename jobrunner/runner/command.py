"""Performs attempts of `command` and `shell` tasks.

An attempt ends with its whole process tree: what the command leaves behind is stopped like the
command itself. Output is read up to the end of the pipes, or only for a moment when a process out
of our reach holds them open.
"""

import asyncio
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from datetime import timedelta
from types import TracebackType
from typing import NamedTuple, Self

from jobrunner.clock import Clock
from jobrunner.log import EventLog
from jobrunner.model import JobError, Reason
from jobrunner.params import substitute
from jobrunner.runner.attempt import ENDED_BY, Attempt, Ended, Outcome, Stop, StopReason
from jobrunner.runner.environment import Environment, environment_of
from jobrunner.runner.exits import on_exit
from jobrunner.runner.failures import CannotStart, exit_error, timeout_error
from jobrunner.runner.identity import Identity, identity_of
from jobrunner.runner.output import Output, masked_error
from jobrunner.runner.pipes import PipeReader
from jobrunner.runner.processes import ProcessRegistry
from jobrunner.runner.results import BadResult, ResultFiles
from jobrunner.runner.spawn import KEEP_UMASK, Launch, spawn
from jobrunner.runner.tree import Tree
from jobrunner.runner.waiting import Cause, TimedOut, first_of
from jobrunner.store.logs import Stream

DRAIN_S = 1.0  # for the end of the pipes, once the tree is gone
UNKILLABLE_S = 1.0  # for a leader that KILL did not end: it hangs in the kernel


class _End(NamedTuple):
    """An outcome without its duration."""

    ended: Ended
    result: bytes | None = None
    error: JobError | None = None
    reason: Reason | None = None
    exit_code: int | None = None


class CommandRunner:
    """Runs the commands of one worker."""

    def __init__(
        self,
        processes: ProcessRegistry,
        results: ResultFiles,
        environ: Mapping[str, str],
        clock: Clock,
    ) -> None:
        """`environ` is what every command gets; see `base_environment`."""
        self._processes = processes
        self._results = results
        self._environ = environ
        self._clock = clock

    async def run(
        self,
        attempt: Attempt,
        output: Output,
        stop: Stop,
        on_started: Callable[[Tree], None] | None = None,
    ) -> Outcome:
        """Perform one attempt; whatever the task or the system does wrong is its outcome.

        `on_started` is told the process tree once it runs. When the calling asyncio task is
        cancelled, the tree is killed at once.
        """
        started = self._clock.monotonic()
        try:
            end = await self._perform(attempt, output, stop, on_started)
        except CannotStart as failure:
            end = _failed(failure.error)
        return Outcome(
            end.ended,
            timedelta(seconds=self._clock.monotonic() - started),
            end.result,
            masked_error(end.error, output) if end.error else None,
            end.reason,
            end.exit_code,
        )

    async def _perform(
        self,
        attempt: Attempt,
        output: Output,
        stop: Stop,
        on_started: Callable[[Tree], None] | None,
    ) -> _End:
        with ExitStack() as cleanup:
            identity = identity_of(attempt.task)
            place = self._results.place(identity)
            cleanup.callback(self._results.discard, place)
            environment = environment_of(attempt, self._environ, place)
            output.mask(environment.secrets)
            launch = _launch(attempt, environment, identity)
            running = cleanup.enter_context(
                _Running(launch, output, self._processes, attempt.job_id)
            )
            if on_started is not None:
                on_started(running.tree)
            cause = await running.wait(stop, attempt.task.timeout)
            code = await running.end(cause, attempt.task.kill_grace.total_seconds())
            return self._end(attempt, cause, code, place, output.last_stderr)

    def _end(
        self, attempt: Attempt, cause: Cause | None, code: int | None, place: str, last_line: str
    ) -> _End:
        if isinstance(cause, StopReason):
            return _End(ENDED_BY[cause])
        if cause is TimedOut.TIMED_OUT or code is None:
            return _failed(timeout_error(attempt.task.timeout), Reason.TIMEOUT)
        if code not in attempt.task.success_codes:
            return _failed(exit_error(code, last_line))
        try:
            result = self._results.read(place)
        except BadResult as error:
            return _failed(JobError(type="result", message=str(error)))
        return _End(Ended.COMPLETED, result=result, exit_code=code)


def _failed(error: JobError, reason: Reason = Reason.ERROR) -> _End:
    return _End(Ended.FAILED, error=error, reason=reason, exit_code=error.exit_code)


def _launch(attempt: Attempt, environment: Environment, identity: Identity | None) -> Launch:
    """What the task asks for, with the job's arguments filled in."""
    task = attempt.task
    if identity is not None:
        # A user's own HOME and so on, unless the task says otherwise.
        declared = {name for _, env in attempt.env_layers for name in env} | task.env.keys()
        fresh = {k: v for k, v in identity.variables.items() if k not in declared}
        environment.variables |= fresh
    cwd = attempt.folder
    if task.cwd is not None:
        cwd = cwd / substitute(task.cwd, attempt.arguments)
    return Launch(
        argv=_argv(attempt),
        env=environment.variables,
        cwd=cwd,
        identity=identity,
        umask=KEEP_UMASK if task.umask is None else int(task.umask, 8),
        nice=task.nice,
        limits=task.limits,
    )


def _argv(attempt: Attempt) -> list[str]:
    task = attempt.task
    if attempt.argv is not None:
        return attempt.argv
    if task.shell is not None:
        # The name after the script is $0, with which the shell begins its messages.
        return ["/bin/sh", "-eu", "-c", task.shell, attempt.task_name]
    words = task.command or []
    if not words:
        raise CannotStart(f"task {attempt.task_name!r} has no command")
    return [substitute(word, attempt.arguments) for word in words]


class _Running:
    """A started command: its process, its tree and its pipes."""

    def __init__(
        self, launch: Launch, output: Output, processes: ProcessRegistry, job_id: str
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._processes = processes
        self._exited: asyncio.Future[int] = self._loop.create_future()
        self._pipes = [PipeReader(stream, output) for stream in (Stream.STDOUT, Stream.STDERR)]
        try:
            pid = spawn(launch, *(pipe.write_end for pipe in self._pipes))
        except BaseException:
            self._close_pipes()
            raise
        self.tree = processes.add(pid, job_id, f"JOBRUNNER_JOB_ID={job_id}")
        on_exit(self._loop, pid, self._note_exit)
        for pipe in self._pipes:
            pipe.start(self._loop)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if kind is not None:
            self.tree.kill()
        self._processes.remove(self.tree)
        self._close_pipes()

    async def wait(self, stop: Stop, timeout: timedelta | None) -> Cause | None:
        """Wait until the command ends or is to be stopped; tells which."""
        return await first_of(self._exited, stop, timeout)

    async def end(self, cause: Cause | None, grace_s: float) -> int | None:
        """Stop what still runs and read the last output; the exit code, None if there is none.

        Whose lease is lost gets no grace: another worker may start the job at any time.
        """
        if cause is not None or self.tree.is_alive():
            await self.tree.stop(0 if cause is StopReason.LEASE_LOST else grace_s)
        if not self._exited.done():
            await asyncio.wait([self._exited], timeout=UNKILLABLE_S)
        await self._drain()
        return self._exited.result() if self._exited.done() else None

    async def _drain(self) -> None:
        open_pipes = [pipe for pipe in self._pipes if not pipe.drain()]
        if not open_pipes:
            return
        ends = [pipe.end(self._loop) for pipe in open_pipes]
        _, pending = await asyncio.wait(ends, timeout=DRAIN_S)
        if pending:
            EventLog().warning(
                "stopped reading output that a process out of reach holds open",
                group=self.tree.leader,
            )

    def _note_exit(self, code: int) -> None:
        self.tree.note_leader_reaped()
        self._exited.set_result(code)

    def _close_pipes(self) -> None:
        for pipe in self._pipes:
            pipe.close()
