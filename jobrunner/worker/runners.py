"""Everything this worker can run: commands, functions in the loop, functions in hosts."""

import os

from jobrunner.clock import Clock
from jobrunner.manifest.spec import Manifest
from jobrunner.runner.attempt import Attempt, Outcome, Stop
from jobrunner.runner.command import CommandRunner
from jobrunner.runner.environment import base_environment
from jobrunner.runner.logwriter import LogWriter
from jobrunner.runner.output import Output
from jobrunner.runner.processes import ProcessRegistry
from jobrunner.runner.results import ResultFiles
from jobrunner.store.connection import AsyncStoreConnection
from jobrunner.store.keys import Keys


class Runners:
    """Performs attempts, whatever their task is, and writes their output."""

    def __init__(
        self,
        manifest: Manifest,
        keys: Keys,
        connection: AsyncStoreConnection,
        clock: Clock,
        processes: ProcessRegistry,
    ) -> None:
        self._clock = clock
        self._logs = LogWriter(connection, keys, manifest.retention.logs, clock)
        self._results = ResultFiles()
        layers = [manifest.env, *(task.env for task in manifest.tasks.values())]
        environ = base_environment(os.environ, layers)
        self._commands = CommandRunner(processes, self._results, environ, clock)

    def output_of(self, attempt: Attempt) -> Output:
        """Where an attempt's output goes."""
        limit = attempt.task.output.max_bytes
        return Output(attempt.job_id, attempt.number, attempt.fence, self._logs, self._clock, limit)

    async def run(self, attempt: Attempt, output: Output, stop: Stop) -> Outcome:
        """Perform an attempt; whatever its task does wrong is its outcome."""
        return await self._commands.run(attempt, output, stop)

    async def write_logs(self) -> None:
        """Write output until `close`."""
        await self._logs.run()

    def close(self) -> None:
        """Let the log writer finish."""
        self._logs.close()
        self._results.close()
