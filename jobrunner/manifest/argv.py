"""The words of a command: a text taken apart, and the parameters that programs could misread.

A text is split as a shell splits it, but no shell reads it: what only a shell understands would
reach the program as plain words, and `echo hello > file` would print instead of write.
"""

import re
import shlex
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated

import msgspec
from pydantic import BeforeValidator

from jobrunner.manifest.fields import Argument
from jobrunner.manifest.parts import Param
from jobrunner.params import ParamSpec, ParamType, leading_placeholders, placeholders

_END_OF_OPTIONS = "--"
# Pieces of a text as a shell reads them; the last alternative is a quote that is never closed.
_PIECES = re.compile(
    r"""'[^']*' | "(?:\\.|[^"\\])*" | \\. | (?P<open>[^'"\\]+) | ['"\\]""", re.DOTALL | re.VERBOSE
)
_SYNTAX = re.compile(
    r"""
    (?P<lines>\n)
    | (?P<sign>&&|\|\||>>|<<|[|&;<>()`])
    | (?P<variable>\$(?:\(|[A-Za-z_0-9@*\#?$!-]\w*))
    | (?P<comment>(?<!\S)\#)
    | (?P<files>\*)
    | (?P<home>(?<!\S)~(?=[\s/A-Za-z_]|\Z))
    # Not `{name}`, a parameter; `${A,}` and `{{a,b}}` are not the shell's, either.
    | (?P<braces>(?<![{$])\{(?:[^\s{}]*,[^\s{}]*|-?\w+\.\.-?\w+)\})
    """,
    re.VERBOSE | re.ASCII,
)
_QUOTED = "\0"  # stands for each character that a shell takes as it is
_ASSIGNMENT = re.compile(r"[A-Za-z_]\w*=", re.ASCII)


def parse_argv(value: object) -> object:
    """A command's words; a text is split as a shell splits it, but never given to one.

    Raises ValueError for quotes that are not closed, and for what only a shell understands.
    """
    if not isinstance(value, str):
        return value
    text = value.strip()
    _refuse_syntax(text)
    try:
        return shlex.split(text)
    except ValueError as error:
        raise ValueError(
            f"{_shown(value)} cannot be split into words: {str(error).lower()}; close the quote, "
            "or write the words as a list"
        ) from None


Argv = Annotated[
    list[Argument],
    BeforeValidator(parse_argv, json_schema_input_type=str | list[str | int | float | bool]),
]


def _refuse_syntax(text: str) -> None:
    if (assigned := _ASSIGNMENT.match(text)) is not None:
        name = assigned[0][:-1][:60]
        raise ValueError(
            f"it begins with an assignment of {name!r}, and no shell reads a command; "
            f"set {name!r} by `env`, or write `shell:` instead of `command:`"
        )
    found = _SYNTAX.search(_PIECES.sub(_unquoted, text))
    if found is not None:
        raise ValueError(_refusal(found, text[found.start() : found.end()]))


def _unquoted(piece: re.Match[str]) -> str:
    # A line that is continued by a backslash is several lines, too.
    return piece[0] if piece["open"] or piece[0] == "\\\n" else _QUOTED * len(piece[0])


def _refusal(found: re.Match[str], written: str) -> str:
    if found["lines"]:
        what = "it has several lines"
    elif found["comment"]:
        what = "a '#' begins a comment for a shell"
    elif found["files"]:
        what = "'*' is for a shell to replace by names of files"
    elif found["home"]:
        what = "'~' at the start of a word is for a shell to replace by a home folder"
    elif found["braces"]:
        what = f"{_shown(written)} is for a shell to make several words of"
    elif found["variable"]:
        what = f"{found[0][:60]!r} is for a shell to replace"
    else:
        what = f"{found[0]!r} is for a shell"
    fix = "write `shell:` instead of `command:`"
    if found["lines"]:
        return f"{what}, and no shell reads a command; {fix}, or one line, or a list of words"
    return f"{what}, and no shell reads a command; {fix}, or quote what is meant as text"


def _shown(text: str) -> str:
    return repr(text if len(text) <= 60 else f"{text[:57]}…")


def option_params(words: Sequence[str], params: Mapping[str, Param]) -> set[str]:
    """The parameters whose strings a program could take for an option, and must not begin with `-`.

    They begin a word, and no `--` stands before it. Not those that only have values which the
    manifest itself lists.
    """
    found: set[str] = set()
    for word in words:
        if word == _END_OF_OPTIONS:
            break
        found.update(_beginnings(word, params))
    return found


def _beginnings(word: str, params: Mapping[str, Param]) -> set[str]:
    """What may begin the word: its first placeholder, and the next one where that may be empty."""
    found: set[str] = set()
    for name in leading_placeholders(word):
        param = params.get(name)
        if param is None:
            continue
        if _is_free_text(param) and not param.allow_dash:
            found.add(name)
        if not _may_be_empty(param):
            break
    return found


def _is_free_text(param: Param) -> bool:
    return param.type in (ParamType.STRING, ParamType.ANY) and not param.choices


def _may_be_empty(param: Param) -> bool:
    is_left_out = param.required is False and param.default is None
    return is_left_out or _is_free_text(param) or "" in (param.choices or ())


def in_process(
    specs: Iterable[ParamSpec], words: Sequence[str], params: Mapping[str, Param]
) -> list[ParamSpec]:
    """The parameters of a command or script, with what is asked of values that reach a process."""
    risky = option_params(words, params)
    named = Counter(name for word in words for name in placeholders(word))
    return [
        msgspec.structs.replace(spec, refuses_dash=spec.name in risky, copies=1 + named[spec.name])
        for spec in specs
    ]
