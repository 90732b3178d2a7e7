"""The Lua scripts of the package: their text, and the SHA-1 under which the server keeps them."""

from functools import cache
from hashlib import sha1
from importlib.resources import files

import msgspec

INCLUDE = "-- include:"  # a header line that names the shared functions a script needs
ALWAYS = "sound"  # what every script begins with
FLAGS = "-- flags:"  # a header line for what the server lets a script do


class LuaScript(msgspec.Struct, frozen=True):
    text: str
    sha: str


def script_names() -> list[str]:
    """The names of all scripts, sorted."""
    found = files("jobrunner.store").joinpath("lua").iterdir()
    return sorted(one.name.removesuffix(".lua") for one in found if one.name.endswith(".lua"))


def load_scripts() -> None:
    """Read all scripts now. A process that runs for long may find no free descriptor later, or the
    files of another version.
    """
    for name in script_names():
        lua_script(name)


@cache
def lua_script(name: str) -> LuaScript:
    """The script `lua/<name>.lua` with its includes in front, read once per process."""
    body = _read(f"{name}.lua")
    parts = [ALWAYS, *_named(INCLUDE, body)]
    includes = [_read(f"include/{part}.lua") for part in parts]
    flags = [f"#!lua flags={flag}" for flag in _named(FLAGS, body)]
    text = "\n".join([*flags, *includes, body])
    return LuaScript(text, sha1(text.encode(), usedforsecurity=False).hexdigest())


def _named(what: str, body: str) -> list[str]:
    """The words of a line of the header."""
    for line in body.splitlines():
        if not line.startswith("--"):
            break
        if line.startswith(what):
            return line.removeprefix(what).split()
    return []


def _read(path: str) -> str:
    return files("jobrunner.store").joinpath("lua", path).read_text(encoding="utf-8")
