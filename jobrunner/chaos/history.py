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
all (`*`), or of none (`-`). A fault is written before it is done, the end of one after it is over.
"""

import os
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
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

    def excuses(self, pids: Iterable[int], since: int, until: int) -> bool:
        """Whether it may have ended what these processes did between two places."""
        is_within = self.place <= until and (self.until is None or self.until >= since)
        return is_within and (self.pids is None or not self.pids.isdisjoint(pids))


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
    history = History()
    lasting: dict[str, Fault] = {}
    effect_kinds = set(map(str, EffectKind))
    for place, line in enumerate(path.read_text().splitlines()):
        kind, *words = line.split(" ")
        if kind in effect_kinds:
            history.effects.append(_effect(place, EffectKind(kind), words))
        elif kind == "asked":
            history.asked[words[0], words[1]].append(place)
        elif kind == "over":
            begun = lasting.pop(words[0])
            history.faults.append(Fault(begun.name, begun.place, place, begun.pids))
        else:
            fault = _fault(place, kind, words)
            lasting.update({fault.name: fault} if fault.until is None else {})
            history.faults.extend([] if fault.until is None else [fault])
    history.faults.extend(lasting.values())
    return history


def _effect(place: int, kind: EffectKind, words: Sequence[str]) -> Effect:
    job, *numbers = words
    attempt, fence, pid, worker = map(int, numbers)
    return Effect(place, kind, job, attempt, fence, pid, worker)


def _fault(place: int, kind: str, words: Sequence[str]) -> Fault:
    if kind not in {"fault", "begin"}:
        raise ValueError(f"no event: {kind!r}")
    name, pids = words
    return Fault(name, place, place if kind == "fault" else None, _pids(pids))


def _pids(text: str) -> frozenset[int] | None:
    if text == EVERYBODY:
        return None
    return frozenset(map(int, text.split(","))) if text != NOBODY else frozenset()
