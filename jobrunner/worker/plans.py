"""What a worker knows of each task, looked up once: how to check, lock, run and end its jobs."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from random import random
from typing import Any

import msgspec

from jobrunner.clock import Clock, from_ms
from jobrunner.errors import InvalidArguments
from jobrunner.manifest.parts import Env
from jobrunner.manifest.spec import Ack, Conflict, Lock, Manifest, Record, Task
from jobrunner.message import Message
from jobrunner.model import JobState, Reason
from jobrunner.params import ParamSpec, bound_arguments, check_arguments, secret_names, substitute
from jobrunner.policy import Failure, retry_delay, should_retry
from jobrunner.runner.attempt import Attempt, Ended, Outcome
from jobrunner.store.attempts import Entry, Finish, HeldLock
from jobrunner.store.records import usage_text

_encode = msgspec.json.Encoder().encode


class PreparedJob(msgspec.Struct, frozen=True):
    """A claimed job whose arguments were found good."""

    body: Message
    arguments: dict[str, Any]
    lock: HeldLock | None


@dataclass(frozen=True, slots=True)
class TaskPlan:
    """One task of the manifest, ready to perform."""

    name: str
    task: Task
    specs: Sequence[ParamSpec]
    lock_of: Callable[[str | None], Lock | None]  # for jobs of a cron, or of none
    withheld_of: Callable[[str | None], Mapping[str, Any]]  # secret arguments of a cron's jobs
    namespace: str
    folder: Path
    env_layers: Sequence[tuple[list[str], Env]]
    today: Callable[[], date]
    is_eager: bool  # its start record is written before the attempt begins
    is_adhoc: bool  # each of its jobs brings its own command
    acks_each: bool  # each end is written by itself

    def prepare(self, body: Message) -> PreparedJob:
        """Check the arguments and name the lock. Raises InvalidArguments."""
        arguments = body.kwargs
        if body.args:
            arguments = bound_arguments(self.name, self.specs, arguments, body.args)
        if withheld := self.withheld_of(body.cron):
            arguments = {**withheld, **arguments}
        if self.specs or arguments:
            arguments = check_arguments(
                self.name, self.specs, arguments, from_text=False, today=self._day_of(body)
            )
        if self.is_adhoc:
            _require_argv(arguments.get("command"))
        lock = self.lock_of(body.cron)
        return PreparedJob(body, arguments, _held_lock(lock, arguments) if lock else None)

    def _day_of(self, body: Message) -> date:
        """The day that `default: today` means: the fire time's, however late the job runs."""
        return self.today() if body.fire_time is None else from_ms(body.fire_time).date()

    def attempt(self, entry: Entry, job: PreparedJob, fence: str, worker: str) -> Attempt:
        """What the runner is given."""
        body = job.body
        return Attempt(
            job_id=entry.job_id,
            task_name=self.name,
            task=self.task,
            number=entry.attempt,
            fence=fence,
            entry_fence=entry.fence,
            queue=entry.queue,
            worker=worker,
            namespace=self.namespace,
            folder=self.folder,
            arguments={} if self.is_adhoc else job.arguments,
            argv=job.arguments["command"] if self.is_adhoc else None,
            labels=body.labels,
            cron=body.cron,
            fire_time=None if body.fire_time is None else from_ms(body.fire_time),
            env_layers=self.env_layers,
        )

    def finish_of(self, entry: Entry, job: PreparedJob, outcome: Outcome) -> Finish:
        """How an attempt's end is to be written: its job's end, or its retry."""
        state = _STATES[outcome.ended]
        life = self.task.result_ttl
        return Finish(
            entry,
            self.name,
            state,
            outcome.reason or (Reason.ERROR if state is JobState.FAILED else None),
            result=outcome.result or b"",
            error=_encode(outcome.error) if outcome.error else b"",
            stderr=outcome.stderr,
            duration_ms=_ms(outcome.duration),
            retry_delay_ms=self._retry_delay_ms(entry, outcome),
            result_life_ms=None if life is None else _ms(life),
            lock=job.lock,
            cron=job.body.cron,
            usage=usage_text(outcome.usage) if outcome.usage else "",
            left=_encode(outcome.left) if outcome.left else b"",
        )

    def _retry_delay_ms(self, entry: Entry, outcome: Outcome) -> int | None:
        if outcome.ended is not Ended.FAILED or outcome.reason is Reason.LOST:
            return None
        # Not what was lost with its worker: that says nothing against the job.
        counted = entry.attempt - entry.lost - entry.base
        failure = Failure(exit_code=outcome.exit_code, exceptions=outcome.exceptions)
        if not should_retry(self.task.retry, counted, failure):
            return None
        return _ms(retry_delay(self.task.retry, counted, random()))

    def cancelled(self, entry: Entry, job: PreparedJob) -> Finish:
        """The end of a job that was cancelled before its attempt began."""
        return Finish(
            entry,
            self.name,
            JobState.CANCELLED,
            lock=job.lock,
            cron=job.body.cron,
            counts_attempt=False,
        )

    def locked(self, entry: Entry, job: PreparedJob, holder: str) -> Finish:
        """The end of a job whose lock another job holds."""
        is_failure = job.lock is not None and job.lock.conflict == Conflict.FAIL
        return Finish(
            entry,
            self.name,
            JobState.FAILED if is_failure else JobState.SKIPPED,
            Reason.LOCKED,
            detail=holder,
            lock=job.lock,  # it may have been in line, for as long as its task said `wait`
            cron=job.body.cron,
            counts_attempt=False,
        )


def _require_argv(command: object) -> None:
    words = command if isinstance(command, list) else []
    if not words or not all(isinstance(word, str) for word in words):
        raise InvalidArguments(
            f"parameter 'command' must be a program and its arguments, not {command!r}",
            fix="submit it as a list of texts",
        )


_STATES = {
    Ended.COMPLETED: JobState.COMPLETED,
    Ended.FAILED: JobState.FAILED,
    Ended.CANCELLED: JobState.CANCELLED,
}


def _ms(duration: timedelta) -> int:
    return round(duration.total_seconds() * 1000)


def _held_lock(lock: Lock, arguments: Mapping[str, Any]) -> HeldLock:
    return HeldLock(
        substitute(lock.name, arguments), lock.slots, _ms(lock.ttl), lock.conflict.value
    )


def build_plans(manifest: Manifest, clock: Clock) -> dict[str, TaskPlan]:
    """The plan of every task, by name."""
    return {name: _plan_of(manifest, name, task, clock) for name, task in manifest.tasks.items()}


def _plan_of(manifest: Manifest, name: str, task: Task, clock: Clock) -> TaskPlan:
    locks: dict[str | None, Lock | None] = {
        cron: manifest.lock_of(name, cron)
        for cron, spec in manifest.crons.items()
        if spec.task == name
    }
    own = manifest.lock_of(name)
    specs = task.param_specs()
    withheld: dict[str | None, dict[str, Any]] = {
        cron: {key: spec.params[key] for key in secret_names(specs, spec.params)}
        for cron, spec in manifest.crons.items()
        if spec.task == name
    }
    return TaskPlan(
        name,
        task,
        specs,
        lambda cron: locks.get(cron, own),
        lambda cron: withheld.get(cron, {}),
        manifest.name,
        manifest.folder,
        manifest.env_layers(task),
        lambda: clock.now().date(),
        is_eager=task.record is Record.EAGER,
        is_adhoc=task.kind is None,
        acks_each=task.ack is Ack.EACH,
    )
