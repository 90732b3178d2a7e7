"""The table of mutations, and copies of the package in which one of them is made."""

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import yaml

ROOT = Path(__file__).parent.parent.parent
TABLE = Path(__file__).with_name("mutations.yaml")
LUA = Path("jobrunner/store/lua")
COPIED = ("jobrunner", "tests", "pyproject.toml")


@dataclass(frozen=True, slots=True)
class Mutation:
    """One text of a script, and what takes its place. `drops` says what the script loses."""

    script: str  # e.g. `finish`, `include/holder`
    drops: str
    old: str
    new: str
    tests: tuple[str, ...]  # files that must notice, quick ones first

    @property
    def path(self) -> Path:
        return LUA / f"{self.script}.lua"

    def count(self, root: Path) -> int:
        """How often the text occurs in the script."""
        return (root / self.path).read_text(encoding="utf-8").count(self.old)

    def make(self, root: Path) -> None:
        """Change the script in a copy of the package."""
        path = root / self.path
        text = path.read_text(encoding="utf-8")
        path.write_text(text.replace(self.old, self.new), encoding="utf-8")


def read_mutations() -> Iterator[Mutation]:
    """The table, in its order."""
    for script, rows in yaml.safe_load(TABLE.read_text(encoding="utf-8")).items():
        files = [f"tests/store/{name}.py" for name in rows["tests"]]
        for drops, old, new in rows["mutations"]:
            yield Mutation(script, drops, old, new, (*files, "tests/model"))


def copy_package(target: Path) -> None:
    """The package and its tests, without what earlier runs left."""
    ignored = shutil.ignore_patterns("__pycache__", ".*")
    for name in COPIED:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, target / name, ignore=ignored)
        else:
            shutil.copy(source, target / name)
