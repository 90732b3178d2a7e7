"""Exceptions of user code as job errors. Imported by function hosts: light.

Asking an exception runs the user's code again (`__str__`, `__getattr__`, a metaclass), which may
raise, exit or answer with what no job record can hold. The job's own story is told all the same.
"""

import traceback
from pathlib import Path

from jobrunner.model import JobError
from jobrunner.runner.masking import NO_SECRETS, Masker

PACKAGE = str(Path(__file__).parent.parent)
EXAMPLES = str(Path(PACKAGE) / "examples")
LONGEST_MESSAGE = 4_000  # characters
LONGEST_TRACEBACK = 16_000
# Not BaseException: a stop that comes while an exception is told must get through.
HOSTILE = (Exception, SystemExit, KeyboardInterrupt, GeneratorExit)


def exception_error(error: BaseException, masker: Masker = NO_SECRETS) -> JobError:
    """The exception with the user's part of its traceback, both without secrets.

    Never raises for any exception.
    """
    kind, message = _kind_name(type(error)), _message(error)
    try:
        trace = _traceback(error)
    except HOSTILE:
        trace = _plain_traceback(error, f"{kind}: {message}")
    # Masked before the cut: of a secret there, a part would be left that nobody knows any more.
    kind, message, trace = masker.mask(kind), masker.mask(message), masker.mask(trace)
    return JobError(
        type=kind,
        message=_cut(message, LONGEST_MESSAGE),
        # The end tells what was raised and where: that part is kept.
        traceback=trace if len(trace) <= LONGEST_TRACEBACK else "…" + trace[-LONGEST_TRACEBACK:],
    )


def exception_names(error: BaseException) -> tuple[str, ...]:
    """Names a retry policy may call it by: class and bases, short and with their module."""
    names: list[str] = []
    for kind in type(error).__mro__[:-1]:
        module, qualified = _of_class(kind, "__module__"), _of_class(kind, "__qualname__")
        names += [_kind_name(kind), _plain(f"{module}.{qualified}")]
    return tuple(dict.fromkeys(names))


def _kind_name(kind: type) -> str:
    return _plain(str(_of_class(kind, "__name__")))


def _of_class(kind: type, name: str) -> object:
    """What the class was given, whatever its metaclass answers."""
    return type.__dict__[name].__get__(kind)


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
    return _plain("".join(summary.format()))


def _plain_traceback(error: BaseException, last_line: str) -> str:
    """Of an exception that cannot be formatted whole: its own frames, without notes and causes."""
    frames = [f for f in traceback.extract_tb(error.__traceback__) if not _is_ours(f.filename)]
    lines = [
        "Traceback (most recent call last):\n",
        *traceback.format_list(frames),
        last_line,
        "\n",
    ]
    return _plain("".join(lines))


def _is_ours(filename: str) -> bool:
    return filename.startswith(PACKAGE) and not filename.startswith(EXAMPLES)


def _message(error: BaseException) -> str:
    if type(error) is SystemExit and (error.code is None or type(error.code) is int):
        # Else it would be a bare number, or nothing.
        return f"called sys.exit({'' if error.code is None else error.code})"
    try:
        return _plain(str(error))
    except HOSTILE as broken:
        return f"(its message cannot be shown: {_kind_name(type(broken))})"


def _plain(text: str) -> str:
    """Text that any JSON can hold: no subclass, and lone surrogates as their escapes.

    These stand for bytes that are not UTF-8 in names of files, as `os.listdir` gives them.
    """
    return str.encode(text, "utf-8", "backslashreplace").decode()


def _cut(text: str, longest: int) -> str:
    return text if len(text) <= longest else text[:longest] + "…"
