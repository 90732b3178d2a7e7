"""Values that reach a process: what programs misread, and what the system does not pass on."""

from collections.abc import Mapping, Sequence
from typing import Any

from jobrunner.params.spec import ParamSpec, shown
from jobrunner.params.text import as_text

# What the kernel takes for one argument or variable, its end included: MAX_ARG_STRLEN, execve(2).
LONGEST_STRING = 128 << 10
# Bytes for all parameters of a job. The kernel takes 2 MiB in all at the usual limit of the stack;
# the rest is for the words of the command and the other variables.
MOST_STRINGS = 3 << 19


class Misuse(ValueError):
    """A good value, but not for where the task puts it: what, as for ValueError; why and fix."""

    def __init__(self, what: str, why: str, fix: str) -> None:
        super().__init__(what)
        self.why = why
        self.fix = fix


def check_use(spec: ParamSpec, value: object) -> None:
    """Whether a value may go where the task puts it. Raises Misuse."""
    if spec.refuses_dash and isinstance(value, str) and value.startswith("-"):
        _check_dash(spec, value)
    most = LONGEST_STRING - len(spec.name) - len("=\0")
    if spec.copies and (size := _size(value, most)) > most:
        raise Misuse(
            f"must have at most {most} bytes, not {size}",
            f"a process gets it as variable {spec.name.upper()}, and the system passes on "
            f"{LONGEST_STRING >> 10} KiB for each",
            f"write it into a file, and make {spec.name!r} the file's path",
        )


def _check_dash(spec: ParamSpec, value: str) -> None:
    if value != spec.default:  # what the manifest's author wrote is meant
        raise Misuse(
            f"must not begin with '-', and {shown(spec, value)} does",
            "it begins a word of the command, where a program takes it for an option",
            "give another value; in the manifest, `allow_dash: true` allows it, and the word '--' "
            "before it ends the options of most programs",
        )


def _size(value: object, enough: int) -> int:
    """Bytes of its text; an estimate for what is surely not more than `enough`."""
    text = as_text(value)
    return len(text) if len(text) * 4 <= enough else len(text.encode(errors="replace"))


def check_together(specs: Sequence[ParamSpec], arguments: Mapping[str, Any]) -> None:
    """Whether all values of a job can reach its process. Raises Misuse."""
    size = sum(
        spec.copies * _size(arguments[spec.name], 0)
        for spec in specs
        if isinstance(arguments.get(spec.name), str)
    )
    if size > MOST_STRINGS:
        raise Misuse(
            f"are too large together: {size} bytes",
            "a process gets each as a variable, and once more where it stands in the command; "
            f"the system passes on {MOST_STRINGS} bytes",
            "write the largest into a file, and give the file's path",
        )
