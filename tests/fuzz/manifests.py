"""Manifests that are almost right, as strategies: made from the models, then damaged.

A mapping is a list of pairs until it is written, so that a key can stand in it twice.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin

from hypothesis import strategies as st

from jobrunner.manifest.parts import Spec
from jobrunner.manifest.spec import CronSpec, ManifestFile, Task
from tests.fuzz import garbage
from tests.unit.manifest.reading import EVERYTHING

Pair = tuple[str, Any]


@dataclass(frozen=True)
class Mapping:
    pairs: tuple[Pair, ...]


@dataclass(frozen=True)
class Raw:
    """YAML as it stands."""

    text: str


NAMES = ("a", "backup", "nightly", "x.y-z_1")
names = st.sampled_from(NAMES)
words = st.sampled_from(("x", "web", "ops", "low", "{day}", "a {day} b", "1.10"))
durations = st.sampled_from(("90s", "5m", "1h30m", "500ms", "0", 120, 1.5, "1d"))

# Where the type says less than the rule does.
BY_FIELD: dict[str, st.SearchStrategy[Any]] = {
    "name": names,
    "task": names,
    "queue": names,
    "queues": st.lists(names, max_size=2),
    "timezone": st.sampled_from(("UTC", "Europe/Berlin", "Asia/Kolkata")),
    "cron": st.sampled_from(("0 2 * * *", "*/5 * * * *", "@daily", "0 0 2 * * *", "H H * * L")),
    "python": st.sampled_from(("shop.jobs:work", "a:b")),
    "command": st.sampled_from(("echo {day}", "true")) | st.lists(words, min_size=1, max_size=3),
    "umask": st.sampled_from(("027", "22")),
    "processes": st.sampled_from(("auto", 2)),
    "memory": st.sampled_from(("512M", 1000)),
    "max_bytes": st.sampled_from(("1M", 1000)),
    "url": st.sampled_from(("redis://localhost", "unix:///run/s", "${X}", "rediss://u:p@h:1/2")),
    "type": st.sampled_from(("string", "integer", "number", "boolean", "date", "datetime", "any")),
    "interpreter": st.sampled_from(("bash", "/bin/sh", ["python3", "-u"])),
    "pattern": st.sampled_from(("[a-z]+", "x|y")),
    "include": st.sampled_from(("nothing.d/*.yaml", [], "/nonexistent/x.yaml")),
    "imports": st.lists(st.sampled_from(("shop.jobs", "a")), max_size=2),
    "params": st.just(Mapping(())),
    "count": st.integers(1, 9),
    "lock_ttl": st.sampled_from(("90s", 5, "1h")),
    "every": st.sampled_from(("90s", 5, "1h")),
    "timeout": st.sampled_from(("90s", 5, "1h")),
    "env": st.lists(
        st.tuples(names, st.sampled_from((1, True, "x", Mapping((("env", "X"),))))), max_size=2
    ).map(lambda pairs: Mapping(tuple(dict(pairs).items()))),
}


def of_type(annotation: Any) -> st.SearchStrategy[Any]:
    """Values that fit a field's annotation; rules that say more than types may refuse them."""
    origin, args = get_origin(annotation), get_args(annotation)
    if annotation is timedelta:
        return durations
    if origin is Annotated:
        return of_type(args[0])
    if origin in (Union, UnionType):
        return st.one_of(*(of_type(member) for member in args))
    if origin is dict:
        return st.lists(st.tuples(names, of_type(args[1])), max_size=2).map(_mapping)
    if origin is list:
        return st.lists(of_type(args[0]), max_size=2)
    if isinstance(annotation, type) and issubclass(annotation, StrEnum):
        return st.sampled_from([member.value for member in annotation])
    if isinstance(annotation, type) and issubclass(annotation, Spec):
        return st.deferred(lambda: mappings(annotation))
    return _of_plain_type(annotation)


def _of_plain_type(annotation: Any) -> st.SearchStrategy[Any]:
    if annotation is type(None):
        return st.none()
    if annotation is bool:
        return st.booleans()
    if annotation in (int, float):
        return st.integers(1, 9)
    return words


def _mapping(pairs: Sequence[Pair]) -> Mapping:
    return Mapping(tuple(dict(pairs).items()))


@st.composite
def mappings(draw: st.DrawFn, model: type[Spec], *always: str) -> Mapping:
    """A few keys of a model."""
    fields = model.model_fields
    required = [name for name, field in fields.items() if field.is_required()]
    some = draw(st.lists(st.sampled_from(sorted(fields)), max_size=4, unique=True))
    chosen = dict.fromkeys([*always, *required, *some])
    return Mapping(tuple((name, draw(_value(name, fields[name].annotation))) for name in chosen))


def _value(name: str, annotation: Any) -> st.SearchStrategy[Any]:
    return BY_FIELD[name] if name in BY_FIELD else of_type(annotation)


PARAMS = Mapping((("day", Mapping((("type", "date"), ("default", "today")))),))


COMMANDS: dict[str, st.SearchStrategy[Any]] = {
    "command": BY_FIELD["command"],
    "shell": st.sampled_from(("true", "echo $day; exit 3")),
    "python": BY_FIELD["python"],
}


@st.composite
def tasks(draw: st.DrawFn) -> Mapping:
    kinds = {"command", "shell", "python"}
    kind = draw(st.sampled_from(("command", "command", "shell", "python")))
    drawn = draw(mappings(Task))
    excluded = {*kinds, "params"}
    pairs = [(kind, draw(COMMANDS[kind])), *(p for p in drawn.pairs if p[0] not in excluded)]
    return Mapping((*pairs, ("params", PARAMS)))


@st.composite
def manifests(draw: st.DrawFn) -> Mapping:
    """Mostly valid ones: each cron has a task, each task one of its three kinds."""
    named = draw(st.lists(names, min_size=1, max_size=2, unique=True))
    declared = Mapping(tuple((name, draw(tasks())) for name in named))
    crons = Mapping(tuple((f"c-{name}", _cron(draw(mappings(CronSpec)), name)) for name in named))
    drawn = draw(mappings(ManifestFile))
    own = [pair for pair in drawn.pairs if pair[0] not in ("tasks", "crons", "imports")]
    return Mapping((*own, ("tasks", declared), ("crons", crons)))


def _cron(drawn: Mapping, task: str) -> Mapping:
    own = {k: v for k, v in drawn.pairs if k not in ("task", "cron", "every", "params")}
    schedule = [pair for pair in drawn.pairs if pair[0] in ("cron", "every") and pair[1]][:1]
    return Mapping((("task", task), *(schedule or [("cron", "@daily")]), *own.items()))


# Damage to the tree.

RAW = (
    "!!python/object:os.system {}",
    "!!python/name:os.system",
    "!!binary aGVsbG8=",
    "!!timestamp 2026-11-21",
    "!!set {a, b}",
    "!env X",
    "2026-11-21",
    "2026-11-21T08:00:00Z",
    "12:30:45",
    ".nan",
    ".inf",
    "-.Inf",
    "1e400",
    "0o17",
    "0b11",
    "1_000",
    "~",
    "yes",
    "*missing",
    "&a [*a]",
    "&a {<<: *a}",
    "&z x",
    "*z",
    "{? [a]: b}",
    "{? {a: b} : c}",
    "{<<: [x]}",
    "{<<: {task: a}}",
    "{1: 2, null: 3, true: 4}",
    "{ß: ü, 鍵: 値}",
    "[" * 60 + "]" * 60,
    "{a: " * 45 + "x" + "}" * 45,
    "9" * 5000,
    '"\\0"',
    '"\\uD800"',
    '"\\UFFFFFFFF"',
    '"\\x1b[31m"',
    "'unclosed",
    "${X}",
    "${MISSING}",
    "${X:-y}",
    "${",
    "$${X}",
    "${X${X}}",
    "{day}",
    "{{day}}",
    "{missing}",
    "{day",
    "%x",
    "@x",
    "`x",
    "- x",
    "# nothing",
    "a: b: c",
)
odd_values = (
    st.sampled_from(RAW).map(Raw)
    | garbage.json_values
    | garbage.texts
    | garbage.texts.map(Raw)
    | st.lists(st.tuples(garbage.plain_texts, garbage.texts), max_size=3).map(
        lambda pairs: Mapping(tuple(pairs))
    )
)
Path = tuple[int, ...]


def _paths(tree: Any, path: Path = ()) -> list[Path]:
    """Of every pair in the tree."""
    if isinstance(tree, Mapping):
        return [
            found
            for number, (_, value) in enumerate(tree.pairs)
            for found in [(*path, number), *_paths(value, (*path, number))]
        ]
    return []


@st.composite
def damaged_trees(draw: st.DrawFn) -> Mapping:
    """A manifest with up to three things wrong in it."""
    tree = draw(manifests())
    for _ in range(draw(st.integers(0, 3))):
        paths = _paths(tree)
        if not paths:
            return tree
        tree = _changed(draw, tree, draw(st.sampled_from(paths)))
    return tree


def _changed(draw: st.DrawFn, tree: Mapping, path: Path) -> Mapping:
    pairs = list(tree.pairs)
    number, *deeper = path
    key, value = pairs[number]
    if deeper:
        pairs[number] = (key, _changed(draw, value, tuple(deeper)))
    else:
        pairs[number : number + 1] = draw(_instead_of(key, value))
    return Mapping(tuple(pairs))


def _instead_of(key: str, value: Any) -> st.SearchStrategy[list[Pair]]:
    """What may take a pair's place."""
    return st.one_of(
        odd_values.map(lambda odd: [(key, odd)]),
        garbage.texts.map(lambda text: [(text, value)]),
        st.sampled_from(_misspellings(key)).map(lambda word: [(word, value)]),
        odd_values.map(lambda odd: [(key, value), (key, odd)]),
        st.sampled_from(sorted({*Task.model_fields, *CronSpec.model_fields})).map(
            lambda other: [(key, value), (other, value)]
        ),
        st.just([]),
    )


def _misspellings(key: str) -> list[str]:
    return [key[1:], key[:-1] + key[-1:] * 2, key.upper(), key[::-1], f"{key}s", f" {key}"]


# Writing.


def written(tree: Any, depth: int = 0) -> str:
    """The tree as YAML: lines for mappings, everything within them on one line."""
    if isinstance(tree, Mapping) and tree.pairs and depth < 3:
        indent = "\n" + "  " * depth
        lines = [f"{_key(key)}: {written(value, depth + 1)}" for key, value in tree.pairs]
        return indent * bool(depth) + indent.join(lines)
    return _flow(tree)


def _flow(tree: Any) -> str:
    if isinstance(tree, Raw):
        return tree.text
    if isinstance(tree, Mapping):
        return "{" + ", ".join(f"{_key(key)}: {_flow(value)}" for key, value in tree.pairs) + "}"
    if isinstance(tree, list):
        return "[" + ", ".join(_flow(item) for item in tree) + "]"
    return json.dumps(tree, ensure_ascii=False)


def _key(key: str) -> str:
    return key if key.isidentifier() or key == "<<" else json.dumps(key, ensure_ascii=False)


# Damage to the text.

INSERTED = st.one_of(
    st.sampled_from(("\t", "\r", "\r\n", "\ufeff", "\0", "\x85", "\u2028", "\x07", "\ufdd0")),
    st.sampled_from(("\n---\n", "\n...\n", "%YAML 1.1\n---\n", "\n", "\ud800", "\uffff", "   ")),
    st.sampled_from((":", "- ", "#", "&a ", "*a", "<<: *a", "!t ", "|", ">-", "?", ",", "${")),
    st.sampled_from(("'", '"', "{", "}", "[", "]", "{day}", "@", "%")),
)


@st.composite
def damaged_texts(draw: st.DrawFn) -> str:
    text = written(draw(damaged_trees()))
    for _ in range(draw(st.integers(0, 2))):
        at = draw(st.integers(0, len(text)))
        length = draw(st.sampled_from((0, 0, 0, 1, 5, 1000)))
        text = text[:at] + draw(INSERTED | garbage.texts) + text[at + length :]
    ending = draw(st.sampled_from(("\n", "\n", "\n", "\r\n", "\r")))
    return text.replace("\n", ending)


def _bomb(levels: int, width: int) -> str:
    """Billion laughs: each anchor stands for `width` of the one before."""
    lines = ["a0: &a0 [x, x]"]
    lines += [
        f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * width)}]" for n in range(1, max(levels, 1))
    ]
    return "\n".join(lines)


bombs = st.builds(_bomb, st.integers(1, 40), st.integers(1, 12))
spliced = st.builds(
    lambda at, length, odd: EVERYTHING[:at] + odd + EVERYTHING[at + length :],
    st.integers(0, len(EVERYTHING)),
    st.integers(0, 12),
    odd_values.map(_flow),
)
documents = st.one_of(
    damaged_texts(),
    spliced,
    damaged_texts(),
    damaged_texts(),
    bombs,
    odd_values.map(_flow),
    st.lists(odd_values.map(_flow), max_size=4).map("\n".join),
    st.text(max_size=60),
)
