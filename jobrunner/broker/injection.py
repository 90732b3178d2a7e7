"""Performs functions that use taskiq: dependencies are resolved, the middlewares of users called.

Timeout, cancel, retry, record and result are the worker's, as for any other function. Nothing is
swallowed here: what the function raises, cancellation too, goes on to the worker.
"""

import inspect
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
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
from jobrunner.runner.attempt import Attempt
from jobrunner.runner.calling import Callee
from jobrunner.runner.forks import InThisProcess
from jobrunner.runner.function import Invoke


class JobContext(TaskiqContext):
    """What `TaskiqDepends` gives for `taskiq.Context`."""

    async def requeue(self) -> NoReturn:
        """Refused: it would submit a second copy before the first has ended."""
        raise IllegalTransition(
            f"job {self.message.task_id} cannot requeue itself",
            why="only the task's retry policy repeats a job",
            fix="give the task a `retry`, and raise an error",
        )


@dataclass(slots=True)
class _Job:
    """One attempt; middlewares may put another message in the place of the first."""

    callee: Callee
    context: Context
    message: TaskiqMessage


class Injector:
    """Calls functions for a worker or a function host.

    taskiq's own receiver is not used: it acks, keeps results and swallows cancellation.
    """

    def __init__(self, broker: JobBroker) -> None:
        self._broker = broker
        self._graphs: dict[Callable[..., Any], DependencyGraph] = {}
        self._unsaved: dict[str, tuple[TaskiqMessage, TaskiqResult[Any]]] = {}
        self._is_told_of_saves = False

    @property
    def has_middlewares(self) -> bool:
        """Whether every function is to be called through here, also one without dependencies."""
        return bool(self._broker.middlewares)

    def invoke_of(self, callee: Callee, attempt: Attempt) -> Invoke:
        """As `direct_invoke`, for a function whose parameters or surroundings need taskiq."""

        def invoke(make_context: Callable[[], Context]) -> Awaitable[Any]:
            return self.invoke(callee, attempt.arguments, make_context(), attempt.labels)

        return invoke

    async def invoke(
        self,
        callee: Callee,
        arguments: Mapping[str, Any],
        context: Context,
        labels: Mapping[str, Any],
    ) -> Any:
        """The function's value, as the middlewares leave it.

        Raises InvalidArguments, and whatever dependencies, middlewares and the function raise.
        """
        message = TaskiqMessage(
            task_id=context.job_id,
            task_name=context.task,
            labels=dict(labels),
            args=[],
            kwargs=callee.converted(arguments),
        )
        job = _Job(callee, context, message)
        contexts = self._broker.result_backend.contexts
        contexts[context.job_id] = context
        try:
            if self._broker.middlewares:
                return await self._between_middlewares(job)
            return await self._perform(job)
        finally:
            del contexts[context.job_id]

    async def startup(self) -> None:
        """Run the user's event handlers for the start of a worker, and those of middlewares.

        For a worker only: it calls `saved` from now on.
        """
        self._is_told_of_saves = True
        self._broker.is_worker_process = True
        with InThisProcess():
            await self._broker.startup()

    async def shutdown(self) -> None:
        """The same for its end."""
        with InThisProcess():
            await self._broker.shutdown()

    async def saved(self, job_id: str) -> None:
        """Tell the middlewares that the end of a job of `invoke` is in the store."""
        unsaved = self._unsaved.pop(job_id, None)
        if unsaved is not None:
            for middleware in reversed(self._having("post_save")):
                with InThisProcess():
                    await maybe_awaitable(middleware.post_save(*unsaved))

    async def _perform(self, job: "_Job") -> Any:
        """Resolve the dependencies, call the function and close the dependencies."""
        graph = self._graph_of(job.callee.function)
        known = self._known_dependencies(job)
        async with graph.async_ctx(known, self._broker.dependency_overrides or None) as resolving:
            keywords = {**await resolving.resolve_kwargs(), **job.message.kwargs}
            if job.callee.context_parameter is not None:
                keywords[job.callee.context_parameter] = job.context
            try:
                with InThisProcess():  # a child must not meet the dependencies' ends either
                    value = job.callee.call(keywords)
                    return await value if inspect.isawaitable(value) else value
            except NoResultError:
                return None  # taskiq's way to say that nobody needs the result

    def _graph_of(self, function: Callable[..., Any]) -> DependencyGraph:
        graph = self._graphs.get(function)
        if graph is None:
            graph = self._graphs[function] = DependencyGraph(function)
        return graph

    def _known_dependencies(self, job: "_Job") -> dict[Any, Any]:
        """Made anew for each job: in the broker's dictionary, jobs would meet others' contexts."""
        return {
            **self._broker.custom_dependency_context,
            Context: job.context,
            TaskiqContext: JobContext(job.message, self._broker),
            TaskiqState: self._broker.state,
        }

    async def _between_middlewares(self, job: "_Job") -> Any:
        for middleware in self._having("pre_execute"):
            job.message = await maybe_awaitable(middleware.pre_execute(job.message))
        started_at = monotonic()
        try:
            value = await self._perform(job)
        except BaseException as error:
            # Also for a cancelled one: what a middleware began before it, it ends after it.
            await self._after(job.message, _result(job.message, None, error, started_at), error)
            raise
        result = _result(job.message, value, None, started_at)
        await self._after(job.message, result, None)
        return result.return_value

    async def _after(
        self, message: TaskiqMessage, result: TaskiqResult[Any], error: BaseException | None
    ) -> None:
        if error is not None:
            for middleware in reversed(self._having("on_error")):
                await maybe_awaitable(middleware.on_error(message, result, error))
        for middleware in reversed(self._having("post_execute")):
            await maybe_awaitable(middleware.post_execute(message, result))
        if self._is_told_of_saves and self._having("post_save"):
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
