"""Problems of the YAML itself, in words that help."""

import re

import yaml

from jobrunner.errors import Location, Problem

DEEPEST = 40  # a manifest has 6 levels; the rest is for parameters of crons
_LINE_ENDS = re.compile("\r\n|[\n\r\x85\u2028\u2029]")


def unusable(what: str, where: Location) -> Problem:
    """What YAML allows and a manifest does not."""
    return Problem(where, f"the YAML cannot be used: {what}", None, "correct it at this place")


def too_large(where: Location, what: str, why: str) -> Problem:
    """What is read no further, lest it cost memory without end."""
    fix = "split it into several files and name them in 'include'"
    return Problem(where, f"the file cannot be read: {what}", why, fix)


def too_deep(where: Location) -> Problem:
    """More levels than `DEEPEST`."""
    return too_large(where, "it is nested too deeply", f"at most {DEEPEST} levels are read")


def place_after(text: str) -> tuple[int, int]:
    """Line and column of what would follow the text; lines end as YAML has them end."""
    lines = _LINE_ENDS.split(text)
    return len(lines), len(lines[-1]) + 1


def syntax_problem(error: yaml.YAMLError, text: str, file: str) -> Problem:
    """What the parser refused, at the place that is to be corrected."""
    context = getattr(error, "context", None)
    what = getattr(error, "problem", None) or "it cannot be read"
    mark = getattr(error, "problem_mark", None)
    if mark is None or _begins_at_context(f"{context} {what}"):
        mark = getattr(error, "context_mark", None) or mark
    place = (mark.line + 1, mark.column + 1) if mark else (1, 1)
    # The parser counts a line more where the last one has no end.
    line, column = min(place, place_after(text))
    where = Location(file, line, column)
    if "maximum nesting depth" in what:  # libyaml 0.2.6 has a limit of its own, and is first
        return too_deep(where)
    return Problem(
        where,
        f"the YAML is not valid: {what}",
        context,
        _fix_for(f"{context} {what}"),
        _excerpt(text, line - 1, column - 1),
    )


def _begins_at_context(message: str) -> bool:
    """Whether the start is to blame, and not the place where the parser gave up."""
    return any(words in message for words in ("an alias", "an anchor", "unexpected end of stream"))


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
