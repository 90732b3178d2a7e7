"""Performs attempts of `command` and `shell` tasks.

An attempt ends with its whole process tree: what the command leaves behind is stopped like the
command itself. Output is read up to the end of the pipes, or only for a moment when a process out
of our reach holds them open.

The usual attempt needs no asyncio task: it is begun by a call and ended by the callback that saw
the exit. One that has to wait for something else, since it is stopped or has left processes, gets a
task for that (`_Running._end`).
"""

import asyncio
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import NamedTuple

from jobrunner.clock import Clock
from jobrunner.log import EventLog
from jobrunner.manifest.interpreter import script_argv
from jobrunner.model import JobError, Reason
from jobrunner.params import placeholders, substitute
from jobrunner.runner.attempt import ENDED_BY, Attempt, Ended, Outcome, Stop, StopReason
from jobrunner.runner.child import Child, Surroundings
from jobrunner.runner.environment import ACCOUNT, Environment, environment_of
from jobrunner.runner.failures import (
    KILLED,
    NOT_EXECUTABLE,
    NOT_FOUND,
    CannotStart,
    NoRoom,
    exit_error,
    limit_error,
    limit_text,
    no_room,
    timeout_error,
)
from jobrunner.runner.folders import name_folder, working_folder
from jobrunner.runner.identity import Identity, identity_of
from jobrunner.runner.openfiles import OpenFiles
from jobrunner.runner.output import Output, masked_error
from jobrunner.runner.processes import ProcessRegistry
from jobrunner.runner.readiness import Readiness, make_readers
from jobrunner.runner.refusals import cause_of_exit
from jobrunner.runner.results import BadResult, ResultFiles
from jobrunner.runner.secretfiles import SecretFolder
from jobrunner.runner.spawn import KEEP_UMASK, Launch
from jobrunner.runner.verdict import output_error, stderr_fault
from jobrunner.runner.waiting import Cause, TimedOut

# Of an interpreter that was given the CR of a line that ends as on Windows: as part of an option,
# or, by `env`, of its name.
MAY_BE_CR = (2, NOT_EXECUTABLE, NOT_FOUND)


TRY_AGAIN_S = 0.2  # while the machine has no descriptor to spare for the end of a command
TRIES = 150  # half a minute
CPU_LOOK_S = 0.05  # between two looks at what a job has used of its processor time


class _End(NamedTuple):
    """An outcome without its duration."""

    ended: Ended
    result: bytes | None = None
    error: JobError | None = None
    reason: Reason | None = None
    exit_code: int | None = None
    was_killed: bool = False


class CommandRunner:
    """Runs the commands of one worker. Belongs to the loop in which it was made."""

    def __init__(
        self,
        processes: ProcessRegistry,
        results: ResultFiles,
        environ: Mapping[str, str],
        clock: Clock,
        open_files: OpenFiles | None = None,
    ) -> None:
        """`environ` is what every command gets; see `base_environment`."""
        self._results = results
        self._environ = environ
        self._clock = clock
        self._loop = asyncio.get_running_loop()
        self._readers = make_readers(self._loop)
        self._surroundings = Surroundings(processes, self._readers, open_files=open_files)

    async def run(self, attempt: Attempt, output: Output, stop: Stop) -> Outcome:
        """Perform one attempt; whatever the task or the system does wrong is its outcome.

        When the calling asyncio task is cancelled, the process tree is killed at once.
        """
        done: asyncio.Future[Outcome] = self._loop.create_future()

        def settle(outcome: Outcome) -> None:
            if not done.done():
                done.set_result(outcome)

        running = self.begin(attempt, output, stop, settle)
        try:
            return await done
        except asyncio.CancelledError:
            if running is not None:
                running.abandon()
            raise

    def begin(
        self, attempt: Attempt, output: Output, stop: Stop, ended: Callable[[Outcome], None]
    ) -> "_Running | None":
        """Start an attempt; `ended` is told the outcome, once, in a later pass of the loop.

        None when it could not be started.
        """
        began_at = self._clock.monotonic()

        def tell(end: _End, child: Child | None = None) -> None:
            duration = timedelta(seconds=self._clock.monotonic() - began_at)
            ended(_outcome(end, duration, output, child))

        try:
            running = self._start(attempt, output, stop, tell)
            running.watch()
        except (CannotStart, OSError, RuntimeError) as error:
            self._loop.call_soon(tell, _not_started(error))
            return None
        return running

    def descriptors(self) -> list[int]:
        """Those of this process by which it reads from its commands."""
        return [end for child in list(self._surroundings.children) for end in child.descriptors()]

    def close(self) -> None:
        """Watch nothing any more; no command may be under way."""
        if isinstance(self._readers, Readiness):
            self._readers.close()

    def _start(
        self, attempt: Attempt, output: Output, stop: Stop, tell: Callable[[_End, Child], None]
    ) -> "_Running":
        identity = identity_of(attempt.task)
        processes = self._surroundings.processes
        secrets = SecretFolder(processes.owner, processes.worker, identity)
        place = self._results.place(identity)
        try:
            environment = environment_of(attempt, self._environ, place, secrets)
            environment.variables |= self._surroundings.processes.variables
            secrets.hand_over()
            output.mask(environment.secrets)
            if attempt.task.fail_when.output is not None:
                output.watch_for(attempt.task.fail_when.output)
            launch = _launch(attempt, environment, identity)
            if self._surroundings.open_files is not None:
                launch = replace(launch, open_files=self._surroundings.open_files)
            child = Child(launch, output, attempt.job_id, self._surroundings)
        except BaseException:
            self._results.discard(place)
            secrets.discard()
            raise
        return _Running(attempt, output, stop, child, launch, self._results, place, secrets, tell)


def _outcome(end: _End, duration: timedelta, output: Output, child: Child | None) -> Outcome:
    return Outcome(
        end.ended,
        duration,
        end.result,
        masked_error(end.error, output) if end.error else None,
        end.reason,
        end.exit_code,
        usage=None if child is None else child.usage,
        left=None if child is None else child.left or None,
        was_killed=end.was_killed,
    )


def _not_started(error: Exception) -> _End:
    """Why it was not; for want of a resource it has not been tried. Raises what is a bug."""
    failure = error if isinstance(error, CannotStart) else no_room(error)
    if failure is None:
        raise error
    if isinstance(failure, NoRoom):
        return _End(Ended.ABANDONED, error=failure.error)
    return _failed(failure.error, failure.reason)


def _failed(error: JobError, reason: Reason = Reason.ERROR) -> _End:
    return _End(Ended.FAILED, error=error, reason=reason, exit_code=error.exit_code)


def _launch(attempt: Attempt, environment: Environment, identity: Identity | None) -> Launch:
    """What the task asks for, with the job's arguments filled in."""
    task = attempt.task
    if identity is not None:
        # A user's own HOME and so on, unless the task says otherwise.
        declared = {name for _, env in attempt.env_layers for name in env} | task.env.keys()
        fresh = {k: v for k, v in identity.variables.items() if k not in declared}
        if task.user is not None:
            for name in ACCOUNT - declared:
                environment.variables.pop(name, None)  # those of the daemon's user
        environment.variables |= fresh
    cwd = working_folder(task.cwd, attempt.folder, attempt.arguments)
    name_folder(environment.variables, cwd)
    return Launch(
        argv=_argv(attempt),
        env=environment.variables,
        cwd=cwd,
        cwd_written=task.cwd if task.cwd and placeholders(task.cwd) else None,
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
        return script_argv(task.interpreter, task.shell, attempt.task_name)
    words = task.command or []
    if not words:
        raise CannotStart(f"task {attempt.task_name!r} has no command")
    return [substitute(word, attempt.arguments) for word in words]


@dataclass(slots=True, eq=False)
class _Running:
    """An attempt from its start to its end."""

    attempt: Attempt
    output: Output
    stop: Stop
    child: Child
    launch: Launch
    results: ResultFiles
    place: str  # of its result
    secrets: SecretFolder
    tell: Callable[[_End, Child], None]
    timer: asyncio.TimerHandle | None = None
    cpu_timer: asyncio.TimerHandle | None = None
    ending: asyncio.Task[None] | None = None  # from when it has to wait for its end
    is_over: bool = False

    def watch(self) -> None:
        """See to its end from now on."""
        try:
            self.child.watch(self._on_exited)
        except BaseException:
            self.abandon()
            raise
        timeout = self.attempt.task.timeout
        if timeout is not None:
            loop = asyncio.get_running_loop()
            self.timer = loop.call_later(
                timeout.total_seconds(), self._end_soon, TimedOut.TIMED_OUT
            )
        self._look_at_cpu()
        self.stop.on_set(self._end_soon)

    def _look_at_cpu(self) -> None:
        """End the whole job once it has used its processor time; the kernel has no limit for it."""
        limit, group = self.attempt.task.limits.cpu, self.child.group
        used_ms = None if limit is None or group is None else group.cpu_ms()
        if limit is None or used_ms is None:
            return
        left_s = limit.total_seconds() - used_ms / 1000
        if left_s <= 0:
            self._end_soon(TimedOut.USED_UP)
            return
        soonest = left_s / (os.cpu_count() or 1)
        loop = asyncio.get_running_loop()
        self.cpu_timer = loop.call_later(max(soonest, CPU_LOOK_S), self._look_at_cpu)

    def abandon(self) -> None:
        """Kill the tree at once; nobody wants to know the outcome any more."""
        self.child.tree.kill()
        if self.ending is not None:
            self.ending.cancel()
        self._let_go()
        self.results.discard(self.place)

    def _on_exited(self) -> None:
        if self.is_over or self.ending is not None:
            return  # `_end` looks for the exit code itself
        try:
            has_ended = self.child.has_ended()
        except OSError:
            has_ended = False  # no descriptor was free, say: `_end` looks again, and tells
        if has_ended:
            self._finish(None)
        else:
            self._end_soon(None)

    def _end_soon(self, cause: Cause | None) -> None:
        if self.ending is None:
            self.ending = asyncio.create_task(self._end(cause))

    async def _end(self, cause: Cause | None, tries: int = TRIES) -> None:
        """Stop what still runs, and read what is left of the output.

        Whose lease is lost gets no grace: another worker may start the job at any time.
        """
        kill_grace = self.attempt.task.kill_grace.total_seconds()
        try:
            await self.child.end(
                0 if cause is StopReason.LEASE_LOST else kill_grace, is_stopped=cause is not None
            )
        except Exception as error:
            if no_room(error) is not None and tries > 0:
                await asyncio.sleep(TRY_AGAIN_S)
                return await self._end(cause, tries - 1)
            self._let_go()
            self.tell(self._could_not(error), self.child)
        else:
            self._finish(cause)

    def _finish(self, cause: Cause | None) -> None:
        self._let_go()
        self._tell_end(cause)

    def _tell_end(self, cause: Cause | None, tries: int = TRIES) -> None:
        """For want of a descriptor, later: what the command did is not to blame for that."""
        try:
            end = self._end_by(cause)
            self.results.discard(self.place)
        except Exception as error:
            if no_room(error) is not None and tries > 0:
                loop = asyncio.get_running_loop()
                loop.call_later(TRY_AGAIN_S, self._tell_end, cause, tries - 1)
                return
            end = self._could_not(error)
        self.tell(end, self.child)

    def _let_go(self) -> None:
        self.is_over = True
        for timer in (self.timer, self.cpu_timer):
            if timer is not None:
                timer.cancel()
        self.stop.forget(self._end_soon)
        self.child.close()
        self.secrets.discard()

    def _could_not(self, error: Exception) -> _End:
        """A bug of ours must not leave the attempt without an end."""
        EventLog().error("failed to end a command", job_id=self.attempt.job_id, exc_info=True)
        return _failed(JobError(Reason.ERROR, f"jobrunner could not perform it: {error!r}"))

    def _said(self, code: int) -> str:
        """What explains the exit: the last line of stderr, or a cause that it does not name."""
        said = self.output.last_stderr
        if code not in MAY_BE_CR or self.attempt.task.shell is not None:
            return said
        launch = self.launch
        hidden = cause_of_exit(code, launch.argv[0], launch.env, launch.cwd)
        return f"{said.strip()}; {hidden}" if said and hidden else hidden or said

    def _end_by(self, cause: Cause | None) -> _End:
        task, code = self.attempt.task, self.child.exit_code
        if isinstance(cause, StopReason):
            return _End(ENDED_BY[cause])
        if cause is TimedOut.USED_UP:
            return _failed(limit_error("cpu", task.limits))
        if cause is TimedOut.TIMED_OUT or code is None:
            return _failed(timeout_error(task.timeout), Reason.TIMEOUT)
        if self.child.refused is not None:
            return _not_started(self.child.refused)
        self.output.end_lines()
        if code not in task.success_codes:
            reached = "; ".join(limit_text(name, task.limits) for name in self.child.reached)
            end = _failed(exit_error(code, self._said(code), reached))
            return end._replace(was_killed=code in KILLED and not reached)
        if (what := self._fault_of_output()) is not None:
            return _failed(output_error(code, what))
        try:
            result = self.results.read(self.place)
        except BadResult as error:
            return _failed(JobError(type="result", message=str(error)))
        masked = None if result is None else self.output.masked_json(result)
        return _End(Ended.COMPLETED, result=masked, exit_code=code)

    def _fault_of_output(self) -> str | None:
        """What of the complete output the task takes for a failure."""
        output, watch = self.output, self.output.watch
        if watch is not None and watch.found is not None:
            return watch.found
        return stderr_fault(self.attempt.task.fail_when, output.has_stderr, output.last_stderr)
