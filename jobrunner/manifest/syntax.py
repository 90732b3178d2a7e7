"""Problems of the YAML itself, in words that help."""

import yaml

from jobrunner.errors import Location, Problem


def unusable(what: str, where: Location) -> Problem:
    return Problem(where, f"the YAML cannot be used: {what}", None, "correct it at this place")


def syntax_problem(error: yaml.YAMLError, text: str, file: str) -> Problem:
    mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
    what = getattr(error, "problem", None) or "it cannot be read"
    context = getattr(error, "context", None)
    line, column = (mark.line, mark.column) if mark else (0, 0)
    return Problem(
        Location(file, line + 1, column + 1),
        f"the YAML is not valid: {what}",
        context,
        _fix_for(f"{context} {what}"),
        _excerpt(text, line, column),
    )


def _fix_for(message: str) -> str:
    return next((fix for words, fix in _FIXES if words in message), _ANY_FIX)


_ANY_FIX = "correct the YAML at this place"
_FIXES = [
    ("scanning an alias", "put the value in quotes: an unquoted '*' begins an alias"),
    ("scanning an anchor", "put the value in quotes: an unquoted '&' begins an anchor"),
    (
        "cannot start any token",
        "indent with spaces, not tabs; quote texts that begin with @ ` %",
    ),
    ("mapping values are not allowed", "check the indentation; quote texts that contain ': '"),
    ("unexpected end of stream", "close the quote that was opened here"),
    ("unknown escape", r"double the backslash, or use single quotes: '\d'"),
    (
        "flow sequence",
        "close the '[' with a ']'; separate values by commas; quote those with brackets",
    ),
    (
        "flow mapping",
        "close the '{' with a '}'; separate keys by commas; quote values with brackets",
    ),
    ("block", "check the indentation: keys of one mapping begin in the same column"),
]


def _excerpt(text: str, line: int, column: int) -> str | None:
    """The line with a caret under the column; None where there is nothing to show."""
    lines = text.splitlines()
    if line >= len(lines) or not lines[line].strip() or column > 200:
        return None
    shown = lines[line][: column + 40].replace("\t", " ")
    return f"{shown}\n{' ' * column}^"
