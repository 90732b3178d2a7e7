"""Runs the steps of a pattern over a text: all live steps at once, one character after the other.

Which steps are live after a character depends on those before it and on what the character is to
the pattern, its kind. So that is worked out once, and remembered: most texts are read by two
look-ups for each character. What is remembered is bounded, and so is the work for one text: it is
counted as if nothing were remembered, so that the answer never depends on the texts before.
"""

import re
from dataclasses import dataclass, field

from jobrunner.patterns.syntax import ACCEPT, At, Split, Steps, Take

MOST_WORK = 1_000_000  # steps looked at for one text: some 0.2 s; usually 200,000 characters
MOST_REMEMBERED = 200_000  # numbers, of all states and kinds together: some MB

_word, _ascii_word = re.compile(r"\w").match, re.compile(r"(?a:\w)").match
_EMPTY_IS_NO_BOUNDARY = re.search(r"\B", "") is not None  # differs between versions of Python
NONE = -1  # the kind of what is before the first character and after the last


class TooMuchWork(Exception):
    """The text is too long for its pattern."""


@dataclass(frozen=True, slots=True)
class _Kind:
    """What a character is to a pattern."""

    sets: frozenset[int]  # that it is in
    is_word: bool
    is_ascii_word: bool
    is_line_end: bool
    is_last: bool  # a line end, after which nothing comes


@dataclass(slots=True, eq=False)
class _State:
    """Live steps before a character, and the kind of the one before it."""

    live: frozenset[int]
    before: int
    after: "dict[int, tuple[_State, int]]" = field(default_factory=dict)  # by kind; with its work


class Automaton:
    """One pattern, for one thread."""

    def __init__(self, steps: Steps) -> None:
        self._steps = steps.steps
        self._sets = steps.sets
        self._start = frozenset([steps.first])
        self._has_places = any(isinstance(step, At) for step in self._steps)
        self._forget()

    def accepts(self, text: str) -> bool:
        """Whether the text, from its first to its last character, matches. Raises TooMuchWork."""
        if self._remembered > MOST_REMEMBERED:
            self._forget()
        numbers = {character: self._number_of(character) for character in set(text)}
        work = len(numbers) * len(self._sets)
        state, last = self._state(self._start, NONE), len(text) - 1
        for index, character in enumerate(text):
            kind = numbers[character]
            if index == last and character == "\n":
                kind = self._kind_number(character, is_last=True)
            state, done = state.after.get(kind) or self._step(state, kind)
            work += done
            if work > MOST_WORK:
                raise TooMuchWork
            if not state.live:
                return False
        return ACCEPT in self._followed(state, NONE)

    def _forget(self) -> None:
        self._characters: dict[str, int] = {}
        self._kinds: list[_Kind] = []
        self._kind_numbers: dict[_Kind, int] = {}
        self._states: dict[tuple[frozenset[int], int], _State] = {}
        self._remembered = 0

    def _number_of(self, character: str) -> int:
        """The number of a character's kind."""
        number = self._characters.get(character)
        if number is None:
            number = self._characters[character] = self._kind_number(character, is_last=False)
            self._remembered += 1
        return number

    def _kind_number(self, character: str, *, is_last: bool) -> int:
        kind = _Kind(
            frozenset(n for n, is_in in enumerate(self._sets) if is_in(character)),
            _word(character) is not None,
            _ascii_word(character) is not None,
            character == "\n",
            is_last,
        )
        number = self._kind_numbers.setdefault(kind, len(self._kinds))
        if number == len(self._kinds):
            self._kinds.append(kind)
            self._remembered += len(kind.sets) + 1
        return number

    def _step(self, state: _State, kind: int) -> tuple[_State, int]:
        """The state after a character of that kind, and the work that it takes to find it."""
        sets = self._kinds[kind].sets
        seen = self._followed(state, kind)
        takes = (step for step in map(self._steps.__getitem__, seen) if isinstance(step, Take))
        live = frozenset(step.then for step in takes if step.wanted in sets)
        found = (self._state(live, kind if self._has_places else NONE), len(seen) + 1)
        state.after[kind] = found
        self._remembered += 1
        return found

    def _state(self, live: frozenset[int], before: int) -> _State:
        if self._remembered > MOST_REMEMBERED:
            # Within one text, too. Kinds stay: the text is read by their numbers.
            self._states.clear()
            self._remembered = len(self._characters) + len(self._kinds)
        state = self._states.get((live, before))
        if state is None:
            state = self._states[live, before] = _State(live, before)
            self._remembered += len(live) + 1
        return state

    def _followed(self, state: _State, after: int) -> set[int]:
        """The live steps and all to which they lead before a character of that kind, or the end."""
        seen = set(state.live)
        waiting = list(seen)
        while waiting:
            step = self._steps[waiting.pop()]
            ways: tuple[int, ...] = ()
            if isinstance(step, Split):
                ways = step.ways
            elif isinstance(step, At) and self._is_at(step, state.before, after):
                ways = (step.then,)
            for way in ways:
                if way not in seen:
                    seen.add(way)
                    waiting.append(way)
        return seen

    def _is_at(self, at: At, before: int, after: int) -> bool:
        """Whether the place between two characters is what is asked for."""
        left = None if before == NONE else self._kinds[before]
        right = None if after == NONE else self._kinds[after]
        match at.place:
            case "AT_BEGINNING":
                return left is None or (at.is_multiline and left.is_line_end)
            case "AT_BEGINNING_STRING":
                return left is None
            case "AT_END":
                return right is None or right.is_last or (at.is_multiline and right.is_line_end)
            case "AT_END_STRING":
                return right is None
        is_boundary = _is_word(left, at) != _is_word(right, at)
        if at.place == "AT_BOUNDARY":
            return is_boundary
        if left is None and right is None:
            return _EMPTY_IS_NO_BOUNDARY
        return not is_boundary


def _is_word(kind: _Kind | None, at: At) -> bool:
    if kind is None:
        return False
    return kind.is_ascii_word if at.is_ascii else kind.is_word
