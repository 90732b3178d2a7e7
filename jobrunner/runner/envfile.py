"""Files of `NAME=value` lines. Pure."""

import re

_BLANKS = " \t\r\v\f"  # a form feed or a lone CR ends no line, nor does what only Unicode calls one
_LINE_END = re.compile(r"\r?\n")
_NAME = re.compile(r"(?:export\s+)?([A-Za-z_][A-Za-z0-9_]*)\s*=(.*)", re.DOTALL | re.ASCII)
_COMMENT = re.compile(r"\s+#", re.ASCII)
_NOTHING_MORE = re.compile(r"\s*(?:#.*)?", re.DOTALL | re.ASCII)
_ESCAPE = re.compile(r"\\(.)", re.DOTALL)
_ESCAPES = {"n": "\n", "t": "\t", "r": "\r"}


def parse_env_file(text: str) -> dict[str, str]:
    """The variables of a file.

    A line ends at LF or CRLF. Empty lines and lines that begin with `#` are left out, `export `
    too. A value may stand in single quotes (taken as it is) or double quotes (\\n, \\t,
    \\", \\\\ and \\$ are understood); without quotes it ends before ` #`, and may be empty
    there. Nothing is expanded.
    Raises ValueError with the number of a line that is none of these.
    """
    variables: dict[str, str] = {}
    for number, whole in enumerate(_LINE_END.split(text), 1):
        line = whole.strip(_BLANKS)
        if not line or line.startswith("#"):
            continue
        match = _NAME.fullmatch(line)
        if match is None:
            raise ValueError(f"line {number} is not NAME=value")
        variables[match[1]] = _value(match[2], number)
    return variables


def _value(written: str, number: int) -> str:
    text = written.lstrip(_BLANKS)
    quote = text[:1]
    if quote not in ("'", '"'):
        # With the blanks before it: `A= # fill in` is empty.
        return _COMMENT.split(written, maxsplit=1)[0].strip(_BLANKS)
    end = _closing(text, quote)
    if end is None or not _NOTHING_MORE.fullmatch(text, end + 1):
        raise ValueError(f"line {number} has a quote that is not closed, or text after it")
    inside = text[1:end]
    if quote == "'":
        return inside
    return _ESCAPE.sub(lambda match: _ESCAPES.get(match[1], match[1]), inside)


def _closing(text: str, quote: str) -> int | None:
    """Where the quote that `text` begins with ends."""
    at = 1
    while at < len(text):
        if text[at] == "\\" and quote == '"':
            at += 1
        elif text[at] == quote:
            return at
        at += 1
    return None
