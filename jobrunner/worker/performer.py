"""One job from its claim to the end of the attempt: the phases, in order.

plan → (lock and start record) → run → finish. Each attempt is one slot and one asyncio task of the
performer's own; but what needs neither lock nor early record takes the fast path: nothing is
awaited between the claim of a job and the first line of its function, nor between its last line and
the batch of ends. There an asynchronous function has only the task that runs it; a synchronous one,
in its host, has none, and neither has a command, from its start to its exit.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum

import msgspec
from msgspec.structs import replace

from jobrunner import message
from jobrunner.clock import Clock
from jobrunner.errors import InvalidArguments
from jobrunner.heartbeat import Heartbeat
from jobrunner.log import EventLog
from jobrunner.message import Message
from jobrunner.model import Job, JobError, JobState, Reason
from jobrunner.runner.attempt import ENDED_BY, Ended, Outcome, Stop, StopReason
from jobrunner.runner.failures import LONGEST_QUOTE
from jobrunner.runner.output import Output
from jobrunner.store.attempts import Entry, Finish, HeldLock, Requeued, Start, StartedAs, requeue
from jobrunner.store.connection import AsyncStoreConnection
from jobrunner.store.damage import FIX
from jobrunner.store.keys import Keys
from jobrunner.store.leases import LockLease
from jobrunner.store.parking import Parked, is_known, park
from jobrunner.store.records import END, read_parts
from jobrunner.worker.finisher import Finisher
from jobrunner.worker.outage import until_done
from jobrunner.worker.plans import PreparedJob, TaskPlan
from jobrunner.worker.runners import Runners
from jobrunner.worker.starter import Starter

STOPPED_TOGETHER_S = 0.2  # between a TERM or KILL to a job and the TERM to its worker


class Left(StrEnum):
    """What became of a job that leaves its slot."""

    ENDED = "ended"
    FOR_OTHERS = "for others"  # who know its task
    NO_ROOM = "no room"  # to start it; it is in its queue again


@dataclass(slots=True, eq=False)
class Running:
    """An attempt under way; of a job that was given back, the next may begin before it is gone."""

    entry: Entry
    stop: Stop
    task: asyncio.Task[None] | None = None  # kept: the loop itself would let it be collected
    left: Left = Left.ENDED
    why: str = ""  # it could not be started


class Performer:
    """Performs claimed jobs; knows all attempts of this worker."""

    def __init__(
        self,
        keys: Keys,
        connection: AsyncStoreConnection,
        plans: Mapping[str, TaskPlan],
        clock: Clock,
        worker: str,
        runners: Runners,
        heartbeat: Heartbeat,
        on_free: Callable[[Left, str], None],
        most_arguments: int = message.MOST_ARGUMENTS,
    ) -> None:
        """`on_free` is told what became of a job, and why, if it could not be started."""
        self._keys = keys
        self._connection = connection
        self._plans = plans
        self._clock = clock
        self._worker = worker
        self._runners = runners
        self._heartbeat = heartbeat
        self._on_free = on_free
        self._most_arguments = most_arguments  # bytes
        self._running: set[Running] = set()
        self._is_idle = asyncio.Event()
        self._is_idle.set()
        self._stopping = asyncio.Event()
        self.finisher = Finisher(keys, connection, worker, runners.saved)
        self.starter = Starter(keys, connection, worker, clock, self._refuse)

    @property
    def busy(self) -> int:
        """Attempts under way."""
        return len(self._running)

    def begin(self, entry: Entry) -> None:
        """Perform a claimed job, in the background."""
        running = Running(entry, Stop())
        self._running.add(running)
        self._is_idle.clear()
        try:
            if self._begin_at_once(running):
                return
            ending = self._end_of(running)
        except Exception as error:
            ending = _raise(error)  # answered like one of the longer way
        running.task = asyncio.create_task(self._perform(running, ending))

    def stop_job(self, job_id: str, reason: StopReason) -> None:
        """Stop a job's attempt if it is ours."""
        for running in list(self._running):
            if running.entry.job_id == job_id:
                running.stop.set(reason)

    def stop_all(self, reason: StopReason) -> None:
        """Stop every attempt."""
        for running in list(self._running):
            running.stop.set(reason)

    def note_stopping(self) -> None:
        """The daemon is being stopped, perhaps by somebody who kills the jobs, too."""
        self._stopping.set()

    async def wait_idle(self) -> None:
        """Return when no attempt is under way."""
        await self._is_idle.wait()

    def _refuse(self, job_id: str, what: StartedAs) -> None:
        is_cancelled = what is StartedAs.CANCELLED
        self.stop_job(job_id, StopReason.CANCEL if is_cancelled else StopReason.LEASE_LOST)

    def _begin_at_once(self, running: Running) -> bool:
        """The fast path; false for all that needs more than to be begun."""
        entry = running.entry
        try:
            body = self._read(entry)
            plan = self._plans[body.task]
            job = plan.prepare(body)
        except (msgspec.DecodeError, KeyError, InvalidArguments):
            return False  # what is wrong is found again, and said
        if job.lock is not None or plan.is_eager or not self._heartbeat.is_trusted():
            return False
        if not self._runners.can_begin(plan.name):
            return False
        attempt = plan.attempt(entry, job, str(entry.fence), self._worker)
        output = self._runners.output_of(attempt)

        def ended(outcome: Outcome) -> None:
            begun.is_ended = True
            if outcome.ended is Ended.COMPLETED and not plan.acks_each and output.close_silently():
                self.finisher.add(plan.finish_of(entry, job, outcome))
                self._free(running)
            else:
                ending = self._end_after_output(running, plan, job, output, outcome)
                running.task = asyncio.create_task(self._perform(running, ending))

        begun = self.starter.begin(entry, plan.name)
        running.task = self._runners.begin(attempt, output, running.stop, ended)
        return True

    async def _end_after_output(
        self, running: Running, plan: TaskPlan, job: PreparedJob, output: Output, outcome: Outcome
    ) -> Finish | None:
        await output.close()
        return await self._after(running, plan, job, _with_stderr(outcome, output))

    async def _perform(self, running: Running, ending: Awaitable[Finish | None]) -> None:
        entry = running.entry
        try:
            end = await ending
            if end is not None:
                await self._finish(end)
        except Exception as error:
            EventLog().error("failed to perform a job", job_id=entry.job_id, exc_info=True)
            await self._fail(entry, error)
        finally:
            self._free(running)

    def _free(self, running: Running) -> None:
        self._running.discard(running)
        if not self._running:
            self._is_idle.set()
        self._on_free(running.left, running.why)

    async def _fail(self, entry: Entry, error: Exception) -> None:
        """A bug of ours must not leave the job claimed for as long as this worker lives."""
        what = f"jobrunner could not perform it: {error!r}"
        await self.finisher.write_now(await self._refused(entry, Reason.ERROR, what))

    async def _finish(self, end: Finish) -> None:
        plan = self._plans.get(end.task)
        if plan is not None and plan.acks_each:
            await self.finisher.write_now(end)
        else:
            self.finisher.add(end)

    def _read(self, entry: Entry) -> Message:
        """Raises InvalidArguments for a message that is too large, msgspec.DecodeError."""
        message.check_size(len(entry.message), self._most_arguments)
        return message.decode(entry.message)

    async def _end_of(self, running: Running) -> Finish | None:
        """The end to be written; None when the job went elsewhere (blocked, given back, lost)."""
        entry = running.entry
        try:
            body = self._read(entry)
        except msgspec.DecodeError as error:
            what = f"damaged message: {error}"
            return await self._refused(entry, Reason.INVALID_ARGUMENTS, what)
        except InvalidArguments as error:
            return await self._refused(entry, Reason.INVALID_ARGUMENTS, str(error))
        plan = self._plans.get(body.task)
        if plan is None:
            return await self._unknown(running, body)
        try:
            job = plan.prepare(body)
        except InvalidArguments as error:
            return await self._refused(entry, Reason.INVALID_ARGUMENTS, str(error), body)
        return await self._start_and_run(running, plan, job)

    async def _refused(
        self, entry: Entry, reason: Reason, what: str, body: Message | None = None
    ) -> Finish:
        """A job that cannot even begin; it is a dead letter and can be retried once mended."""
        job = await self._recorded(entry)
        if body is None:
            body = Message(job.task, cron=job.cron) if job else Message("?")
        error = JobError(type=reason, message=what)
        return Finish(
            entry,
            body.task,
            JobState.FAILED,
            reason,
            error=msgspec.json.encode(error),
            lock=HeldLock.of_record(job),  # its task may have been another when it got in line
            cron=body.cron,
            counts_attempt=False,
        )

    async def _recorded(self, entry: Entry) -> Job | None:
        jobs = await until_done(
            self._connection,
            # Not the message: it may be what is too large.
            lambda: read_parts(self._keys, [entry.job_id], (*END, "lock", "cron")),
            "read a job",
        )
        return jobs[0] if jobs else None

    async def _unknown(self, running: Running, body: Message) -> Finish | None:
        """A job whose task is not in this worker's manifest is left to who knows it."""
        entry, task = running.entry, body.task
        known = await until_done(
            self._connection, lambda: is_known(self._keys, task), "look for an unknown task"
        )
        if not known:
            what = f"no daemon's manifest has a task {task!r}"
            return await self._refused(entry, Reason.UNKNOWN_TASK, what, body)
        running.left = Left.FOR_OTHERS
        parked = await until_done(
            self._connection, lambda: park(self._keys, entry, task), "park a job"
        )
        if parked is Parked.CANCELLING:
            lock = HeldLock.of_record(await self._recorded(entry))
            cron = body.cron
            return Finish(
                entry, task, JobState.CANCELLED, lock=lock, cron=cron, counts_attempt=False
            )
        return None

    async def _start_and_run(
        self, running: Running, plan: TaskPlan, job: PreparedJob
    ) -> Finish | None:
        if job.lock is not None or plan.is_eager:
            return await self._run_eagerly(running, plan, job)
        begun = self.starter.begin(running.entry, plan.name)
        outcome = await self._run(running, plan, job, str(running.entry.fence))
        begun.is_ended = True
        return await self._after(running, plan, job, outcome)

    async def _run_eagerly(
        self, running: Running, plan: TaskPlan, job: PreparedJob
    ) -> Finish | None:
        entry = running.entry
        asked_at = self._clock.monotonic()
        what, detail = await self.starter.start_now(Start(entry, plan.name, lock=job.lock))
        if what is StartedAs.DAMAGED and job.lock is not None:
            damage = f"lock {job.lock.name!r} is damaged in the store: {FIX}"
            return await self._refused(entry, Reason.ERROR, damage)
        if what is not StartedAs.STARTED:
            return _not_started(entry, plan, job, what, detail)
        if job.lock is None:
            outcome = await self._run(running, plan, job, str(entry.fence))
        else:
            lease = LockLease(job.lock.name, entry.job_id, detail, job.lock.ttl_ms)
            self._heartbeat.hold(lease, asked_at)
            try:
                outcome = await self._run(running, plan, job, fence=detail)
            finally:
                self._heartbeat.let_go(entry.job_id)
        return await self._after(running, plan, job, outcome)

    async def _run(self, running: Running, plan: TaskPlan, job: PreparedJob, fence: str) -> Outcome:
        if not self._heartbeat.is_trusted():
            # Paused since the claim (a stopped process, a suspended machine): others may have it.
            running.stop.set(StopReason.SHUTDOWN)
        if running.stop.reason is not None:
            return Outcome(ENDED_BY[running.stop.reason], timedelta(0))
        attempt = plan.attempt(running.entry, job, fence, self._worker)
        output = self._runners.output_of(attempt)
        try:
            outcome = await self._runners.run(attempt, output, running.stop)
        finally:
            await output.close()
        return _with_stderr(outcome, output)

    async def _after(
        self, running: Running, plan: TaskPlan, job: PreparedJob, outcome: Outcome
    ) -> Finish | None:
        entry, why = running.entry, running.stop.reason
        is_unasked = why is None or why is StopReason.SHUTDOWN
        if outcome.was_killed and is_unasked and await self._is_being_stopped():
            return await self._give_back(entry, plan, job, is_lost=False)
        if outcome.ended is Ended.ABANDONED and why is None:
            running.left = Left.NO_ROOM
            running.why = outcome.error.message if outcome.error else ""
            return await self._give_back(entry, plan, job, is_lost=False)
        if outcome.ended is Ended.ABANDONED and why is StopReason.SHUTDOWN:
            return await self._give_back(entry, plan, job, is_lost=False)
        if why is StopReason.LEASE_LOST and outcome.ended is not Ended.COMPLETED:
            if self._heartbeat.is_lost:
                return None  # it is rescued with this worker
            outcome = replace(outcome, ended=Ended.FAILED, error=_LOCK_LOST, reason=Reason.LOST)
        if outcome.reason is Reason.LOST and entry.lost + 1 < plan.task.max_lost:
            return await self._give_back(entry, plan, job, is_lost=True)
        return plan.finish_of(entry, job, outcome)

    async def _is_being_stopped(self) -> bool:
        """Whether what killed a job stops us, too: that reaches the two of us in any order."""
        with suppress(TimeoutError):
            async with asyncio.timeout(STOPPED_TOGETHER_S):
                await self._stopping.wait()
        return self._stopping.is_set()

    async def _give_back(
        self, entry: Entry, plan: TaskPlan, job: PreparedJob, *, is_lost: bool
    ) -> Finish | None:
        replies = await until_done(
            self._connection,
            lambda: requeue(self._keys, [entry], is_lost=is_lost),
            "give a job back",
        )
        if replies == [Requeued.CANCELLING]:
            return plan.cancelled(entry, job)
        return None


_LOCK_LOST = JobError(type="lost", message="it was stopped since its lock was lost")


def _with_stderr(outcome: Outcome, output: Output) -> Outcome:
    """A success that said something there may be none; a failure quotes it in its error."""
    if outcome.ended is not Ended.COMPLETED or not output.last_stderr:
        return outcome
    return replace(outcome, stderr=output.last_stderr.strip()[:LONGEST_QUOTE])


async def _raise(error: Exception) -> Finish | None:
    raise error


def _not_started(
    entry: Entry, plan: TaskPlan, job: PreparedJob, what: StartedAs, detail: str
) -> Finish | None:
    """What follows when the start script said no; `detail` is the lock's holder."""
    if what is StartedAs.CANCELLED:
        return plan.cancelled(entry, job)
    if what is StartedAs.LOCKED:
        return plan.locked(entry, job, holder=detail)
    return None  # stale: it belongs to another worker; blocked: the release wakes it
