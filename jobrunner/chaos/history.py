"""What really happened: one append-only file that jobs and faults write to.

Nothing of the store takes part in it. A line is one `write` to a file opened with O_APPEND, so the
order of the lines is the order of the events, whoever wrote them, and a process that is killed
writes its line whole or not at all. A line is words with spaces between, so that a shell can
write it:

    start|beat|end|error JOB ATTEMPT FENCE PID WORKER   an attempt; WORKER is the worker's pid
    fault|begin|over NAME PIDS                          a fault, or a lasting one; PIDS are
                                                        numbers with commas, `*` or `-`
    asked cancel|retry|delete JOB                       a client asked for it

The pids of a fault say whose attempts may run a second time for it: those of these processes, of
all (`*`), or of none (`-`). A fault is written before it is done, the end of one after it is over;
what a `fault` names ends by it, so it excuses these processes ever after.
"""

import os
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from enum import StrEnum
from pathlib import Path

VARIABLE = "CHAOS_HISTORY"  # the path of the file, for processes under test
EVERYBODY = "*"
NOBODY = "-"


class EffectKind(StrEnum):
    START = "start"
    BEAT = "beat"  # a sign of life in between
    END = "end"
    ERROR = "error"  # the attempt fails by itself, at its end


@dataclass(frozen=True, slots=True)
class Effect:
    """One line of an attempt. `place` counts lines, and is the only time."""

    place: int
    kind: EffectKind
    job: str
    attempt: int
    fence: int
    pid: int
    worker: int


@dataclass(frozen=True, slots=True)
class Fault:
    """From one place of the file to another, the same one for an instant. `until` is None for
    one that was never over.
    """

    name: str
    place: int
    until: int | None
    pids: frozenset[int] | None  # None: of all processes

    def excuses(self, pids: Iterable[int], since: int, until: int | None) -> bool:
        """Whether it may have ended what these processes did between two places.

        With None for the second: what they did not go on with, ever after.
        """
        is_before = until is None or self.place <= until
        is_after = self.until is None or self.until >= since
        return is_before and is_after and (self.pids is None or not self.pids.isdisjoint(pids))


@dataclass(slots=True)
class History:
    """The file's events, by what they are about."""

    effects: list[Effect] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)
    asked: dict[tuple[str, str], list[int]] = field(default_factory=lambda: defaultdict(list))

    def by_job(self) -> dict[str, list[Effect]]:
        """The effects of each job, in order."""
        found: dict[str, list[Effect]] = defaultdict(list)
        for effect in self.effects:
            found[effect.job].append(effect)
        return found


class Recorder:
    """Appends to the file. Threads and processes may each have their own for the same file."""

    def __init__(self, path: Path | str) -> None:
        self._file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)

    def effect(
        self, kind: EffectKind, job: str, attempt: int, fence: str, pid: int, worker: int
    ) -> None:
        self._write(kind, job, attempt, fence, pid, worker)

    def fault(self, name: str, pids: Sequence[int] | str = NOBODY) -> None:
        """About to be done."""
        self._write("fault", name, _words(pids))

    def begin(self, name: str, pids: Sequence[int] | str = NOBODY) -> None:
        """A lasting fault is about to begin; only one of a name at a time."""
        self._write("begin", name, _words(pids))

    def over(self, name: str) -> None:
        """It is over."""
        self._write("over", name, NOBODY)

    @contextmanager
    def lasting(self, name: str, pids: Sequence[int] | str = NOBODY) -> Iterator[None]:
        """In the file from before it begins until after it is over."""
        self.begin(name, pids)
        yield
        self.over(name)

    def asked(self, what: str, job: str) -> None:
        """A client is about to ask for it."""
        self._write("asked", what, job)

    def close(self) -> None:
        os.close(self._file)

    def _write(self, *words: object) -> None:
        os.write(self._file, (" ".join(map(str, words)) + "\n").encode())


def _words(pids: Sequence[int] | str) -> str:
    return pids if isinstance(pids, str) else ",".join(map(str, pids)) or NOBODY


def read_history(path: Path) -> History:
    """Everything written so far. Raises ValueError for a line that nobody can have written."""
    reader = _Reader()
    for place, line in enumerate(path.read_text().splitlines()):
        try:
            reader.take(place, *line.split(" "))
        except (ValueError, TypeError, KeyError) as error:
            raise ValueError(f"line {place + 1} of the history is no event: {line!r}") from error
    return reader.all()


class _Reader:
    """Takes the lines in order."""

    def __init__(self) -> None:
        self._history = History()
        self._lasting: dict[str, Fault] = {}

    def take(self, place: int, kind: str, *words: str) -> None:
        """Raises ValueError, TypeError or KeyError when these are not the words of an event."""
        match kind:
            case "asked":
                what, job = words
                self._history.asked[what, job].append(place)
            case "fault":
                self._history.faults.append(_instant(place, *words))
            case "begin":
                name, pids = words
                self._lasting[name] = Fault(name, place, None, _pids(pids))
            case "over":
                name, _ = words
                begun = self._lasting.pop(name)
                self._history.faults.append(replace(begun, until=place))
            case _:
                self._history.effects.append(_effect(place, EffectKind(kind), words))

    def all(self) -> History:
        """With the faults that were never over."""
        self._history.faults.extend(self._lasting.values())
        return self._history


def _instant(place: int, name: str, pids: str) -> Fault:
    """Who is named dies of it, but may write a line or two before: its end is not known."""
    named = _pids(pids)
    return Fault(name, place, None if named else place, named)


def _effect(place: int, kind: EffectKind, words: Sequence[str]) -> Effect:
    job, *numbers = words
    attempt, fence, pid, worker = map(int, numbers)
    return Effect(place, kind, job, attempt, fence, pid, worker)


def _pids(text: str) -> frozenset[int] | None:
    if text == EVERYBODY:
        return None
    return frozenset(map(int, text.split(","))) if text != NOBODY else frozenset()
