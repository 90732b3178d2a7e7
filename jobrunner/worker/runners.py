"""Everything this worker can run: commands, functions in its loop, functions in hosts."""

import asyncio
import os
from collections.abc import Callable, Iterable
from datetime import timedelta

import msgspec

from jobrunner.clock import Clock
from jobrunner.errors import StoreUnavailable
from jobrunner.log import EventLog
from jobrunner.manifest.spec import Manifest
from jobrunner.model import JobError, Reason
from jobrunner.runner.attempt import Attempt, Ended, Outcome, Stop
from jobrunner.runner.command import CommandRunner
from jobrunner.runner.environment import base_environment
from jobrunner.runner.function import FunctionRunner
from jobrunner.runner.hostpool import HostPool
from jobrunner.runner.hoststart import HostSettings
from jobrunner.runner.logwriter import LogWriter
from jobrunner.runner.openfiles import OpenFiles
from jobrunner.runner.output import Output
from jobrunner.runner.processes import ProcessRegistry
from jobrunner.runner.results import ResultFiles
from jobrunner.runner.withheld import whole_environment
from jobrunner.store.connection import AsyncStoreConnection
from jobrunner.store.keys import Keys
from jobrunner.store.progress import note_progress
from jobrunner.worker.functions import Functions

# By which a function in a host finds the store, for its own `kiq` and `Client`.
STORE_VARIABLES = ("JOBRUNNER_FILE", "JOBRUNNER_STATE")


class Runners:
    """Performs attempts, whatever their task is, and writes their output and progress."""

    def __init__(
        self,
        manifest: Manifest,
        keys: Keys,
        connection: AsyncStoreConnection,
        clock: Clock,
        processes: ProcessRegistry,
        slots: int,
        open_files: OpenFiles | None = None,
    ) -> None:
        self._keys = keys
        self._connection = connection
        self._clock = clock
        self._logs = LogWriter(connection, keys, manifest.retention.logs, clock)
        self._results = ResultFiles(f"{processes.owner}-{processes.worker}", manifest.bounds.result)
        environ = base_environment(os.environ, manifest.withheld_variables())
        to_lower = open_files if open_files and open_files.is_raised else None
        self._commands = CommandRunner(processes, self._results, environ, clock, to_lower)
        self._functions = FunctionRunner(clock, self._write_progress, manifest.bounds.result)
        own = {name: os.environ[name] for name in STORE_VARIABLES if name in os.environ}
        self._hosts = HostPool(
            HostSettings(
                processes,
                manifest.folder,
                environ | own,
                clock,
                self._write_progress,
                _present(manifest.store_variables),
                to_lower,
                manifest.bounds.result,
            ),
            slots,
        )
        self._async_tasks = manifest.async_tasks
        self._sync_tasks = {
            name
            for name, task in manifest.tasks.items()
            if task.python is not None and not manifest.is_async(name)
        }
        self._command_tasks = {name for name, task in manifest.tasks.items() if not task.python}
        self._known = Functions()
        self._writes: set[asyncio.Task[None]] = set()

    async def take_up(self, functions: Functions) -> None:
        """The functions that were imported, before the first attempt."""
        self._known = functions
        if functions.injector is not None:
            await functions.injector.startup()

    async def saved(self, job_ids: list[str]) -> None:
        """Attempts' ends are in the store: what the middlewares of users may ask for."""
        injector = self._known.injector
        if injector is None:
            return
        for job_id in job_ids:
            try:
                await injector.saved(job_id)
            except Exception:
                # A mistake of a user's middleware must not end the writing of all jobs' ends.
                EventLog().error("failed in a post_save hook", job_id=job_id, exc_info=True)

    def output_of(self, attempt: Attempt) -> Output:
        """Where an attempt's output goes."""
        limit = attempt.task.output.max_bytes
        return Output(attempt.job_id, attempt.number, attempt.fence, self._logs, self._clock, limit)

    async def run(self, attempt: Attempt, output: Output, stop: Stop) -> Outcome:
        """Perform an attempt; whatever its task does wrong is its outcome."""
        if attempt.task.python is None:
            return await self._commands.run(attempt, output, stop)
        if not self._async_tasks.get(attempt.task_name):
            return await self._hosts.run(attempt, output, stop)
        callee = self._known.callees.get(attempt.task_name)
        if callee is None:
            failure = self._known.failures.get(attempt.task_name)
            return _not_imported(failure or JobError("import", "the function is not there"))
        invoke = self._known.invoke_of(callee, attempt)
        return await self._functions.run(attempt, invoke, output, stop)

    def can_begin(self, task: str) -> bool:
        """Whether `begin` can perform a task: all but functions that could not be imported."""
        return (
            task in self._command_tasks
            or task in self._sync_tasks
            or (bool(self._async_tasks.get(task)) and task in self._known.callees)
        )

    def begin(
        self, attempt: Attempt, output: Output, stop: Stop, ended: Callable[[Outcome], None]
    ) -> "asyncio.Task[None] | None":
        """Begin an attempt; `ended` is told the outcome, once, in a later pass of the loop.

        Returns the function's task if it runs in this loop.
        """
        if attempt.task.python is None:
            self._commands.begin(attempt, output, stop, ended)
            return None
        if attempt.task_name in self._sync_tasks:
            self._hosts.begin(attempt, output, stop, ended)
            return None
        invoke = self._known.invoke_of(self._known.callees[attempt.task_name], attempt)
        return self._functions.start(attempt, invoke, output, stop, ended)

    async def write_logs(self) -> None:
        """Write output until `close`."""
        await self._logs.run()

    def descriptors(self) -> list[int]:
        """Those by which it has commands and hosts."""
        return [*self._commands.descriptors(), *self._hosts.descriptors()]

    async def close(self) -> None:
        """Let the log writer finish, and the user's handlers for the end of a worker."""
        self._logs.close()
        self._commands.close()
        self._results.close()
        await self._hosts.close()
        if self._known.injector is not None:
            await self._known.injector.shutdown()

    def _write_progress(self, attempt: Attempt, value: bytes) -> None:
        task = asyncio.create_task(self._note_progress(attempt, value))
        self._writes.add(task)
        task.add_done_callback(self._writes.discard)

    async def _note_progress(self, attempt: Attempt, value: bytes) -> None:
        operation = note_progress(
            self._keys, attempt.job_id, attempt.entry_fence, msgspec.Raw(value)
        )
        try:
            await self._connection.run(operation)
        except StoreUnavailable as error:
            EventLog().debug("could not note progress", job_id=attempt.job_id, error=error)


def _present(names: Iterable[str]) -> dict[str, str]:
    """The variables that there are."""
    environ = whole_environment()
    return {name: environ[name] for name in names if name in environ}


def _not_imported(error: JobError) -> Outcome:
    return Outcome(Ended.FAILED, timedelta(0), error=error, reason=Reason.ERROR)
