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
        key_at, node = self._find(path)
        return node.where if isinstance(node, Scalar) else key_at

    def locate_key(self, path: Path) -> Location:
        """The place of the key itself."""
        return self._find(path)[0]

    def _find(self, path: Path) -> tuple[Location, Node | None]:
        """Key and node of the part, or of the nearest one around it; no node outside the files."""
        place: Location = self.root.where
        node: Node = self.root
        for depth, part in enumerate(path):
            step = _step(node, part)
            if step is None:
                other = self.others.get((str(path[0]), str(path[1]))) if len(path) > 1 else None
                # A cron written inside its task, or a function: known below its name only.
                return (other, None) if other and depth < 2 else (place, _whole(node, part))
            place, node = step
        return place, node


def _whole(node: Node, part: str | int) -> Node | None:
    """The text that stands for a list: its items are where it is."""
    return node if isinstance(part, int) and isinstance(node, Scalar) else None


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
