"""`@task` and `@cron`: they note a function and its options, and nothing else.

There is no registry: discovery looks for `TaskFunction` values in the modules the manifest
imports. So importing a module with tasks starts nothing, connects to nothing and loads neither
taskiq nor redis.
"""

import functools
import importlib
import inspect
from collections.abc import Callable, Coroutine, Mapping
from datetime import timedelta
from difflib import get_close_matches
from typing import (
    TYPE_CHECKING,
    Any,
    Generic,
    Literal,
    ParamSpec,
    Required,
    TypedDict,
    TypeVar,
    Unpack,
    overload,
)

if TYPE_CHECKING:
    from taskiq import AsyncTaskiqDecoratedTask, AsyncTaskiqTask
    from taskiq.kicker import AsyncKicker

P = ParamSpec("P")
R = TypeVar("R")
T = TypeVar("T")

Duration = str | int | float | timedelta  # "90s", "5m", "2h", "1d", or a number of seconds


class RetryOptions(TypedDict, total=False):
    """As `retry` in the manifest."""

    attempts: int
    delay: Duration
    backoff: Literal["exponential", "linear", "fixed"]
    max_delay: Duration
    jitter: bool
    exceptions: list[str]


class LockOptions(TypedDict, total=False):
    """As `lock` in the manifest."""

    name: Required[str]
    ttl: Duration
    slots: int
    conflict: Literal["skip", "wait", "fail"]


class CatchUpOptions(TypedDict, total=False):
    """As `catch_up` in the manifest."""

    window: Duration
    count: int


class TaskOptions(TypedDict, total=False):
    """What `@task` accepts: the manifest's keys that make sense for a function.

    `name` is the task's name (default: the function's); `description` replaces the first line of
    the docstring.
    """

    name: str
    description: str
    timeout: Duration
    kill_grace: Duration
    retry: RetryOptions
    max_lost: int
    lock_ttl: Duration
    lock: LockOptions
    queue: str
    priority: Literal["high", "normal", "low"]
    ack: Literal["batch", "each"]
    record: Literal["lazy", "eager"]
    result_ttl: Duration


class CronOptions(TypedDict, total=False):
    """What `@cron` accepts besides the expression; `name` is the cron's (default: the task's)."""

    name: str
    description: str
    timezone: str
    params: dict[str, Any]
    misfire: Literal["skip", "once", "all"]
    grace: Duration
    catch_up: CatchUpOptions
    overlap: Literal["allow", "skip", "queue", "replace"]
    jitter: Duration
    lock_ttl: Duration
    enabled: bool


class NotedCron(CronOptions):
    """The options of one `@cron`, with its expression."""

    cron: str


class TaskFunction(Generic[P, R]):
    """A function with what `@task` and `@cron` said of it; calling it calls the function.

    `kiq`, `kicker` and `task_name` need the broker, which takes the function up at their first use.
    """

    # Set by update_wrapper; the function's own are changed by taskiq when it takes the function up.
    __name__: str
    __qualname__: str

    def __init__(
        self,
        function: Callable[P, R],
        options: TaskOptions | None = None,
        crons: tuple[NotedCron, ...] = (),
    ) -> None:
        functools.update_wrapper(self, function)
        self.function = function
        self.options: TaskOptions = options or {}
        self.crons = crons
        self._taken_up: AsyncTaskiqDecoratedTask[P, R] | None = None

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        return self.function(*args, **kwargs)

    def __repr__(self) -> str:
        return f"<task {self.name} ({self.__module__}:{self.__qualname__})>"

    def __reduce__(self) -> str:
        # Pickled as a name of its module, as functions are, so that it can cross processes.
        return self.__qualname__

    @property
    def name(self) -> str:
        """The name given in the options, or the function's."""
        return self.options.get("name", self.__name__)

    @property
    def is_async(self) -> bool:
        return inspect.iscoroutinefunction(self.function)

    @property
    def task_name(self) -> str:
        """The name under which the broker knows the task: the manifest may give another."""
        return self._decorated.task_name

    @overload
    async def kiq(
        self: "TaskFunction[P, Coroutine[Any, Any, T]]", *args: P.args, **kwargs: P.kwargs
    ) -> "AsyncTaskiqTask[T]": ...

    @overload
    async def kiq(self, *args: P.args, **kwargs: P.kwargs) -> "AsyncTaskiqTask[R]": ...

    async def kiq(self, *args: Any, **kwargs: Any) -> Any:
        """Submit a job with these arguments; the result's `wait_result()` waits for it."""
        return await self._decorated.kiq(*args, **kwargs)

    def kicker(self) -> "AsyncKicker[P, R]":
        """taskiq's builder of a submit, for labels or another queue."""
        return self._decorated.kicker()

    def undecorated(self) -> Callable[P, R]:
        """The function that was noted; with its other decorators."""
        return self.function

    def bind(self, decorated: "AsyncTaskiqDecoratedTask[P, R]") -> None:
        """Use this task of a broker from now on; for the broker that takes the function up."""
        self._taken_up = decorated

    @property
    def _decorated(self) -> "AsyncTaskiqDecoratedTask[P, R]":
        if self._taken_up is None:
            self._taken_up = _take_up(self)
        return self._taken_up


def _take_up(function: TaskFunction[P, R]) -> "AsyncTaskiqDecoratedTask[P, R]":
    # By name and only now: the broker is a higher layer, and loading it (taskiq) takes half a
    # second, which a program that only declares or calls its tasks must not pay.
    decorated: AsyncTaskiqDecoratedTask[P, R]
    decorated = importlib.import_module("jobrunner.broker").take_up(function)
    return decorated


@overload
def task(function: Callable[P, R], /) -> TaskFunction[P, R]: ...


@overload
def task(**options: Unpack[TaskOptions]) -> Callable[[Callable[P, R]], TaskFunction[P, R]]: ...


def task(function: Callable[..., Any] | None = None, /, **options: Unpack[TaskOptions]) -> Any:
    """Note a function as a task; `@task` and `@task(timeout="5m", …)` are both right.

    Raises TypeError for an option that does not exist.
    """
    _refuse_unknown("@task", options, TaskOptions)

    def note(function: Callable[..., Any]) -> TaskFunction[..., Any]:
        noted = _noted(function)
        return TaskFunction(noted.function, {**noted.options, **options}, noted.crons)

    return note if function is None else note(function)


def cron(
    expression: str, /, **options: Unpack[CronOptions]
) -> Callable[[Callable[P, R]], TaskFunction[P, R]]:
    """Note when a task is asked for; several may be stacked, and @task may stand above or below.

    Raises TypeError for an option that does not exist.
    """
    _refuse_unknown("@cron", options, CronOptions)
    first: NotedCron = {"cron": expression, **options}

    def note(function: Callable[P, R]) -> TaskFunction[P, R]:
        noted = _noted(function)
        return TaskFunction(noted.function, noted.options, (first, *noted.crons))

    return note


def _noted(function: Callable[P, R]) -> TaskFunction[P, R]:
    return function if isinstance(function, TaskFunction) else TaskFunction(function)


def _refuse_unknown(decorator: str, options: Mapping[str, object], known: type) -> None:
    # Here, and not only when the manifest is checked: so the traceback shows the line to correct.
    for name in options.keys() - known.__annotations__.keys():
        near = get_close_matches(name, known.__annotations__, 1)
        hint = (
            f"did you mean {near[0]!r}?" if near else f"it has {', '.join(known.__annotations__)}"
        )
        raise TypeError(f"{decorator} has no option {name!r}: {hint}")
