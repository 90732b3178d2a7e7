"""One attempt on its way through the function hosts, from the pool's queue to its outcome."""

import asyncio
from collections.abc import Callable
from datetime import timedelta

from jobrunner.clock import to_ms
from jobrunner.runner.attempt import Attempt, Ended, Outcome
from jobrunner.runner.environment import secret_arguments
from jobrunner.runner.hostwire import Call, End, Returned
from jobrunner.runner.output import Output, masked_error
from jobrunner.runner.progress import ProgressReport
from jobrunner.runner.waiting import Cause, stopped

WriteProgress = Callable[[Attempt, bytes], None]


class HostedCall:
    """Belongs to the worker's loop."""

    __slots__ = (
        "_done",
        "_progress",
        "_secrets",
        "attempt",
        "cause",
        "is_alone",
        "output",
        "since",
        "target",
    )

    def __init__(
        self,
        attempt: Attempt,
        output: Output,
        done: Callable[[Outcome], None],
        since: float,
        *,
        is_alone: bool,
    ) -> None:
        """`done` is told the outcome, once. `since` is the loop's time.

        One that `is_alone` is in its host with no other call behind it, so that others may kill
        that host at any time.
        """
        self.attempt = attempt
        self.output = output
        self.since = since
        self.is_alone = is_alone
        self.target = attempt.task.python or ""
        self.cause: Cause | None = None  # once it is being stopped
        self._done: Callable[[Outcome], None] | None = done
        self._progress: ProgressReport | None = None
        self._secrets = secret_arguments(attempt) if attempt.task.params else []
        output.mask(self._secrets)

    @property
    def is_over(self) -> bool:
        """The outcome is told."""
        return self._done is None

    def report(self, value: bytes, write: WriteProgress) -> None:
        """Take progress (JSON)."""
        if self._progress is None:
            loop, attempt = asyncio.get_running_loop(), self.attempt
            self._progress = ProgressReport(loop, lambda value: write(attempt, value))
        self._progress.report(self.output.masked_json(value))

    def settle(self, outcome: Outcome) -> None:
        """Tell the outcome; a second one is ignored."""
        done, self._done = self._done, None
        if self._progress is not None:
            self._progress.close()
        if done is not None:
            done(outcome)

    def abandon(self) -> None:
        """Nobody wants to know the outcome any more."""
        self._done = None

    def end(self, end: End) -> None:
        """Tell what the host said."""
        duration = timedelta(seconds=end.seconds)
        if isinstance(end, Returned):
            result = None if end.result is None else self.output.masked_json(end.result)
            self.settle(Outcome(Ended.COMPLETED, duration, result))
            return
        failed = Outcome(
            Ended.FAILED,
            duration,
            error=masked_error(end.error, self.output),
            reason=end.reason,
            exceptions=end.exceptions,
        )
        self.settle(failed)

    def stop(self, cause: Cause, seconds: float = 0.0) -> None:
        """Tell that it was stopped, `seconds` after it had begun."""
        self.settle(stopped(cause, timedelta(seconds=seconds), self.attempt.task.timeout))

    def message(self, number: int) -> Call:
        """What the host is told; `number` is that of its token."""
        attempt = self.attempt
        return Call(
            number=number,
            target=self.target,
            arguments=attempt.arguments,
            labels=attempt.labels,
            job_id=attempt.job_id,
            task=attempt.task_name,
            attempt=attempt.number,
            fence=attempt.fence,
            queue=attempt.queue,
            fire_time=None if attempt.fire_time is None else to_ms(attempt.fire_time),
            secrets=self._secrets,
        )
