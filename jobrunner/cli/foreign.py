"""Text that others wrote, made harmless for a terminal: job output, errors, names, arguments.

A terminal obeys what it is sent: it may be made to hide lines, to show others, or to answer as if
somebody had typed. And text may be made to read otherwise than it is stored. So control characters
(C0, DEL, C1), those that turn the direction of writing and those that cannot be seen are written as
their escapes. JSON escapes them as well and keeps the value. Only `logs` gives output as it came.
"""

import json
import re
from typing import Any

# In a class of a regular expression; line ends and tabs are left to who calls.
_HARMFUL = (
    "\\0-\x08\x0b-\x1f\x7f-\x9f"  # C0, DEL, C1
    "\xad\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb"
    "\ud800-\udfff"  # bytes of a name that are not UTF-8
    "\U000e0000-\U000e007f"  # tags
)
_HARMFUL_TEXT = re.compile(f"[{_HARMFUL}]")
_HARMFUL_LINE = re.compile(f"[{_HARMFUL}\t\n]")
# Colours and the like of a program's output (SGR): they change no more than how text looks.
_COLOUR = re.compile("\x1b\\[[0-9;:]*m")
_PLAIN_AGAIN = "\x1b[0m"


def escaped(text: str) -> str:
    """The text with escapes such as `\\x1b`; its lines and tabs stay."""
    return text if text.isprintable() else _HARMFUL_TEXT.sub(_escape, text)


def one_line(text: str) -> str:
    """The same for a cell or a word: line ends and tabs are escaped, too."""
    return text if text.isprintable() else _HARMFUL_LINE.sub(_escape, text)


def json_text(value: Any, indent: int | None = None) -> str:
    """The value as JSON: in one line, or indented."""
    text = json.dumps(value, ensure_ascii=False, indent=indent)
    return text if text.isprintable() else _HARMFUL_TEXT.sub(_json_escape, text)


def output_line(text: str, *, has_colours: bool) -> str:
    """A line of output for a terminal: with its colours, if they are wanted, and nothing else."""
    if text.isprintable():
        return text
    parts = _COLOUR.split(text)
    colours = _COLOUR.findall(text) if has_colours else [""] * (len(parts) - 1)
    shown = "".join(
        escaped(part) + colour for part, colour in zip(parts, [*colours, ""], strict=True)
    )
    return f"{shown}{_PLAIN_AGAIN}" if any(colours) else shown


def _escape(match: re.Match[str]) -> str:
    return match[0].encode("unicode_escape").decode()


def _json_escape(match: re.Match[str]) -> str:
    return json.dumps(match[0])[1:-1]
