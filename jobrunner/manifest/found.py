"""What is found in the Python modules that a manifest imports, as plain values."""

from dataclasses import dataclass, field
from typing import Any

from jobrunner.errors import Location
from jobrunner.params import ParamSpec


@dataclass(frozen=True, slots=True)
class FoundTask:
    """A function marked with `@task` or `@cron`.

    `options` and each of `crons` hold what the manifest would hold for the task and its crons,
    under the same keys; a cron's `name` may be left out: it is then the task's.
    """

    name: str
    target: str  # module:function
    is_async: bool
    params: list[ParamSpec]
    description: str
    options: dict[str, Any]
    crons: list[dict[str, Any]] = field(default_factory=list)
    where: Location | None = None  # of the function
