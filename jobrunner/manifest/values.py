"""A manifest's tree as plain values, with `${VAR}` filled in from the environment.

`${VAR}` and `${VAR:-default}` work in every text but `shell`, which has a shell's own variables;
`$${` stands for `${`. Keys are taken as they are.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from jobrunner.errors import Problem
from jobrunner.manifest.nodes import Items, Keys, Node, Scalar

_REFERENCE = re.compile(r"\$(\$\{)|\$\{([A-Za-z_][A-Za-z0-9_]*)(?::-([^}]*))?\}|(\$\{)", re.ASCII)
# The same where no brace is closed any more, so that nobody looks for one from each of them.
_UNCLOSED = re.compile(r"\$(\$\{)|(?!)()()|(\$\{)")

Path = tuple[str | int, ...]
SHORTEST_HIDDEN = 8  # characters; a shorter one is no secret, but what is wrong, e.g. a number


class Values:
    """Turns nodes into plain values; what cannot be filled in becomes a problem."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._environ = environ
        self.problems: list[Problem] = []
        self.references: list[tuple[Path, str]] = []  # values that may be secret, by their variable
        self._filled: dict[str, str] = {}  # values of variables that were filled in, with the name

    def of(self, node: Node, path: Path = ()) -> Any:
        """The node's value: a scalar, list or dictionary. `path` is the node's in the manifest."""
        if isinstance(node, Keys):
            return {key: self.of(entry.node, (*path, key)) for key, entry in node.entries.items()}
        if isinstance(node, Items):
            return [self.of(item, (*path, index)) for index, item in enumerate(node.items)]
        if _is_script(path):
            return node.value
        value = node.text if _is_text(path) and node.value is not None else node.value
        return self._filled_in(node, path, value) if isinstance(value, str) else value

    def _filled_in(self, node: Scalar, path: Path, text: str) -> str:
        if "${" not in text:
            return text
        end = text.rfind("}") + 1
        filled_in = _REFERENCE.sub(self._replacement(node, path, text), text[:end])
        rest = text[end:]
        return filled_in + _UNCLOSED.sub(self._replacement(node, path, rest), rest)

    def _replacement(self, node: Scalar, path: Path, text: str) -> Callable[[re.Match[str]], str]:
        may_be_secret = path[0:1] == ("store",) or path[2:3] == ("params",)

        def replacement(match: re.Match[str]) -> str:
            escaped, name, default, stray = match.groups()
            if escaped or stray:
                if stray:
                    self.problems.append(_stray(node, text, match.start()))
                return "${"
            if may_be_secret:
                self.references.append((path, name))
            value = self._environ.get(name)
            if value is None and default is None:
                self.problems.append(_missing(node, name))
            if value is not None and len(value) >= SHORTEST_HIDDEN:
                self._filled[value] = name
            # As in a shell, `:-` stands in for an empty variable, too.
            return value or default or ""

        return replacement

    def as_written(self, problem: Problem) -> Problem:
        """The problem with `${VAR}` where it quotes a variable's value, which may be a secret."""
        if not self._filled:
            return problem
        texts = (problem.what, problem.why, problem.fix)
        what, why, fix = (text and self._unfilled(text) for text in texts)
        return replace(problem, what=what or "", why=why, fix=fix)

    def _unfilled(self, text: str) -> str:
        for value, name in self._filled.items():
            text = text.replace(value, f"${{{name}}}")
            # A long quotation is cut, and a part of the value left.
            begin = text.find(value[:SHORTEST_HIDDEN])
            if begin >= 0 and (end := text.find("…", begin)) >= 0:
                text = f"{text[:begin]}${{{name}}}{text[end:]}"
        return text


def _missing(node: Scalar, name: str) -> Problem:
    return Problem(
        node.where,
        f"environment variable {name!r} is not set",
        f"the value refers to it as ${{{name}}}",
        f"set {name}, or give a default: ${{{name}:-default}}",
    )


def _stray(node: Scalar, text: str, start: int) -> Problem:
    rest = text[start : start + 20].split("\n", 1)[0]
    return Problem(
        node.where,
        f"{rest!r} does not refer to an environment variable",
        "${ begins ${VAR} or ${VAR:-default}; VAR has letters, digits and underscores",
        "close the brace, or write $${ for a plain ${",
    )


def _is_script(path: Path) -> bool:
    return len(path) == 3 and path[0] == "tasks" and path[2] == "shell"


def _is_text(path: Path) -> bool:
    """Whether a value is one for a program, which must get it as written: `1.10`, not `1.1`."""
    if path[:1] == ("tasks",):
        path = path[2:]
    elif path[:1] == ("defaults",):
        path = path[1:]
    return (len(path) == 2 and path[0] in ("env", "command")) or path == ("command",)
