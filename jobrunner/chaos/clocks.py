"""A copy of the package whose clocks can be set, for a daemon under test.

Nobody may set the clock of a user's machine for a test. So the daemon runs from a copy in which
three lines differ: the wall clock, the scripts' clock and the question for the server's time add
an offset. It stands in a file for the first, in a key for the others: a machine's clock moves
both, that of a server on another machine only the key.
"""

import shutil
from importlib.resources import as_file, files
from pathlib import Path

from jobrunner.chaos.arena import Arena
from jobrunner.chaos.site import Stuck

KEY = "chaos:clock"  # milliseconds, beside every namespace
SECONDS_MS = 1000

WALL = "return datetime.now(UTC)"
WALL_MOVED = """from datetime import timedelta
        from pathlib import Path

        return datetime.now(UTC) + timedelta(milliseconds=int(Path({path!r}).read_text()))"""
SCRIPTS = "local time = redis.call('TIME')"
SCRIPTS_MOVED = f"""local time = redis.call('TIME')
  time[1] = time[1] + (redis.call('GET', '{KEY}') or 0) / {SECONDS_MS}"""
ASKED = 'Command(("TIME",))'
ASKED_MOVED = (
    """Command(("EVAL", "local t = redis.call('TIME') return {tostring(t[1] + (redis.call("""
    f"""'GET', '{KEY}') or 0) / {SECONDS_MS}), t[2]}}", "0"))"""
)


class Clocks:
    """The clocks of an arena's daemons, from before these start on."""

    def __init__(self, arena: Arena) -> None:
        self._arena = arena
        self._wall = arena.folder / "wall-clock"
        self._wall.write_text("0")
        self._package = arena.folder / "moved"
        self._copy()
        for site in arena.sites:
            site.run_from(self._package)

    def set(self, offset_s: int) -> None:
        """Both clocks, so many seconds from the true time."""
        self._arena.recorder.fault(f"clock{offset_s:+}")
        written = self._wall.with_suffix(".new")
        written.write_text(str(offset_s * SECONDS_MS))
        written.replace(self._wall)
        self._set_key(offset_s)

    def set_server(self, offset_s: int) -> None:
        """The server's alone."""
        self._arena.recorder.fault(f"server-clock{offset_s:+}")
        self._set_key(offset_s)

    def _set_key(self, offset_s: int) -> None:
        self._arena.execute("SET", KEY, offset_s * SECONDS_MS)

    def _copy(self) -> None:
        target = self._package / "jobrunner"
        with as_file(files("jobrunner")) as source:
            shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
        _replace(target / "clock.py", WALL, WALL_MOVED.format(path=str(self._wall)))
        _replace(target / "store/lua/include/clock.lua", SCRIPTS, SCRIPTS_MOVED)
        asking = [path for path in target.rglob("*.py") if ASKED in path.read_text()]
        for path in asking:
            if "chaos" not in path.parts:
                _replace(path, ASKED, ASKED_MOVED)


def _replace(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    if old not in text:
        raise Stuck(f"{path.name} reads its clock in another way than {old!r}")
    path.write_text(text.replace(old, new))
