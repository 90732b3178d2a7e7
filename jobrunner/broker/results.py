"""taskiq's view of the records: results and progress. Records are written by the workers only."""

from collections.abc import Callable
from typing import Any

from taskiq.abc.result_backend import AsyncResultBackend
from taskiq.depends.progress_tracker import TaskProgress, TaskState
from taskiq.result import TaskiqResult

from jobrunner.client import AsyncClient
from jobrunner.client.outcome import job_failed
from jobrunner.context import Context
from jobrunner.errors import IllegalTransition
from jobrunner.model import JobState


class JobResultBackend(AsyncResultBackend[Any]):
    """Reads records for taskiq; `contexts` are those of the jobs that run in this process."""

    def __init__(self, client: Callable[[], AsyncClient]) -> None:
        self._client = client
        self.contexts: dict[str, Context] = {}

    async def set_result(
        self,
        task_id: str,
        result: TaskiqResult[Any],  # noqa: ARG002  # taskiq's signature
    ) -> None:
        """Refused: an end is written under the fence of its attempt, which only a worker has."""
        raise IllegalTransition(
            f"the result of job {task_id} cannot be set",
            why="what the function returns is its result",
            fix="return it from the function",
        )

    async def is_result_ready(self, task_id: str) -> bool:
        """Whether the job has ended, however it did. Raises JobNotFound."""
        job = await self._client().job(task_id)
        return job.is_terminal

    async def wait(self, task_id: str, timeout: float | None) -> None:
        """Return when the job has ended, told by the store. Raises JobTimeout."""
        await self._client().wait([task_id], timeout)

    async def get_result(self, task_id: str, with_logs: bool = False) -> TaskiqResult[Any]:
        """Raises JobNotFound, and IllegalTransition while the job has not ended."""
        job = await self._client().job(task_id)
        if not job.is_terminal:
            raise IllegalTransition(
                f"job {task_id} has no result yet: it is {job.state}",
                fix="wait for it with `wait_result()`",
            )
        logs = await self._client().logs(task_id) if with_logs else None
        return TaskiqResult(
            is_err=job.state is not JobState.COMPLETED,
            log=None if logs is None else "\n".join(line.text for line in logs),
            return_value=job.result,
            execution_time=job.duration.total_seconds() if job.duration else 0.0,
            error=None if job.state is JobState.COMPLETED else job_failed(job),
        )

    async def set_progress(self, task_id: str, progress: TaskProgress[Any]) -> None:
        """The same as `Context.progress`, of a job that runs in this process."""
        context = self.contexts.get(task_id)
        if context is None:
            raise IllegalTransition(
                f"job {task_id} does not run here", fix="report progress from within its function"
            )
        context.progress({"state": progress.state, "meta": progress.meta})

    async def get_progress(self, task_id: str) -> TaskProgress[Any] | None:
        """What the job said last; a plain value of `Context.progress` counts as its `meta`."""
        value = (await self._client().job(task_id)).progress
        if value is None:
            return None
        if isinstance(value, dict) and value.keys() == {"state", "meta"}:
            return TaskProgress(state=value["state"], meta=value["meta"])
        return TaskProgress(state=TaskState.STARTED, meta=value)
