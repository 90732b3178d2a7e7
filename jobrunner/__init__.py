"""jobrunner: crons, queues and locks from one YAML file. Importing this costs milliseconds."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from jobrunner.tasks import cron, task

__all__ = ["AsyncClient", "Client", "Context", "__version__", "cron", "task"]

__version__ = "0.1.0"

if TYPE_CHECKING:
    from jobrunner.client import AsyncClient, Client
    from jobrunner.context import Context
else:
    _LATER = {
        "AsyncClient": "jobrunner.client",
        "Client": "jobrunner.client",
        "Context": "jobrunner.context",
    }

    def __getattr__(name: str) -> Any:
        # The one module that does this: every command of the CLI imports this file, and most of
        # them, like modules that only declare tasks, do without the client and what it loads.
        if name not in _LATER:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        return getattr(import_module(_LATER[name]), name)
