"""What `@task` functions become for taskiq: how they are submitted and waited for."""

from collections.abc import Callable
from copy import copy
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

from taskiq.compat import parse_obj_as
from taskiq.decor import AsyncTaskiqDecoratedTask
from taskiq.exceptions import SendTaskError, TaskiqResultTimeoutError
from taskiq.kicker import AsyncKicker
from taskiq.result import TaskiqResult
from taskiq.task import AsyncTaskiqTask

from jobrunner.broker.results import JobResultBackend
from jobrunner.errors import JobrunnerError, JobTimeout

if TYPE_CHECKING:
    from taskiq import AsyncBroker

P = ParamSpec("P")
R = TypeVar("R")


class SubmittedJob(AsyncTaskiqTask[R]):
    """A submitted job. The store says when it has ended: nothing is polled."""

    result_backend: JobResultBackend

    async def get_result(self, with_logs: bool = False) -> TaskiqResult[R]:
        """The result of a job that has ended; a failed one has `is_err` and a JobFailed.

        What JSON cannot tell is restored by the function's return annotation, where it fits.
        Raises JobNotFound, and IllegalTransition while the job has not ended.
        """
        result = await self.result_backend.get_result(self.task_id, with_logs)
        if self.return_type is not None and not result.is_err:
            try:
                result.return_value = parse_obj_as(self.return_type, result.return_value)
            except ValueError:
                return result  # the annotation is wrong: then the plain JSON value tells most
        return result

    async def wait_result(
        self,
        check_interval: float = 0.2,  # noqa: ARG002  # taskiq's signature
        timeout: float = -1.0,
        with_logs: bool = False,
    ) -> TaskiqResult[R]:
        """The result, as soon as there is one; `check_interval` is not used.

        Raises TaskiqResultTimeoutError after `timeout` seconds; without one it waits for ever.
        """
        try:
            await self.result_backend.wait(self.task_id, timeout if timeout > 0 else None)
        except JobTimeout as error:
            raise TaskiqResultTimeoutError(timeout=timeout) from error
        return await self.get_result(with_logs)


class JobKicker(AsyncKicker[P, R]):
    """Submits, and says in our own words why it could not."""

    async def kiq(self, *args: Any, **kwargs: Any) -> Any:
        """Raises JobNotFound, InvalidArguments, UsageError, StoreUnavailable."""
        try:
            sent = await super().kiq(*args, **kwargs)
        except SendTaskError as error:
            if isinstance(error.__cause__, JobrunnerError):
                raise error.__cause__ from None
            raise
        return SubmittedJob(sent.task_id, sent.result_backend, sent.return_type)


class JobTask(AsyncTaskiqDecoratedTask[P, R]):
    """A function that the broker knows."""

    def __init__(
        self,
        broker: "AsyncBroker",
        task_name: str,
        original_func: Callable[P, R],
        labels: dict[str, Any],
        return_type: type[R] | None = None,
    ) -> None:
        # Not the parent's: it renames the user's function and puts a copy into its module, for a
        # pool of processes that is not used here.
        self.broker = broker
        self.task_name = task_name
        self.original_func = original_func
        self.labels = labels
        self.return_type = return_type

    def kicker(self) -> JobKicker[P, R]:
        return JobKicker(self.task_name, self.broker, copy(self.labels), self.return_type)
