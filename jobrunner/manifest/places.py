"""Where the parts of a manifest stand in its files, and what they are called in a message."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from jobrunner.errors import Location
from jobrunner.manifest.nodes import Items, Keys, Node, Scalar

Path = Sequence[str | int]

# How a named entry of these mappings is called.
NOUNS: Mapping[str, str] = {
    "tasks": "task",
    "crons": "cron",
    "params": "parameter",
    "env": "environment variable",
}


@dataclass(frozen=True, slots=True)
class Places:
    """Knows the place of every key. `others` has the places of what no file holds under its path.

    Such are crons written inside their task, and what was found in Python modules.
    """

    root: Keys
    others: dict[tuple[str, str], Location] = field(default_factory=dict)

    def locate(self, path: Path) -> Location:
        """The place of a value, or of the key where the value is a list or mapping.

        For what is not there, the nearest part around it that is.
        """
        return self._find(path, prefer_key=False)

    def locate_key(self, path: Path) -> Location:
        """The place of the key itself."""
        return self._find(path, prefer_key=True)

    def _find(self, path: Path, prefer_key: bool) -> Location:
        node: Node = self.root
        place = self.root.where
        is_whole = True
        for depth, part in enumerate(path):
            step = _step(node, part)
            if step is None:
                other = (
                    self.others.get((str(path[0]), str(path[1])))
                    if depth < 2 <= len(path)
                    else None
                )
                place, is_whole = other or place, False
                break
            place, node = step
        is_value = is_whole and isinstance(node, Scalar) and not prefer_key
        return node.where if is_value else place


def _step(node: Node, part: str | int) -> tuple[Location, Node] | None:
    if isinstance(node, Keys) and part in node.entries:
        entry = node.entries[str(part)]
        return entry.where, entry.node
    if isinstance(node, Items) and isinstance(part, int) and part < len(node.items):
        item = node.items[part]
        return item.where, item
    return None


def describe(path: Path) -> str:
    """The part's name: `retry of task 'backup'`, `cron 'nightly'`, `store`; top: `the manifest`."""
    names: list[str] = []
    parts = [part for part in path if isinstance(part, str)]
    position = 0
    while position < len(parts):
        noun = NOUNS.get(parts[position])
        if noun and position + 1 < len(parts):
            names.append(f"{noun} {parts[position + 1]!r}")
            position += 1
        else:
            names.append(parts[position])
        position += 1
    return " of ".join(reversed(names)) or "the manifest"
