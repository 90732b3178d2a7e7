"""Functions that use taskiq, apart from the others: loading it takes half a second."""

from typing import Any

from taskiq import TaskiqDepends, TaskiqEvents, TaskiqState

from jobrunner.broker import default_broker


@default_broker().on_event(TaskiqEvents.WORKER_STARTUP)
def _start(state: TaskiqState) -> None:
    state.base = 40


def base(state: TaskiqState = TaskiqDepends()) -> Any:  # noqa: B008  # taskiq's way
    return state.base


def sync_depends(a: int, b: int = TaskiqDepends(base)) -> int:
    return a + b
