"""Performs functions that use taskiq: dependencies are resolved, the middlewares of users called.

Timeout, cancel, retry, record and result are the worker's, as for any other function. Nothing is
swallowed here: what the function raises, cancellation too, goes on to the worker.
"""

import inspect
from collections.abc import Callable, Mapping
from time import monotonic
from typing import Any, NoReturn

from taskiq import Context as TaskiqContext
from taskiq import TaskiqMiddleware, TaskiqResult
from taskiq.exceptions import NoResultError
from taskiq.message import TaskiqMessage
from taskiq.state import TaskiqState
from taskiq.utils import maybe_awaitable
from taskiq_dependencies import DependencyGraph

from jobrunner.broker.broker import JobBroker
from jobrunner.context import Context
from jobrunner.errors import IllegalTransition

Function = Callable[..., Any]


class JobContext(TaskiqContext):
    """What `TaskiqDepends` gives for `taskiq.Context`."""

    async def requeue(self) -> NoReturn:
        """Refused: it would submit a second copy before the first has ended."""
        raise IllegalTransition(
            f"job {self.message.task_id} cannot requeue itself",
            why="only the task's retry policy repeats a job",
            fix="give the task a `retry`, and raise an error",
        )


class Injector:
    """Calls functions for a worker or a function host.

    taskiq's own receiver is not used: it acks, keeps results and swallows cancellation.
    """

    def __init__(self, broker: JobBroker) -> None:
        self._broker = broker
        self._graphs: dict[Function, DependencyGraph] = {}
        self._unsaved: dict[str, tuple[TaskiqMessage, TaskiqResult[Any]]] = {}

    async def invoke(
        self,
        function: Function,
        arguments: Mapping[str, Any],
        context: Context,
        labels: Mapping[str, Any] | None = None,
    ) -> Any:
        """The function's value, as the middlewares leave it.

        `arguments` are checked and converted. Raises whatever dependencies, middlewares and the
        function raise. Call `saved` when the job's end is in the store.
        """
        message = TaskiqMessage(
            task_id=context.job_id,
            task_name=context.task,
            labels=dict(labels or {}),
            args=[],
            kwargs=dict(arguments),
        )
        contexts = self._broker.result_backend.contexts
        contexts[context.job_id] = context
        try:
            if self._broker.middlewares:
                return await self._between_middlewares(function, message, context)
            return await self._perform(function, message, context)
        finally:
            del contexts[context.job_id]

    async def saved(self, job_id: str) -> None:
        """Tell the middlewares that the end of a job of `invoke` is in the store."""
        unsaved = self._unsaved.pop(job_id, None)
        if unsaved is not None:
            for middleware in reversed(self._having("post_save")):
                await maybe_awaitable(middleware.post_save(*unsaved))

    async def _perform(self, function: Function, message: TaskiqMessage, context: Context) -> Any:
        """Resolve the dependencies, call the function and close the dependencies."""
        graph = self._graphs.get(function)
        if graph is None:
            graph = self._graphs[function] = DependencyGraph(function)
        # Made anew for each job: in the broker's dictionary, jobs would meet others' contexts.
        known = {
            **self._broker.custom_dependency_context,
            Context: context,
            TaskiqContext: JobContext(message, self._broker),
            TaskiqState: self._broker.state,
        }
        async with graph.async_ctx(known, self._broker.dependency_overrides or None) as resolving:
            resolved = await resolving.resolve_kwargs()
            try:
                value = function(**{**resolved, **message.kwargs})
                return await value if inspect.isawaitable(value) else value
            except NoResultError:
                return None  # taskiq's way to say that nobody needs the result

    async def _between_middlewares(
        self, function: Function, message: TaskiqMessage, context: Context
    ) -> Any:
        for middleware in self._having("pre_execute"):
            message = await maybe_awaitable(middleware.pre_execute(message))
        started_at = monotonic()
        try:
            value = await self._perform(function, message, context)
        except BaseException as error:
            # Also for a cancelled one: what a middleware began before it, it ends after it.
            await self._after(message, _result(message, None, error, started_at), error)
            raise
        result = _result(message, value, None, started_at)
        await self._after(message, result, None)
        return result.return_value

    async def _after(
        self, message: TaskiqMessage, result: TaskiqResult[Any], error: BaseException | None
    ) -> None:
        if error is not None:
            for middleware in reversed(self._having("on_error")):
                await maybe_awaitable(middleware.on_error(message, result, error))
        for middleware in reversed(self._having("post_execute")):
            await maybe_awaitable(middleware.post_execute(message, result))
        if self._having("post_save"):
            self._unsaved[message.task_id] = (message, result)

    def _having(self, hook: str) -> list[TaskiqMiddleware]:
        """The middlewares that have a hook of their own."""
        empty = getattr(TaskiqMiddleware, hook)
        return [each for each in self._broker.middlewares if getattr(type(each), hook) is not empty]


def _result(
    message: TaskiqMessage, value: Any, error: BaseException | None, started_at: float
) -> TaskiqResult[Any]:
    return TaskiqResult(
        is_err=error is not None,
        return_value=value,
        execution_time=round(monotonic() - started_at, 2),
        error=error,
        labels=message.labels,
    )
