"""The types of single values in the manifest: what may be written, and what becomes of it."""

import re
from datetime import timedelta
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, Field, PlainSerializer

from jobrunner.manifest.units import format_duration, format_size, parse_duration, parse_size

_VARIABLE = re.compile(r"[^=\0]+")
_UMASK = re.compile(r"(?:0?o)?[0-7]{1,4}", re.ASCII)


def parse_umask(value: object) -> str:
    """Three or four octal digits from `027`, `0o27` or `27`: a umask is octal however written.

    Raises ValueError.
    """
    text = str(value) if isinstance(value, (str, int)) and not isinstance(value, bool) else ""
    if not _UMASK.fullmatch(text):
        raise ValueError(f"{value!r} is not a umask; write octal digits in quotes, e.g. '027'")
    return text.lstrip("0o").rjust(3, "0")


def as_list(value: object) -> object:
    """One text stands for a list of one."""
    return [value] if isinstance(value, str) else value


def parse_processes(value: object) -> object:
    """`auto`, or a number from 1 to 1024. Raises ValueError."""
    if value == "auto":
        return value
    text = str(value)
    if isinstance(value, bool) or not text.isdecimal() or not 1 <= int(text[:9]) <= 1024:
        raise ValueError(f"{value!r} is not a number of processes; write auto, or 1 to 1024")
    return int(text)


def parse_inherited(value: object) -> object:
    """true, false, or the names of variables. Raises ValueError."""
    names = [value] if isinstance(value, str) else value
    if isinstance(value, bool) or (isinstance(names, list) and all(map(_is_variable, names))):
        return names
    raise ValueError(
        "it is neither true, false nor a list of names; write e.g. [HTTP_PROXY, SSL_CERT_FILE]"
    )


def _is_variable(name: object) -> bool:
    return isinstance(name, str) and bool(_VARIABLE.fullmatch(name))


def refuse_boolean(value: object) -> object:
    """Python counts true as 1; nobody who writes `attempts: true` means that. Raises ValueError."""
    if isinstance(value, bool):
        raise ValueError(f"{str(value).lower()} is not a number; write a number such as 3")
    return value


def env_text(value: object) -> object:
    """Numbers and booleans as the text that a program finds in its environment."""
    if value is None:
        raise ValueError('it has no value; write "" for an empty one, or remove the key')
    if isinstance(value, bool):
        return str(value).lower()
    return value


def parse_bound(value: object) -> int:
    """A size from 1k to 256M: a server takes 512 MB in one piece. Raises ValueError."""
    size = parse_size(value)
    if not 1 << 10 <= size <= 256 << 20:
        raise ValueError(f"{format_size(size)} is out of range for a bound; write 1k to 256M")
    return size


Duration = Annotated[
    timedelta,
    BeforeValidator(parse_duration, json_schema_input_type=str | float),
    PlainSerializer(format_duration, return_type=str, when_used="json"),
]
Bound = Annotated[int, BeforeValidator(parse_bound, json_schema_input_type=str | int)]
Size = Annotated[int, BeforeValidator(parse_size, json_schema_input_type=str | int)]
Umask = Annotated[str, BeforeValidator(parse_umask, json_schema_input_type=str | int)]
Integer = Annotated[int, BeforeValidator(refuse_boolean)]
Positive = Annotated[int, Field(ge=1), BeforeValidator(refuse_boolean)]
Nice = Annotated[int, Field(ge=-20, le=19), BeforeValidator(refuse_boolean)]
Argument = Annotated[
    str, BeforeValidator(env_text, json_schema_input_type=str | int | float | bool)
]
Inherited = Annotated[
    bool | list[str],
    BeforeValidator(parse_inherited, json_schema_input_type=bool | str | list[str]),
]
Files = Annotated[list[str], BeforeValidator(as_list, json_schema_input_type=str | list[str])]
Processes = Annotated[
    int | Literal["auto"],
    BeforeValidator(parse_processes, json_schema_input_type=int | Literal["auto"]),
]


def kind_of_env_value(value: Any) -> str:
    """Which member of the union a value in `env` is; so an error speaks of that one only."""
    return SECRET if isinstance(value, (dict, BaseModel)) else TEXT


# In angle brackets, so that the tags can be told from keys in the place of an error.
TEXT, SECRET = "<text>", "<secret>"
