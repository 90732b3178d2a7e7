"""What runs the script of a `shell` task, as words that go before the script.

Where nothing is said, `/bin/sh -eu`: every system has it, but it takes a pipe for a success when
its last command is one. Shells that can do better are asked to: `-o pipefail`.
"""

import re
from collections.abc import Sequence
from pathlib import PurePath
from typing import Annotated

from pydantic import BeforeValidator, Field

USUAL = ("/bin/sh", "-eu", "-c")
_PLAIN_SHELLS = frozenset(["sh", "dash", "ash", "posh", "yash"])
_PIPE_SHELLS = frozenset(["bash", "zsh", "ksh", "ksh93", "mksh", "oksh"])
_SHELLS = _PLAIN_SHELLS | _PIPE_SHELLS
# By which option a program takes a script as an argument.
_CODE_OPTIONS = {"python": "-c", "perl": "-e", "ruby": "-e", "node": "-e", "lua": "-e", "php": "-r"}
_VERSION = re.compile(r"[-\d.]+$")


def parse_interpreter(value: object) -> object:
    """The words before a script: of `bash` or `sh` those that stop at a failure; else as given.

    A list gets the option by which a known program takes a script, unless it ends with it. Raises
    ValueError.
    """
    if isinstance(value, str):
        name = PurePath(value).name
        if name in _PIPE_SHELLS:
            return [value, "-euo", "pipefail", "-c"]
        if name in _PLAIN_SHELLS:
            return [value, "-eu", "-c"]
        raise ValueError(
            f"{value[:60]!r} is no shell whose options are known; write a list of words, "
            "e.g. [python3, -u, -c]"
        )
    if isinstance(value, list) and value and all(isinstance(word, str) for word in value):
        return _with_option(value)
    return value


def _with_option(words: list[str]) -> list[str]:
    program = _program_of(words)
    option = "-c" if program in _SHELLS else _CODE_OPTIONS.get(program)
    last = words[-1]
    # `-ec` is `-e -c`.
    has_it = option is not None and re.fullmatch(rf"-[A-Za-z]*{option[1]}", last) is not None
    return words if option is None or (has_it and len(words) > 1) else [*words, option]


def _program_of(words: Sequence[str]) -> str:
    """`python` for `/usr/bin/env python3.12`."""
    names = [PurePath(word).name for word in words]
    name = names[1] if names[0] == "env" and len(names) > 1 else names[0]
    return name if name in _SHELLS else _VERSION.sub("", name)


Interpreter = Annotated[
    list[str],
    BeforeValidator(parse_interpreter, json_schema_input_type=str | list[str]),
    Field(min_length=1),
]


def script_argv(interpreter: Sequence[str] | None, script: str, name: str) -> list[str]:
    """The command that runs a script; `name` is $0, with which a shell begins its messages."""
    words = list(interpreter or USUAL)
    after = [name] if _program_of(words) in _SHELLS else []
    return [*words, script, *after]
