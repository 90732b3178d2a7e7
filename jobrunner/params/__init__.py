"""Parameters of tasks: their declaration and the check of a job's arguments. Pure, no pydantic.

Used by the manifest, by clients (with what the daemon published) and again by the worker.
`spec` what is declared · `check` the arguments of a job · `use` values that reach a process ·
`text` arguments as text.
"""

from jobrunner.params.check import (
    LARGEST_INTEGER,
    bound_arguments,
    check_arguments,
    check_value,
    default_value,
    secret_names,
)
from jobrunner.params.spec import ParamSpec, ParamType, public
from jobrunner.params.text import (
    as_text,
    before_placeholders,
    leading_placeholders,
    placeholders,
    substitute,
)

__all__ = [
    "LARGEST_INTEGER",
    "ParamSpec",
    "ParamType",
    "as_text",
    "before_placeholders",
    "bound_arguments",
    "check_arguments",
    "check_value",
    "default_value",
    "leading_placeholders",
    "placeholders",
    "public",
    "secret_names",
    "substitute",
]
