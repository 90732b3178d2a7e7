"""Arguments as text: in words of commands, in variables, in the name of a lock."""

import re
from collections.abc import Mapping

import msgspec

# `{{name}}` is tried first, so that it stands for the text `{name}`; other braces mean themselves,
# and so does `${name}`, which is another program's way to name its variables.
_PLACEHOLDER = re.compile(
    r"(?<!\$)(?<!\$\{)(?:\{\{([A-Za-z_]\w*)\}\}|\{([A-Za-z_]\w*)\})", re.ASCII
)


def as_text(value: object) -> str:
    """A JSON value as argv and the environment carry it: `true`, `5`, texts as they are."""
    if isinstance(value, str):
        return value
    if value is None:
        return ""
    return msgspec.json.encode(value).decode()


def placeholders(text: str) -> list[str]:
    """The parameters that `text` refers to as `{name}`, in order, each once."""
    return list(dict.fromkeys(match[2] for match in _PLACEHOLDER.finditer(text) if match[2]))


def before_placeholders(text: str) -> str | None:
    """What stands before the first parameter that `text` refers to; None where it has none."""
    first = next((match for match in _PLACEHOLDER.finditer(text) if match[2]), None)
    return None if first is None else substitute(text[: first.start()], {})


def leading_placeholders(text: str) -> list[str]:
    """The parameters that `text` begins with, one right after the other."""
    found, end = [], 0
    while (match := _PLACEHOLDER.match(text, end)) is not None and match[2]:
        found.append(match[2])
        end = match.end()
    return found


def substitute(text: str, arguments: Mapping[str, object]) -> str:
    """`text` with each `{name}` replaced by its argument, in one pass; nothing is split.

    `{{name}}` becomes `{name}`. A name that has no argument (an optional one) becomes nothing.
    Other braces stay as they are, as in `find -exec rm {} +` and `${HOME}`.
    """

    def replacement(match: re.Match[str]) -> str:
        return f"{{{match[1]}}}" if match[1] else as_text(arguments.get(match[2]))

    return _PLACEHOLDER.sub(replacement, text)
