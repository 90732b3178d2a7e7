"""Functions that use taskiq, apart from the others: loading it takes half a second."""

import os
from collections.abc import Iterator
from typing import Any

from taskiq import TaskiqDepends, TaskiqEvents, TaskiqState

from jobrunner.broker import default_broker


@default_broker().on_event(TaskiqEvents.WORKER_STARTUP)
def _start(state: TaskiqState) -> None:
    state.base = 40


def base(state: TaskiqState = TaskiqDepends()) -> Any:  # noqa: B008  # taskiq's way
    return state.base


def _path() -> str:
    return os.environ["TEST_PATH"]


def log_of_ends(path: str = TaskiqDepends(_path)) -> Iterator[str]:
    """A dependency that notes which process has ended it."""
    yield path
    with open(path, "a") as file:
        file.write(f"{os.getpid()}\n")


def sync_forks(path: str = TaskiqDepends(log_of_ends)) -> tuple[int, int]:  # type: ignore[assignment]
    pid = os.fork()
    if not pid:
        return 0, len(path)
    return os.getpid(), os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def sync_depends(a: int, b: int = TaskiqDepends(base)) -> int:
    return a + b
