"""YAML text as a tree of nodes that know their line and column.

Keys are always texts; merge keys (`<<`) work; duplicate keys and tags are refused.
The parser's events are read one at a time, so limits hold before anything large has been built.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import yaml

from jobrunner.errors import Location, ManifestError, Problem
from jobrunner.manifest.nodes import Entry, Items, Keys, Node, Scalar, resolve
from jobrunner.manifest.syntax import (
    DEEPEST,
    place_after,
    syntax_problem,
    too_deep,
    too_large,
    unusable,
)

LARGEST_FILE = 1 << 20  # bytes; manifests of a thousand tasks have a fifth of it
# Aliases are counted as often as they are used: an alias bomb ends here.
MOST_NODES = 100_000
MOST_TEXT = 8 * LARGEST_FILE  # characters


@dataclass(frozen=True, slots=True)
class Source:
    """What a text was read as; None for an empty one. The tree holds what could be used."""

    root: Node | None
    problems: list[Problem]


def read_source(text: str, file: str) -> Source:
    """Read one YAML document; `file` is named in problems. Never raises for any text."""
    reader = _Reader(text, file)
    try:
        return Source(reader.read(), reader.problems)
    except ManifestError as error:
        return Source(None, [*reader.problems, *error.problems])
    except yaml.YAMLError as error:
        return Source(None, [*reader.problems, syntax_problem(error, text, file)])
    except (ValueError, OverflowError) as error:
        # PyYAML without libyaml lets these through for escapes such as "\UFFFFFFFF".
        return Source(None, [*reader.problems, unusable(str(error), Location(file, 1, 1))])


# Stand for the braces of a placeholder while YAML is parsed: Unicode keeps these two free for use
# inside a program, and no text may hold them.
_OPEN, _CLOSE = "\ufdd0", "\ufdd1"
_GLUED = re.compile(r"""(?<=[^\s\[\]{},:"'])(?:\{{1,3}[A-Za-z_]\w*\}{1,3})+""", re.ASCII)
_NOT_PRINTABLE = re.compile(
    "[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufdcf\ufdd2-\ufffd\U00010000-\U0010ffff]"
)
_TAGS = "tag:yaml.org,2002:"
_ALLOWED_TAGS = (None, "!", f"{_TAGS}str", f"{_TAGS}seq", f"{_TAGS}map")


@dataclass(frozen=True, slots=True)
class _Anchored:
    """An anchor's node, with what each alias of it adds to the tree."""

    node: Node
    count: int
    depth: int
    size: int  # characters


class _Reader:
    """Builds the tree from the parser's events."""

    def __init__(self, text: str, file: str) -> None:
        self.problems: list[Problem] = []
        self._text = text
        self._file = file
        self._anchors: dict[str, _Anchored] = {}
        self._count = 0
        self._size = 0
        self._deepest = 0

    def read(self) -> Node | None:
        """The document's tree. Raises ManifestError or yaml.YAMLError when there is none."""
        self._refuse_unprintable()
        # Any: the stubs know an event's fields by its class only, and most methods serve several.
        self._events: Iterator[Any] = yaml.parse(_shielded(self._text), Loader=_loader())
        root: Node | None = None
        for event in self._events:
            if isinstance(event, yaml.DocumentStartEvent):
                if root is not None:
                    raise ManifestError([self._second_document(event)])
                root = self._node(self._next(), depth=1)
        is_empty = isinstance(root, Scalar) and root.value is None
        return None if is_empty else root

    def _next(self) -> Any:
        return next(self._events)

    def _refuse_unprintable(self) -> None:
        text = self._text.removeprefix("\ufeff")
        found = _NOT_PRINTABLE.search(text)
        if found:
            line, column = place_after(text[: found.start()])
            code = f"U+{ord(found[0]):04X}"
            raise ManifestError(
                [unusable(f"character {code} is not allowed", Location(self._file, line, column))]
            )

    def _where(self, event: Any) -> Location:
        return Location(self._file, event.start_mark.line + 1, event.start_mark.column + 1)

    def _node(self, event: Any, depth: int) -> Node:
        if isinstance(event, yaml.AliasEvent):
            return self._alias(event, depth)
        count, size = self._count, self._size
        self._grow(event, 1, depth, len(event.value) if isinstance(event, yaml.ScalarEvent) else 0)
        outer, self._deepest = self._deepest, depth
        node = self._content(event, depth)
        if event.anchor is not None:
            self._anchors[event.anchor] = _Anchored(
                node, self._count - count, self._deepest - depth, self._size - size
            )
        self._deepest = max(outer, self._deepest)
        return node

    def _grow(self, event: Any, count: int, depth: int, size: int) -> None:
        """Count new nodes and their text; raises ManifestError past a limit."""
        self._count += count
        self._size += size
        self._deepest = max(self._deepest, depth)
        if depth > DEEPEST:
            raise ManifestError([too_deep(self._where(event))])
        if self._count > MOST_NODES:
            why = f"at most {MOST_NODES} values are read, each alias counted with all it stands for"
            raise ManifestError([self._too_large(event, "it has too many values", why)])
        if self._size > MOST_TEXT:
            why = (
                f"at most {MOST_TEXT} characters are read, each alias counted with all of its text"
            )
            raise ManifestError([self._too_large(event, "it has too much text", why)])

    def _alias(self, event: Any, depth: int) -> Node:
        anchored = self._anchors.get(event.anchor)
        if anchored is None:
            problem = Problem(
                self._where(event),
                f"alias '*{event.anchor}' refers to nothing",
                f"no anchor '&{event.anchor}' stands above it",
                "quote the value if the '*' is meant as text",
            )
            raise ManifestError([problem])
        self._grow(event, anchored.count, depth + anchored.depth, anchored.size)
        return anchored.node

    def _content(self, event: Any, depth: int) -> Node:
        if event.tag not in _ALLOWED_TAGS:
            self.problems.append(self._refused_tag(event))
        if isinstance(event, yaml.SequenceStartEvent):
            return Items(self._where(event), tuple(self._items(depth)))
        if isinstance(event, yaml.MappingStartEvent):
            return self._keys(event, depth)
        return self._scalar(event)

    def _scalar(self, event: Any) -> Scalar:
        where = self._where(event)
        text = _unshielded(event.value)
        if _NOT_PRINTABLE.search(text) and ("\0" in text or not _is_unicode(text)):
            self.problems.append(
                unusable("it holds a character that no program can be given", where)
            )
            text = ""
        return Scalar(where, text, resolve(text) if _is_plain(event) else text)

    def _items(self, depth: int) -> Iterator[Node]:
        while not isinstance(event := self._next(), yaml.SequenceEndEvent):
            yield self._node(event, depth + 1)

    def _keys(self, start: Any, depth: int) -> Keys:
        own: dict[str, Entry] = {}
        merged: list[dict[str, Entry]] = []
        while not isinstance(event := self._next(), yaml.MappingEndEvent):
            key = self._node(event, depth + 1)
            where = self._where(event)
            node = self._node(self._next(), depth + 1)
            if not isinstance(key, Scalar):
                self.problems.append(unusable("a key must be a text", where))
            elif key.text == "<<" and _is_plain(event):
                merged.append(self._merged(node, where))
            elif key.text in own:
                self.problems.append(_duplicate(key.text, where, own[key.text].where))
            else:
                own[key.text] = Entry(where, node)
        entries: dict[str, Entry] = {}
        for more in reversed(merged):  # the earlier wins
            entries.update(more)
        return Keys(self._where(start), {**entries, **own})

    def _merged(self, node: Node, where: Location) -> dict[str, Entry]:
        """The keys that `<<` adds; of several mappings the earlier wins, as YAML has it."""
        entries: dict[str, Entry] = {}
        for part in reversed(node.items) if isinstance(node, Items) else [node]:
            if isinstance(part, Keys):
                entries.update(part.entries)
            else:
                self.problems.append(unusable("'<<' must be given a mapping, or a list", where))
        return entries

    def _too_large(self, event: Any, what: str, why: str) -> Problem:
        return too_large(self._where(event), what, why)

    def _refused_tag(self, event: Any) -> Problem:
        return Problem(
            self._where(event),
            f"tag {event.tag[:60].replace(_TAGS, '!!')!r} is not allowed",
            "a manifest holds plain texts, numbers, lists and mappings only",
            "remove the tag; quote the value if the '!' is meant as text",
        )

    def _second_document(self, event: Any) -> Problem:
        return Problem(
            self._where(event),
            "a second YAML document begins here",
            "a manifest is one document",
            "remove the '---' line, or move what follows into a file named in 'include'",
        )


def _shielded(text: str) -> str:
    """`text` with the braces of placeholders within a word, `/backups/{day}.dump`, replaced.

    YAML would end an unquoted word of a `[…]` list there, and then fail; nobody expects that of
    a command. Length and lines stay, so that places do.
    """
    return _GLUED.sub(lambda m: m[0].replace("{", _OPEN).replace("}", _CLOSE), text)


def _unshielded(text: str) -> str:
    return text.replace(_OPEN, "{").replace(_CLOSE, "}")


def _is_plain(event: Any) -> bool:
    """Neither quoted nor tagged, so that its text decides what it is."""
    return isinstance(event, yaml.ScalarEvent) and event.implicit[0]


def _is_unicode(text: str) -> bool:
    return not any("\ud800" <= character <= "\udfff" for character in text)


def _loader() -> type[yaml.CSafeLoader | yaml.SafeLoader]:
    """libyaml's parser where PyYAML was built with it: ten times as fast."""
    return getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def _duplicate(key: str, where: Location, first: Location) -> Problem:
    return Problem(
        where,
        f"key {key!r} is given twice",
        f"it was first given at {first}",
        "remove or rename one of the two",
    )
