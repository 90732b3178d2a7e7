"""The Python functions of this worker's tasks: imported once, and how each is called."""

import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from jobrunner.log import EventLog
from jobrunner.manifest.spec import Manifest
from jobrunner.model import JobError
from jobrunner.runner.attempt import Attempt
from jobrunner.runner.calling import Callee, load_callee
from jobrunner.runner.function import Invoke, direct_invoke
from jobrunner.runner.tracebacks import exception_error

if TYPE_CHECKING:
    from jobrunner.broker import Injector


@dataclass(slots=True)
class Functions:
    """Asynchronous functions, by task; `failures` tells why one could not be imported."""

    callees: Mapping[str, Callee] = field(default_factory=dict)
    failures: Mapping[str, JobError] = field(default_factory=dict)
    injector: "Injector | None" = None  # where one of them, or a middleware, needs taskiq

    def invoke_of(self, callee: Callee, attempt: Attempt) -> Invoke:
        """How to call a function for an attempt: through taskiq only where that is needed."""
        if self.injector is not None and (callee.uses_taskiq or self.injector.has_middlewares):
            return self.injector.invoke_of(callee, attempt)
        return direct_invoke(callee, attempt)


def load_functions(manifest: Manifest) -> Functions:
    """Import the modules of the asynchronous tasks. Blocks; done before the first claim.

    A module that fails here, though it could be imported for the plan, fails its own jobs only.
    """
    callees: dict[str, Callee] = {}
    failures: dict[str, JobError] = {}
    for name, task in manifest.tasks.items():
        if task.python is None or not manifest.is_async(name):
            continue
        try:
            callees[name] = load_callee(task.python)
        except Exception as error:
            EventLog().error("could not import a function", task=name, target=task.python)
            failures[name] = exception_error(error)
    return Functions(callees, failures, _injector(callees))


def _injector(callees: Mapping[str, Callee]) -> "Injector | None":
    """taskiq costs half a second: only for functions that use it, or modules that did load it."""
    is_needed = any(callee.uses_taskiq for callee in callees.values())
    if not is_needed and "jobrunner.broker" not in sys.modules:
        return None
    from jobrunner.broker import Injector, default_broker

    return Injector(default_broker())
