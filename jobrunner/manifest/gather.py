"""Reads a manifest's files: the one that was named, and those it includes."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from glob import glob, has_magic
from os.path import realpath
from pathlib import Path, PurePath

from jobrunner.errors import Location, Problem
from jobrunner.manifest.nodes import Entry, Items, Keys, Node, Scalar
from jobrunner.manifest.source import LARGEST_FILE, read_source
from jobrunner.manifest.syntax import place_after
from jobrunner.manifest.trust import Guard, Untrusted, read_guarded
from jobrunner.manifest.values import Values

INCLUDE = "include"
FREE_PREFIX = "x-"  # of keys that belong to the manifest's author: a place for anchors
SHARED = ("tasks", "crons")  # what an included file may add to
MOST_FILES = 1000
MOST_BYTES = 8 * LARGEST_FILE  # of all files together


@dataclass(slots=True)
class Gathered:
    """One tree of all files, the files in the order they were read, and what was wrong."""

    root: Keys
    files: list[str] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    includes: list[str] = field(default_factory=list)
    unmatched: list[Problem] = field(default_factory=list)  # what may be, and should be told
    is_whole: bool = True  # False when a file could not be read, and so its tasks are not known

    def names(self, section: str) -> set[str]:
        """The names declared in `tasks` or `crons`, whether their declarations are right or not."""
        entry = self.root.entries.get(section)
        return set(entry.node.entries) if entry and isinstance(entry.node, Keys) else set()


def is_free(key: str) -> bool:
    """Whether a key at the top of a file is not ours to read."""
    return key.startswith(FREE_PREFIX)


def gather(text: str, file: str, environ: Mapping[str, str], guard: Guard = Guard.NONE) -> Gathered:
    """Read the manifest `text` of `file`, and every file it includes."""
    gathering = _Gathering(environ, guard, Gathered(Keys(Location(file, 1, 1), {})))
    gathering.add_main(text, file)
    return gathering.gathered


def read_text(file: str, guard: Guard = Guard.NONE) -> str | Problem:
    """The text of a file, UTF-8; or why there is none. Raises Untrusted."""
    start = Location(file, 1, 1)
    try:
        content = read_guarded(file, guard, LARGEST_FILE)
    except OSError as error:
        why = error.strerror or str(error)
        fix = "correct the path, or make the file readable; `jobrunner init` writes a new manifest"
        return Problem(None, f"cannot read {file}", why, fix)
    if len(content) > LARGEST_FILE:
        why = f"a manifest has at most {LARGEST_FILE} bytes"
        return Problem(start, "the file is too large", why, "split it by 'include'")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        read = error.object  # `content` without the mark that some editors put before it
        line, column = place_after(read[: error.start].decode())
        what = f"byte 0x{read[error.start]:02x} is not UTF-8"
        why = "a manifest is UTF-8 text"
        return Problem(Location(file, line, column), what, why, "save the file as UTF-8")


@dataclass(slots=True)
class _Gathering:
    environ: Mapping[str, str]
    guard: Guard
    gathered: Gathered
    known: set[str] = field(default_factory=set)  # the files' real paths
    size: int = 0  # characters read
    merged: dict[str, dict[str, Entry]] = field(default_factory=dict)  # by section

    def add_main(self, text: str, file: str) -> None:
        root = self._read(text, file)
        if root is None:
            return
        self.gathered.root = Keys(
            root.where,
            {k: e for k, e in root.entries.items() if k != INCLUDE and not is_free(k)},
        )
        self._follow(root, file, (realpath(file),))

    def _read(self, text: str, file: str) -> Keys | None:
        """The tree of one file, if it is a mapping; an empty file is one without keys."""
        self.gathered.files.append(file)
        self.known.add(realpath(file))
        self.size += len(text)
        source = read_source(text, file)
        self.gathered.problems += source.problems
        if source.root is None and not source.problems:
            self.gathered.problems.append(_empty(file))
        elif isinstance(source.root, (Scalar, Items)):
            self.gathered.problems.append(_not_a_mapping(source.root))
        if isinstance(source.root, Keys):
            return source.root
        self.gathered.is_whole = False
        return None

    def _follow(self, root: Keys, file: str, chain: tuple[str, ...]) -> None:
        """Add the files that `root` includes; `chain` are those that led here."""
        if INCLUDE not in root.entries:
            return
        values = Values(self.environ)
        for node in self._patterns(root.entries[INCLUDE]):
            pattern = str(values.of(node))
            self.gathered.includes.append(pattern)
            folder = Path(file).parent
            found = _matches(pattern, folder)
            if not found:
                self._note_unmatched(pattern, folder, node.where)
            for path in found:
                self._include(path, node.where, chain, is_wild=has_magic(pattern))
        self.gathered.problems += values.problems

    def _note_unmatched(self, pattern: str, folder: Path, where: Location) -> None:
        """A pattern may match nothing where there is nothing to match: an empty `jobs.d`."""
        what = f"'include' has {pattern!r}, which matches no file"
        place, others = _others_beside(pattern, folder)
        if others:
            why = f"{str(place)!r} holds {', '.join(others)}"
            self.gathered.problems.append(Problem(where, what, why, "correct the pattern"))
        else:
            why = f"{str(place)!r} {'is no folder' if others is None else 'has none'}"
            fix = "put a file there, or remove the pattern"
            self.gathered.unmatched.append(Problem(where, what, why, fix))

    def _patterns(self, entry: Entry) -> Iterator[Scalar]:
        nodes = entry.node.items if isinstance(entry.node, Items) else (entry.node,)
        for node in nodes:
            if isinstance(node, Scalar) and isinstance(node.value, str):
                yield node
            elif not isinstance(node, Scalar) or node.value is not None:
                self.gathered.problems.append(_not_a_path(node))

    def _include(
        self, path: Path, where: Location, chain: tuple[str, ...], *, is_wild: bool
    ) -> None:
        resolved = realpath(path)
        if resolved in chain and not is_wild:
            self.gathered.problems.append(_cycle(path, where))
        if resolved in chain or resolved in self.known:
            return  # twice is once: `jobs.d/*.yaml` may match what was named before
        if len(self.known) > MOST_FILES or self.size > MOST_BYTES:
            if self.gathered.is_whole:
                self.gathered.problems.append(_too_many(where))
            self.gathered.is_whole = False
            return
        try:
            text = read_text(str(path), self.guard)
        except Untrusted as error:
            self.gathered.is_whole = False
            what = f"cannot include: {error.what}"
            self.gathered.problems.append(Problem(where, what, error.why, error.fix))
            return
        if isinstance(text, Problem):
            self.gathered.is_whole = False
            what = f"cannot include: {text.what}" if text.where is None else text.what
            self.gathered.problems.append(
                Problem(text.where or where, what, text.why, "correct the path in 'include'")
            )
            return
        root = self._read(text, str(path))
        if root is not None:
            self._add(root)
            self._follow(root, str(path), (*chain, resolved))

    def _add(self, root: Keys) -> None:
        for key, entry in root.entries.items():
            if key == INCLUDE or is_free(key):
                continue
            if key not in SHARED:
                self.gathered.problems.append(_only_in_main(key, entry.where))
            elif isinstance(entry.node, Keys):
                self._merge(key, entry, entry.node)
            elif not isinstance(entry.node, Scalar) or entry.node.value is not None:
                self.gathered.problems.append(_not_names(key, entry.where))

    def _merge(self, section: str, entry: Entry, named: Keys) -> None:
        root = self.gathered.root
        mine = root.entries.get(section)
        # The tree of a file may share the mapping with another place of an anchor: not changed.
        entries = self.merged.get(section)
        if entries is None:
            entries = dict(mine.node.entries) if mine and isinstance(mine.node, Keys) else {}
            self.merged[section] = entries
        for name, item in named.entries.items():
            if name in entries:
                self.gathered.problems.append(_duplicate(section, name, item, entries[name]))
            else:
                entries[name] = item
        place = mine.where if mine else entry.where
        root.entries[section] = Entry(place, Keys(place, entries))


def _matches(pattern: str, folder: Path) -> list[Path]:
    if not has_magic(pattern):
        return [folder / pattern]
    # root_dir keeps wildcards in the folder's own name from matching.
    return [folder / found for found in sorted(glob(pattern, root_dir=folder))]


def _others_beside(pattern: str, folder: Path) -> tuple[Path, list[str] | None]:
    """The folder that a pattern looks in, and what it may mean; None when there is no such folder.

    That are files of YAML by their name, and folders; not a README.
    """
    begin = next(part for part in PurePath(pattern).parents if not has_magic(str(part)))
    place = folder / begin
    try:
        entries = sorted(place.iterdir())
    except OSError:
        return place, None
    names = [
        entry.name
        for entry in entries
        if entry.suffix.lower() in (".yaml", ".yml")
        or (entry.is_dir() and "/" in pattern.removeprefix(f"{begin}/"))
    ]
    return place, names[:3] + ["…"] * (len(names) > 3)


def _too_many(where: Location) -> Problem:
    return Problem(
        where,
        "'include' names too many files",
        f"at most {MOST_FILES} files are read, and {MOST_BYTES >> 20} MiB of them",
        "name fewer, or join them",
    )


def _empty(file: str) -> Problem:
    return Problem(
        Location(file, 1, 1),
        "the file is empty",
        "a manifest declares at least one key",
        "declare tasks; `jobrunner init` writes a manifest to begin with",
    )


def _not_a_mapping(node: Node) -> Problem:
    return Problem(
        node.where,
        "the manifest must be a mapping",
        "at the top it has keys such as tasks and crons",
        "write 'tasks:' and the tasks below it",
    )


def _not_a_path(node: Node) -> Problem:
    fix = "write a path, or a list of paths, in quotes"
    return Problem(node.where, "'include' must name files", "each item is one path", fix)


def _cycle(path: Path, where: Location) -> Problem:
    return Problem(
        where,
        f"'include' leads back to {path}",
        "that file is being read already",
        "remove this line",
    )


def _only_in_main(key: str, where: Location) -> Problem:
    return Problem(
        where,
        f"key {key!r} cannot stand in an included file",
        f"an included file adds to {' and '.join(SHARED)} only",
        f"move {key!r} to the manifest that includes this file",
    )


def _not_names(section: str, where: Location) -> Problem:
    why = f"it maps the names of {section} to what they are"
    return Problem(where, f"{section!r} must be a mapping", why, "write 'name:' lines below it")


def _duplicate(section: str, name: str, second: Entry, first: Entry) -> Problem:
    return Problem(
        second.where,
        f"{section.removesuffix('s')} {name!r} is declared twice",
        f"it was first declared at {first.where}",
        "rename or remove one of the two",
    )
