"""Exceptions of user code as job errors. Imported by function hosts: light."""

import traceback
from pathlib import Path

from jobrunner.model import JobError

PACKAGE = str(Path(__file__).parent.parent)
EXAMPLES = str(Path(PACKAGE) / "examples")
LONGEST_MESSAGE = 4_000  # characters
LONGEST_TRACEBACK = 16_000


def exception_error(error: BaseException) -> JobError:
    """The exception with the user's part of its traceback."""
    return JobError(
        type=type(error).__name__,
        message=_cut(_text(error), LONGEST_MESSAGE),
        traceback=_traceback(error),
    )


def exception_names(error: BaseException) -> tuple[str, ...]:
    """Names a retry policy may call it by: class and bases, short and with their module."""
    names: list[str] = []
    for kind in type(error).__mro__[:-1]:
        names += [kind.__name__, f"{kind.__module__}.{kind.__qualname__}"]
    return tuple(dict.fromkeys(names))


def _traceback(error: BaseException) -> str:
    summary = traceback.TracebackException.from_exception(error, compact=True)
    seen: set[int] = set()
    pending: list[traceback.TracebackException | None] = [summary]
    while pending:
        part = pending.pop()
        if part is None or id(part) in seen:
            continue
        seen.add(id(part))
        part.stack[:] = [frame for frame in part.stack if not _is_ours(frame.filename)]
        pending += [part.__cause__, part.__context__, *(part.exceptions or ())]
    text = "".join(summary.format())
    # The end tells what was raised and where: that part is kept.
    return text if len(text) <= LONGEST_TRACEBACK else "…" + text[-LONGEST_TRACEBACK:]


def _is_ours(filename: str) -> bool:
    return filename.startswith(PACKAGE) and not filename.startswith(EXAMPLES)


def _text(error: BaseException) -> str:
    try:
        return str(error)
    except Exception as broken:  # a __str__ of the user's may raise anything
        return f"(its message cannot be shown: {type(broken).__name__})"


def _cut(text: str, longest: int) -> str:
    return text if len(text) <= longest else text[:longest] + "…"
