"""What the outside world sees: who was told what, and who believes to hold a job or a lock.

It knows nothing of how the store is built, so it judges the model as well as the scripts: nothing
lost, nothing twice, no two holders, one job per fire time.
"""

from collections import Counter
from dataclasses import dataclass, field

from jobrunner.model import TERMINAL, TRANSITIONS, JobState
from jobrunner.store.attempts import Entry, HeldLock
from jobrunner.store.leases import MARGIN
from tests.model.state import Model


@dataclass(slots=True)
class Hand:
    """A claimed job in the hands of a worker, also long after it was taken from it."""

    worker: str
    entry: Entry
    task: str
    lock: HeldLock | None
    token: str = ""
    lock_until: int = 0  # how long the worker believes in the lock
    is_running: bool = False  # its process lives

    def trust_lock(self, asked_at: int) -> None:
        """A reply that took or renewed the lock: good from before the request was sent."""
        ttl = self.lock.ttl_ms if self.lock else 0
        self.lock_until = asked_at + round(ttl * (1 - MARGIN))


MOST_HANDS = 12  # of late finishes the latest are the most telling


@dataclass(slots=True)
class Ledger:
    """The history of one example."""

    hands: list[Hand] = field(default_factory=list)
    lease_until: dict[str, int] = field(default_factory=dict)  # what each worker believes
    acknowledged: set[str] = field(default_factory=set)
    deleted: set[str] = field(default_factory=set)
    fired: Counter[tuple[str, int]] = field(default_factory=Counter)
    states: dict[str, JobState] = field(default_factory=dict)
    fences: dict[str, int] = field(default_factory=dict)
    token: int = 0

    def take(self, hand: Hand) -> None:
        self.hands = [*self.hands, hand][-MOST_HANDS:]

    def stop(self, worker: str) -> None:
        """Its processes are dead, by a crash or since it noticed that its lease is over."""
        self.lease_until.pop(worker, None)
        for hand in self.hands:
            if hand.worker == worker:
                hand.is_running = False

    def check(self, model: Model) -> None:
        """The rules that hold at every instant."""
        self._stop_the_late(model.now)
        assert self.acknowledged <= model.jobs.keys() | self.deleted, "a job was lost"
        assert set(self.fired.values()) <= {1}, "a fire time made two jobs"
        self._check_transitions(model)
        self._check_fences(model)
        self._check_runs()

    def _stop_the_late(self, now: int) -> None:
        for worker in [w for w, until in self.lease_until.items() if until < now]:
            self.stop(worker)
        for hand in self.hands:
            if hand.lock is not None and hand.lock_until < now:
                hand.is_running = False

    def _check_transitions(self, model: Model) -> None:
        now = {job.id: job.state for job in model.jobs.values()}
        for job_id, before in self.states.items():
            after = now.get(job_id, before)
            is_legal = after == before or after in TRANSITIONS[before]
            assert is_legal, f"{job_id} went from {before} to {after}"
        self.states = now

    def _check_fences(self, model: Model) -> None:
        for job in model.jobs.values():
            if job.entry is not None and "f" in job.entry.fields:
                fence = int(job.entry.fields["f"])
                assert fence >= self.fences.get(job.id, 0), f"the fence of {job.id} went back"
                self.fences[job.id] = fence
        assert model.tokens >= self.token, "a lock's token went back"
        self.token = model.tokens

    def _check_runs(self) -> None:
        running = [hand for hand in self.hands if hand.is_running]
        twice = Counter(hand.entry.job_id for hand in running).most_common(1)
        assert not twice or twice[0][1] == 1, f"{twice} runs twice at a time"
        for name, number in Counter(h.lock.name for h in running if h.lock).items():
            slots = max(h.lock.slots for h in running if h.lock and h.lock.name == name)
            assert number <= slots, f"{number} jobs hold lock {name} of {slots} slots"

    def check_end(self, model: Model) -> None:
        """Every job has ended, and no index knows a live one."""
        live = {job.id: job.state for job in model.jobs.values() if job.state not in TERMINAL}
        assert live == {}, f"never ended: {live}"
        assert [entry for entries in model.streams.values() for entry in entries] == []
        for name in ("due", "cancelling", "watchers", "locks"):
            assert not getattr(model, name), f"{name} is left: {getattr(model, name)}"
        for lines in (model.holders, model.waiting):
            assert not any(lines.values()), f"left in a lock: {lines}"
