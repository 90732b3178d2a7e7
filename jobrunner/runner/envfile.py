"""Files of `NAME=value` lines. Pure."""

import re

_NAME = re.compile(r"(?:export\s+)?([A-Za-z_][A-Za-z0-9_]*)\s*=\s*(.*)", re.DOTALL)
_ESCAPE = re.compile(r"\\(.)", re.DOTALL)
_ESCAPES = {"n": "\n", "t": "\t", "r": "\r"}


def parse_env_file(text: str) -> dict[str, str]:
    """The variables of a file.

    Empty lines and lines that begin with `#` are left out, `export ` too. A value may stand in
    single quotes (taken as it is) or double quotes (\\n, \\t, \\", \\\\ and \\$ are understood);
    without quotes it ends before ` #`. Nothing is expanded.
    Raises ValueError with the number of a line that is none of these.
    """
    variables: dict[str, str] = {}
    for number, line in enumerate(map(str.strip, text.splitlines()), 1):
        if not line or line.startswith("#"):
            continue
        match = _NAME.fullmatch(line)
        if match is None:
            raise ValueError(f"line {number} is not NAME=value")
        variables[match[1]] = _value(match[2], number)
    return variables


def _value(text: str, number: int) -> str:
    quote = text[:1]
    if quote not in ("'", '"'):
        return re.split(r"\s+#", text, maxsplit=1)[0]
    end = _closing(text, quote)
    if end is None or not re.fullmatch(r"\s*(#.*)?", text[end + 1 :]):
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
