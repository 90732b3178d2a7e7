"""pydantic's errors as problems: in our words, at their place, with the nearest name."""

import re
from collections.abc import Iterable, Mapping, Sequence
from difflib import get_close_matches
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from jobrunner.errors import Problem
from jobrunner.manifest.fields import SECRET, TEXT
from jobrunner.manifest.parts import Spec
from jobrunner.manifest.places import NOUNS, Path, Places, describe
from jobrunner.manifest.spec import CronSpec, ManifestFile, Task

# By the first word of pydantic's error type: what was expected, and how to write it.
_EXPECTED: Mapping[str, tuple[str, str]] = {
    "int": ("a whole number", "write a number such as 3, without a unit"),
    "float": ("a number", "write a number such as 2.5, without a unit"),
    "bool": ("true or false", "write true or false"),
    "string": ("a text", "write one text; put numbers, true and false in quotes"),
    "list": ("a list", "write it as [first, second], or one line with '- ' for each"),
    "dict": ("a mapping", "write 'key: value' lines below it"),
    "model": ("a mapping", "write 'key: value' lines below it"),
}
_BOUNDS: Mapping[str, tuple[str, str]] = {
    "greater_than_equal": ("least", "more"),
    "less_than_equal": ("most", "less"),
}

MOST_COMPARED = 700  # names, as many as there are time zones; a comparison takes some 20 µs
_LETTERS = "abcdefghijklmnopqrstuvwxyz0123456789-_."

# Where a key that stands in the wrong part may belong.
_HOMES: Sequence[tuple[str, type[Spec]]] = (
    ("a task", Task),
    ("a cron", CronSpec),
    ("the manifest", ManifestFile),
)


def explain(
    error: ValidationError, places: Places, prefix: Path = (), most: int | None = None
) -> list[Problem]:
    """A problem for each of the first `most` errors; `prefix` is the path of what was validated."""
    errors = _errors(error)[:most]
    return [_problem((*prefix, *path_of(details)), details, places) for details in errors]


def _errors(error: ValidationError) -> list[ErrorDetails]:
    return error.errors(include_url=False)


def path_of(details: ErrorDetails) -> tuple[str | int, ...]:
    """The path in the manifest: pydantic's, without the marks of a union's members."""
    return tuple(part for part in details["loc"] if part not in (TEXT, SECRET))


def _problem(path: Path, details: ErrorDetails, places: Places) -> Problem:
    kind = details["type"]
    if kind == "extra_forbidden":
        return _unknown_key(path, places)
    if kind == "missing":
        return _missing_key(path, places)
    what, fix = _fault(path, details)
    return Problem(places.locate(path), f"{subject(path)} {what}", _purpose(path), fix)


def _fault(path: Path, details: ErrorDetails) -> tuple[str, str]:
    """What is wrong with a value, to follow its name, and how to fix it."""
    kind, context = details["type"], details.get("ctx", {})
    if kind == "value_error":
        what, _, fix = str(context["error"]).partition("; ")
        return f"cannot be used: {what}", fix or "write another value"
    value = _shown(path, details["input"])
    if kind == "enum":
        names = re.findall(r"'([^']*)'", context["expected"])
        return _not_one_of(names, details["input"], value)
    if kind == "too_long":
        given, most = len(details["input"]), context["max_length"]
        return f"has {given} entries, and at most {most} can be there", "remove some"
    if kind in _BOUNDS:
        words, other = _BOUNDS[kind]
        bound = context["ge" if words == "least" else "le"]
        return f"must be at {words} {bound}{value}", f"write {bound} or {other}"
    words, fix = _EXPECTED.get(kind.split("_")[0], (details["msg"], "write another value"))
    return f"must be {words}{value}", fix


def _not_one_of(names: list[str], given: object, value: str) -> tuple[str, str]:
    near = nearest(given, names)
    fix = f"write {near!r}" if near else "write one of these"
    return f"must be one of {', '.join(names)}{value}", fix


def _shown(path: Path, value: object) -> str:
    """The value, unless it may hold a secret."""
    of_param = path[2:3] == ("params",) and path[4:5] in [("default",), ("choices",)]
    if "env" in path or of_param or path == ("store", "url"):
        return ""
    return f", not {quoted(value)}"


def _unknown_key(path: Path, places: Places) -> Problem:
    key, parent = str(path[-1]), path[:-1]
    model = _model_at(parent)
    fields = model.model_fields if model else {}
    names = sorted(field.alias or name for name, field in fields.items())
    return Problem(
        places.locate_key(path),
        f"unknown key {quoted(key)} in {describe(parent)}",
        f"{_kind_of(parent)} accepts {', '.join(names)}",
        _fix_for_key(key, names, _kind_of(parent)),
    )


def _fix_for_key(key: str, names: list[str], kind: str) -> str:
    # An exact key elsewhere is more likely meant than a similar one here.
    home = next(
        (home for home, model in _HOMES if home != kind and key in model.model_fields), None
    )
    if home:
        return f"remove it here; {key!r} is a key of {home}"
    near = nearest(key, names)
    return f"rename it to {near!r}" if near else "remove it"


def _missing_key(path: Path, places: Places) -> Problem:
    key = path[-1]
    return Problem(
        places.locate_key(path[:-1]),
        f"key {key!r} is missing in {describe(path[:-1])}",
        _purpose(path),
        f"add '{key}: …'",
    )


def _purpose(path: Path) -> str | None:
    """What the key is for, by its description."""
    while path and isinstance(path[-1], int):
        path = path[:-1]
    model = _model_at(path[:-1]) if path else None
    field = model.model_fields.get(str(path[-1])) if model else None
    return f"{path[-1]}: {field.description}" if field and field.description else None


def subject(path: Path) -> str:
    """The value's name at the head of a sentence: `'attempts' of retry of task 'backup'`."""
    *parent, last = path or ("the manifest",)
    if isinstance(last, int):
        return f"item {last + 1} of {subject(parent)}"
    if not path or (parent and parent[-1] in NOUNS):
        return describe(path)
    return f"{last!r} of {describe(parent)}" if parent else f"{last!r}"


def _kind_of(path: Path) -> str:
    if not path:
        return "the manifest"
    noun = NOUNS.get(str(path[-2])) if len(path) > 1 else None
    if noun is None:
        return str(path[-1])
    return f"an {noun}" if noun[0] in "aeiou" else f"a {noun}"


def _model_at(path: Path) -> type[Spec] | None:
    """The model that describes the mapping at `path`, found by the models' annotations."""
    annotation: Any = ManifestFile
    for part in path:
        if isinstance(annotation, type) and issubclass(annotation, Spec):
            field = annotation.model_fields.get(str(part))
            annotation = field.annotation if field else None
        elif get_origin(annotation) in (dict, list):
            annotation = get_args(annotation)[-1]
        else:
            return None
        annotation = _structured(annotation)
    is_model = isinstance(annotation, type) and issubclass(annotation, Spec)
    return annotation if is_model else None


def _structured(annotation: Any) -> Any:
    """The member of a union, or the annotated type, that has parts of its own."""
    if get_origin(annotation) is Annotated:
        return _structured(get_args(annotation)[0])
    if get_origin(annotation) not in (Union, UnionType):
        return annotation
    members = [_structured(member) for member in get_args(annotation)]
    return next((m for m in members if get_origin(m) or hasattr(m, "model_fields")), None)


def nearest(word: object, names: Iterable[str]) -> str | None:
    """The name that was probably meant."""
    # The comparison is quadratic: nobody mistypes a name into a page of text.
    if not isinstance(word, str) or len(word) > 100:
        return None
    folded = {name.casefold(): name for name in names}
    asked = word.casefold()
    compared = folded if len(folded) <= MOST_COMPARED else _slips(asked) & folded.keys()
    return next((folded[m] for m in get_close_matches(asked, compared, 1)), None)


def _slips(word: str) -> set[str]:
    """All that is one slip from the word: a character left out, added, exchanged or another."""
    parts = [(word[:at], word[at:]) for at in range(len(word) + 1)]
    found = {a + b[1:] for a, b in parts} | {a + b[1:2] + b[:1] + b[2:] for a, b in parts}
    for letter in _LETTERS:
        found |= {a + letter + b for a, b in parts} | {a + letter + b[1:] for a, b in parts}
    return found


def listed(names: Iterable[str], most: int = 20) -> str:
    """The names in order, cut short where there are too many to read."""
    ordered = sorted(names)
    more = f", … ({len(ordered)} in all)" if len(ordered) > most else ""
    return ", ".join(ordered[:most]) + more


def quoted(value: object) -> str:
    """The value in quotes, shortened; control characters escaped."""
    if isinstance(value, bool) or value is None:
        return {True: "true", False: "false", None: "null"}[value]
    if isinstance(value, (list, dict)):
        return "a list" if isinstance(value, list) else "a mapping"
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}…"
