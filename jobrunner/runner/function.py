"""Performs attempts of asynchronous functions, in the worker's own loop.

One asyncio task per attempt. Stop and timeout cancel it; a function that swallows the cancellation
is left behind after `kill_grace`: nothing in this process can stop it.
"""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta
from functools import partial
from typing import Any

from msgspec.structs import replace

from jobrunner.clock import Clock
from jobrunner.context import Context
from jobrunner.errors import InvalidArguments
from jobrunner.log import EventLog
from jobrunner.message import MOST_RESULT
from jobrunner.model import JobError, Reason
from jobrunner.runner.attempt import Attempt, Ended, Outcome, Stop
from jobrunner.runner.calling import BadResultValue, Callee, encode_result
from jobrunner.runner.capture import current_output
from jobrunner.runner.environment import secret_arguments
from jobrunner.runner.forks import InThisProcess
from jobrunner.runner.output import Output, masked_error
from jobrunner.runner.progress import ProgressReport
from jobrunner.runner.tracebacks import exception_error, exception_names
from jobrunner.runner.waiting import Cause, TimedOut, stopped

# Gets what makes the context, for functions that want one.
Invoke = Callable[[Callable[[], Context]], Awaitable[Any]]


def direct_invoke(callee: Callee, attempt: Attempt) -> Invoke:
    """Call a function that needs nothing from taskiq."""
    return partial(_call, callee, attempt)  # a closure's annotations are made with each of them


def _call(callee: Callee, attempt: Attempt, make_context: Callable[[], Context]) -> Awaitable[Any]:
    keywords = callee.keywords(attempt.arguments, make_context)
    awaitable: Awaitable[Any] = callee.call(keywords)
    return awaitable


class FunctionRunner:
    """Runs the asynchronous functions of one worker."""

    def __init__(
        self,
        clock: Clock,
        write_progress: Callable[[Attempt, bytes], None],
        most_result: int = MOST_RESULT,
    ) -> None:
        """`write_progress` starts the writing of an attempt's progress (JSON)."""
        self._clock = clock
        self._most_result = most_result  # bytes
        self._write_progress = write_progress

    async def run(self, attempt: Attempt, invoke: Invoke, output: Output, stop: Stop) -> Outcome:
        """Perform one attempt; whatever the function does wrong is its outcome."""
        done: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()

        def settle(outcome: Outcome) -> None:
            if not done.done():
                done.set_result(outcome)

        task = self.start(attempt, invoke, output, stop, settle)
        try:
            return await done
        except asyncio.CancelledError:
            task.cancel()
            raise

    def start(
        self,
        attempt: Attempt,
        invoke: Invoke,
        output: Output,
        stop: Stop,
        done: Callable[[Outcome], None],
    ) -> "asyncio.Task[None]":
        """Begin an attempt; `done` is called once with its outcome, in the loop."""
        running = _RunningFunction(
            attempt, output, self._write_progress, self._clock, done, self._most_result
        )
        return running.start(asyncio.get_running_loop(), invoke, stop)


class _RunningFunction:
    """One attempt of a function."""

    def __init__(
        self,
        attempt: Attempt,
        output: Output,
        write_progress: Callable[[Attempt, bytes], None],
        clock: Clock,
        done: Callable[[Outcome], None],
        most_result: int,
    ) -> None:
        self._attempt = attempt
        self._most_result = most_result
        self._output = output
        self._write_progress = write_progress
        self._progress: ProgressReport | None = None
        self._clock = clock
        self._done: Callable[[Outcome], None] | None = done
        self._cause: Cause | None = None
        self._has_begun = False
        self._timers: tuple[asyncio.TimerHandle, ...] = ()
        self._started = clock.monotonic()

    def start(
        self, loop: asyncio.AbstractEventLoop, invoke: Invoke, stop: Stop
    ) -> "asyncio.Task[None]":
        """Run the function in a task of its own, with its own output."""
        self._output.mask(secret_arguments(self._attempt))
        self._task = loop.create_task(self._perform(invoke))
        timeout = self._attempt.task.timeout
        if timeout is not None:
            later = loop.call_later(timeout.total_seconds(), self._stop, TimedOut.TIMED_OUT)
            self._timers = (later,)
        stop.on_set(self._stop)
        return self._task

    async def _perform(self, invoke: Invoke) -> None:
        self._has_begun = True
        current_output.set(self._output)  # in the task's own copy of the surroundings
        try:
            with InThisProcess():
                value = await invoke(self._make_context)
            outcome = self._completed(value)
        except asyncio.CancelledError as error:
            # Cancelled by us, or a function that was cancelled by something of its own.
            outcome = self._raised(error)
        except InvalidArguments as error:
            outcome = self._failed(JobError(type="InvalidArguments", message=str(error)))
            outcome = replace(outcome, reason=Reason.INVALID_ARGUMENTS)
        except BaseException as error:  # SystemExit, too, is this job's failure, not the worker's
            outcome = self._raised(error)
        self._settle(outcome)

    def _make_context(self) -> Context:
        attempt = self._attempt
        self._progress = ProgressReport(self._task.get_loop(), self._report)
        return Context(
            job_id=attempt.job_id,
            task=attempt.task_name,
            attempt=attempt.number,
            fence=attempt.fence,
            queue=attempt.queue,
            fire_time=attempt.fire_time,
            report=self._progress.report,
        )

    def _report(self, value: bytes) -> None:
        self._write_progress(self._attempt, self._output.masked_json(value))

    def _stop(self, cause: Cause) -> None:
        if self._cause is not None or self._done is None:
            return
        self._cause = cause
        self._task.cancel()
        if not self._has_begun:
            # Cancelled before its first step, not a line of `_perform` will run.
            self._settle(stopped(cause, self._duration(), self._attempt.task.timeout))
            return
        grace = self._attempt.task.kill_grace.total_seconds()
        later = self._task.get_loop().call_later(grace, self._leave_behind)
        self._timers = (*self._timers, later)

    def _leave_behind(self) -> None:
        EventLog().error(
            "left a function running that ignores its cancellation",
            job_id=self._attempt.job_id,
            task=self._attempt.task_name,
        )
        self._settle(self._failed(JobError(type="stuck", message="ignores its cancellation")))

    def _settle(self, outcome: Outcome) -> None:
        """Report the outcome, once; a stop decides it, however the function took it."""
        done, self._done = self._done, None
        if done is None:
            return
        for timer in self._timers:
            timer.cancel()
        if self._progress is not None:
            self._progress.close()
        if self._cause is not None:
            outcome = stopped(self._cause, self._duration(), self._attempt.task.timeout)
        done(outcome)

    def _completed(self, value: Any) -> Outcome:
        try:
            result = encode_result(value, self._most_result)
        except BadResultValue as error:
            return self._failed(JobError(type="result", message=str(error)))
        masked = None if result is None else self._output.masked_json(result)
        return Outcome(Ended.COMPLETED, self._duration(), masked)

    def _raised(self, error: BaseException) -> Outcome:
        outcome = self._failed(exception_error(error, self._output.masker))
        return replace(outcome, exceptions=exception_names(error))

    def _failed(self, error: JobError) -> Outcome:
        masked = masked_error(error, self._output)
        return Outcome(Ended.FAILED, self._duration(), error=masked, reason=Reason.ERROR)

    def _duration(self) -> timedelta:
        return timedelta(seconds=self._clock.monotonic() - self._started)
