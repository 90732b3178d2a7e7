"""From a pattern to the steps of a machine, by the parse tree of Python's `re`.

Steps are numbered; each says where to go on. A `Take` reads one character, a `Split` goes on in
several places, an `At` only where something is true of the place between two characters. Counted
repeats are written out, so `a{2,4}` has four steps; each of those that may be left out leads to
the end at once, so that few of them are ever live together.
"""

import importlib
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

# The tree is no public part of Python; the fuzz test against `re` tells when it changes.
_parser: Any = importlib.import_module("re._parser")
_compiler: Any = importlib.import_module("re._compiler")

MOST_STEPS = 20_000  # of a pattern; some MB, made in a tenth of a second
ACCEPT = 0  # the step at which a text has matched
_TYPES = re.ASCII | re.LOCALE | re.UNICODE
_REFUSED = {
    "ASSERT": "looks ahead or behind",
    "ASSERT_NOT": "looks ahead or behind",
    "GROUPREF": "refers to what a group has matched",
    "GROUPREF_IGNORE": "refers to what a group has matched",
    "GROUPREF_EXISTS": "asks whether a group has matched",
    "ATOMIC_GROUP": "has an atomic group",
    "POSSESSIVE_REPEAT": "has a possessive repeat",
}


class NotLinear(Exception):
    """No machine that reads each character once can do this; goes on after "the pattern"."""


@dataclass(frozen=True, slots=True)
class Take:
    """Read a character of a set, by the number of the set."""

    wanted: int
    then: int


@dataclass(frozen=True, slots=True)
class At:
    """Go on where this place of the text is of a kind, e.g. `AT_BOUNDARY`."""

    place: str
    is_multiline: bool
    is_ascii: bool
    then: int


@dataclass(frozen=True, slots=True)
class Split:
    """Go on at all of these; at none is a dead end."""

    ways: tuple[int, ...]


Step = Take | At | Split


@dataclass(slots=True)
class Steps:
    """The machine of a pattern."""

    steps: list[Step]
    first: int
    sets: list[Callable[[str], object]] = field(default_factory=list)  # true for their characters


def steps_of(pattern: str, *, anywhere: bool) -> Steps:
    """The steps for the whole text, or with `anywhere` for some part of it.

    Raises NotLinear, and what `re.compile` raises for what is no pattern.
    """
    re.compile(pattern)
    tree = _parser.parse(pattern)
    making = _Making()
    if not anywhere:
        return making.made(making.sequence(tree, tree.state.flags, ACCEPT))
    around = _parser.parse("(?s:.)*")
    first = making.sequence(tree, tree.state.flags, making.sequence(around, 0, ACCEPT))
    return making.made(making.sequence(around, 0, first))


class _Making:
    """Writes the steps from the last one to the first: each knows where to go on."""

    def __init__(self) -> None:
        self._steps: list[Step] = [Split(())]  # ACCEPT, from which nothing leads on
        self._sets: list[Callable[[str], object]] = []
        self._set_numbers: dict[tuple[str, int], int] = {}

    def made(self, first: int) -> Steps:
        return Steps(self._steps, first, self._sets)

    def sequence(self, tree: Any, flags: int, then: int) -> int:
        """The first step of a row of parts, after which it goes on at `then`."""
        for operator, value in reversed(list(tree)):
            then = self._part(operator, value, flags, then)
        return then

    def _part(self, operator: Any, value: Any, flags: int, then: int) -> int:
        name = str(operator)
        if name in _REFUSED:
            raise NotLinear(f"{_REFUSED[name]}, which cannot be checked in a time that is bounded")
        match name:
            case "MAX_REPEAT" | "MIN_REPEAT":
                return self._repeat(value, flags, then)
            case "BRANCH":
                ways = [self.sequence(way, flags, then) for way in value[1]]
                return self._add(Split(tuple(ways)))
            case "SUBPATTERN":
                _, added, removed, tree = value
                return self.sequence(tree, _combined(flags, added, removed), then)
            case "AT":
                is_ascii = bool(flags & re.ASCII)
                return self._add(At(str(value), bool(flags & re.MULTILINE), is_ascii, then))
            case "FAILURE":
                return self._add(Split(()))
        return self._add(Take(self._set(operator, value, flags), then))

    def _repeat(self, value: Any, flags: int, then: int) -> int:
        least, most, tree = value
        end = then
        if most is _parser.MAXREPEAT:
            loop = self._add(Split(()))
            self._steps[loop] = Split((self.sequence(tree, flags, loop), end))
            then = loop
        else:
            for _ in range(int(most) - int(least)):
                then = self._add(Split((self.sequence(tree, flags, then), end)))
        for _ in range(int(least)):
            before, then = then, self.sequence(tree, flags, then)
            if then == before:
                break  # a part without any step, however often
        return then

    def _set(self, operator: Any, value: Any, flags: int) -> int:
        """The number of the set of characters that one item of a pattern takes."""
        key = (f"{operator} {value}", flags)
        if key not in self._set_numbers:
            state = _parser.State()
            state.flags = flags
            compiled = _compiler.compile(_parser.SubPattern(state, [(operator, value)]), flags)
            self._set_numbers[key] = len(self._sets)
            self._sets.append(compiled.fullmatch)
        return self._set_numbers[key]

    def _add(self, step: Step) -> int:
        if len(self._steps) >= MOST_STEPS:
            raise NotLinear(
                f"has more than {MOST_STEPS:,} steps, as {{n,m}} counts its part m times"
            )
        self._steps.append(step)
        return len(self._steps) - 1


def _combined(flags: int, added: int, removed: int) -> int:
    """As `re` does it: one of the three ways to read `\\w` replaces the others."""
    if added & _TYPES:
        flags &= ~_TYPES
    return (flags | added) & ~removed
