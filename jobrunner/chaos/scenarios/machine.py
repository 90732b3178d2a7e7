"""The machine crashes: everything on it dies, and the disk lacks the last second of writes.

`everysec` asks the disk to keep what was written once a second. A crash is acted by killing all
processes at once and cutting the append-only file down to what it was one second before. While
the round goes on, a ledger notes what had been promised at which size of the file: what was
promised before the last second must be there again.
"""

import threading
import time
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from jobrunner.chaos.arena import Arena, Setting
from jobrunner.chaos.evidence import Evidence
from jobrunner.chaos.faults import Faults
from jobrunner.chaos.history import EVERYBODY, EffectKind, read_history
from jobrunner.chaos.load import Habits
from jobrunner.chaos.scenario import Scenario
from jobrunner.chaos.site import POLL_S, Stuck, until
from jobrunner.chaos.tasks import Declaration, usual_tasks
from jobrunner.errors import StoreUnavailable
from jobrunner.model import TERMINAL
from jobrunner.store.connection import StoreConnection
from jobrunner.store.records import read_jobs
from jobrunner.store.requests import Command, Pipeline

WINDOW_S = 1.0  # of `everysec`
NOTE_EVERY_S = 0.1
NOTES = 100  # ten seconds, far more than the window
FIRST_NOTE_S = 60.0  # until there is one that is old enough
KEPT = "kept"  # what the history says of a job whose end must outlive the crash
CRASH = "machine-crash"
LOST = "submits lost with the last second"


@dataclass(frozen=True, slots=True)
class Promised:
    """What the file held at an instant (monotonic), and what was on record by then."""

    at: float
    size: int  # bytes of the file
    acknowledged: frozenset[str]  # jobs whose submit had returned
    ended: frozenset[str]  # jobs that were in a terminal state


class Ledger:
    """Notes what was promised, in a thread of its own, from its making until `close`."""

    def __init__(self, arena: Arena, file: Path) -> None:
        self._arena = arena
        self._file = file
        self._notes: deque[Promised] = deque(maxlen=NOTES)
        self._since = 0.0  # monotonic: notes from before tell nothing any more
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def before(self, instant: float) -> Promised | None:
        """The last note from before an instant."""
        earlier = [note for note in list(self._notes) if self._since < note.at <= instant]
        return earlier[-1] if earlier else None

    def begin_anew(self) -> None:
        """The file has been cut."""
        self._since = time.monotonic()

    def close(self) -> None:
        self._stopping.set()
        self._thread.join()

    def __enter__(self) -> "Ledger":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _run(self) -> None:
        with StoreConnection(self._arena.address) as connection:
            while not self._stopping.wait(NOTE_EVERY_S):
                try:
                    self._notes.append(self._note(connection))
                except StoreUnavailable:
                    continue  # it is being crashed

    def _note(self, connection: StoreConnection) -> Promised:
        ended = _ended(self._arena, connection)
        acknowledged = frozenset(self._arena.load.acknowledged)
        while _unwritten(connection):
            time.sleep(POLL_S)
        return Promised(time.monotonic(), self._file.stat().st_size, acknowledged, ended)


def _ended(arena: Arena, connection: StoreConnection) -> frozenset[str]:
    keys = [arena.keys.done(state) for state in TERMINAL]
    replies = connection.execute(Pipeline([Command(("ZRANGE", key, 0, -1)) for key in keys]))
    return frozenset(job.decode() for reply in replies for job in reply)


def _unwritten(connection: StoreConnection) -> int:
    """Bytes of commands that were answered, or are just being, and are not in the file yet."""
    info = connection.execute(Command(("INFO", "persistence"))).decode()
    return int(info.partition("aof_buffer_length:")[2].split()[0])


def crash_machine(arena: Arena) -> None:
    """Again and again; the clients are elsewhere, and go on."""
    [file] = arena.folder.glob("server/data/appendonlydir/*.incr.aof")
    with Ledger(arena, file) as ledger:
        for _ in arena.moments(per_s=0.3):
            until(
                lambda: ledger.before(time.monotonic() - WINDOW_S) is not None,
                FIRST_NOTE_S,
                "the ledger is a second old",
            )
            _crash(arena, ledger, file)


def _crash(arena: Arena, ledger: Ledger, file: Path) -> None:
    faults = Faults(arena)
    arena.recorder.begin(CRASH, EVERYBODY)
    promised = ledger.before(time.monotonic() - WINDOW_S)
    faults.kill_server()
    faults.kill_supervisor(arena.site)
    if promised is None or arena.server is None:
        raise Stuck("nothing is known from before the crash")
    at_risk = _at_risk(arena, promised)
    arena.notes.may_be_gone |= at_risk
    with file.open("r+b") as opened:
        opened.truncate(promised.size)
    ledger.begin_anew()
    arena.server.ensure()
    arena.notes.counts[LOST] += _missing(arena, at_risk & set(arena.load.acknowledged))
    for job_id in promised.ended:
        arena.recorder.asked(KEPT, job_id)
    arena.recorder.over(CRASH)
    arena.site.start()


def _at_risk(arena: Arena, promised: Promised) -> set[str]:
    """Jobs that nobody was told of before the last second; some ran, and nobody was told at all."""
    ran = set(read_history(arena.history_path).by_job())
    return (set(arena.load.acknowledged) | ran) - promised.acknowledged


def _missing(arena: Arena, job_ids: set[str]) -> int:
    return len(job_ids) - len(arena.run(read_jobs(arena.keys, sorted(job_ids))))


def kept_ends_are_ends(evidence: Evidence) -> Iterator[str]:
    """What had ended before the last second does not run again."""
    history = evidence.history
    for job_id, effects in history.by_job().items():
        kept = history.asked.get((KEPT, job_id))
        starts = [effect.place for effect in effects if effect.kind is EffectKind.START]
        if kept and max(starts, default=0) > kept[0]:
            yield f"{job_id} had ended a second before the crash, and ran again"


def _setting() -> Setting:
    """A retry, by policy or asked for, may be lost as well, and the history cannot tell."""
    tasks = {name: kind for name, kind in usual_tasks().items() if name != "flaky"}
    return Setting(Declaration(tasks), habits=Habits(retries=0, per_s=90))


SCENARIOS = (
    Scenario(
        "machine-crash-everysec",
        "The machine crashes with `durability: everysec`: what was submitted or has ended in the "
        "last second may be gone, and nothing that was before.",
        crash_machine,
        _setting,
        seconds=20,
        rounds=2,
        is_safe=False,
        judge=kept_ends_are_ends,
    ),
)
