"""The Lua scripts of the package: their text, and the SHA-1 under which the server keeps them."""

from dataclasses import dataclass
from functools import cache
from hashlib import sha1
from importlib.resources import files

INCLUDE = "-- include:"  # a header line that names the shared functions a script needs


@dataclass(frozen=True, slots=True)
class LuaScript:
    text: str
    sha: str


def script_names() -> list[str]:
    """The names of all scripts, sorted."""
    found = files("jobrunner.store").joinpath("lua").iterdir()
    return sorted(one.name.removesuffix(".lua") for one in found if one.name.endswith(".lua"))


@cache
def lua_script(name: str) -> LuaScript:
    """The script `lua/<name>.lua` with its includes in front, read once per process."""
    body = _read(f"{name}.lua")
    text = "\n".join([*(_read(f"include/{part}.lua") for part in _includes(body)), body])
    return LuaScript(text, sha1(text.encode(), usedforsecurity=False).hexdigest())


def _includes(body: str) -> list[str]:
    for line in body.splitlines():
        if not line.startswith("--"):
            break
        if line.startswith(INCLUDE):
            return line.removeprefix(INCLUDE).split()
    return []


def _read(path: str) -> str:
    return files("jobrunner.store").joinpath("lua", path).read_text(encoding="utf-8")
