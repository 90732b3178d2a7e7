"""Random interleavings of clients, workers, schedulers, rescuers, time and crashes."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any, ClassVar, TypeVar

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule
from msgspec.structs import replace

from jobrunner.clock import from_ms, to_ms
from jobrunner.model import TERMINAL, JobState, Priority, Reason
from jobrunner.store.cancelling import cancel, cancel_unclaimed
from jobrunner.store.crons import Enrolment, Fire, enrol, pause_cron, resume_cron
from jobrunner.store.due import promote_due
from jobrunner.store.leases import LEASE_TTL
from jobrunner.store.locks import break_lock, wake_free_locks
from jobrunner.store.parking import know, wake_parked
from jobrunner.store.progress import note_progress
from jobrunner.store.removal import delete_jobs, prune_results, prune_state
from jobrunner.store.requests import Command, Operation
from jobrunner.store.silence import find_silent
from jobrunner.store.stats import fold
from jobrunner.store.submission import Submission, retry_job, submit
from jobrunner.store.watching import watch
from tests.model.driver import START_MS, Actor, Driver
from tests.model.ending import finish_everything
from tests.model.ledger import Hand
from tests.model.work import TASKS, Work
from tests.store.factories import AN_ERROR, QUEUES

T = TypeVar("T")
CRON_MS = 1_000
CRON_EVERY = timedelta(milliseconds=CRON_MS)
MOST_WORKERS = 3
MOST_PARKED = 4

index = st.integers(min_value=0, max_value=11)
# How many round trips an actor makes before it is left alone; most come to their end.
patience = st.sampled_from([None, None, None, None, 1, 2, 3])
priorities = st.sampled_from(Priority)


class StoreMachine(RuleBasedStateMachine):
    """One example: a fresh namespace. `driver_of` is set by the test that runs it."""

    make_driver: ClassVar[Any]

    @initialize(workers=st.integers(0, 2))
    def begin(self, workers: int) -> None:
        self.driver: Driver = type(self).make_driver()
        self.model = self.driver.model
        self.keys = self.driver.store.keys
        self.ledger = self.driver.ledger
        self.work = Work(self.keys, self.model, self.ledger)
        self.submissions: list[Submission] = []
        self.workers: list[str] = []  # that are alive, as far as they know
        self.all_workers: list[str] = []
        self.parked: list[Actor] = []
        self.fires = 0
        for _ in range(workers):
            self.start_a_worker(None)

    def act(self, operation: Operation[Any], most: int | None = None) -> None:
        """Perform an operation, or its beginning; the rest may follow later, or never."""
        actor = Actor(operation)
        if not actor.run(self.driver, most):
            self.parked = [*self.parked, actor][-MOST_PARKED:]

    # Clients

    @rule(
        task=st.sampled_from(sorted(TASKS)),
        queue=st.sampled_from(QUEUES),
        priority=priorities,
        number=st.integers(1, 2),
        most=patience,
    )
    def submit_jobs(
        self, task: str, queue: str, priority: Priority, number: int, most: int | None
    ) -> None:
        self._submit(most, *({"task": task, "queue": queue, "priority": priority},) * number)

    @rule(at=st.sampled_from([-1, 0, 1, 4_000, 70_000]), most=patience)
    def submit_for_a_time(self, at: int, most: int | None) -> None:
        self._submit(most, {"due_at": from_ms(self.model.now + at)})

    @rule(delay=st.sampled_from([0, 5_000]), key=st.sampled_from(["a", "b"]), most=patience)
    def submit_with_a_key(self, delay: int, key: str, most: int | None) -> None:
        self._submit(most, {"delay": timedelta(milliseconds=delay), "key": key})

    @rule(upstream=index, task=st.sampled_from(["plain", "line"]), most=patience)
    def submit_after(self, upstream: int, task: str, most: int | None) -> None:
        self._submit(most, {"after": pick(self._known(), upstream), "task": task})

    def _submit(self, most: int | None, *jobs: dict[str, Any]) -> None:
        made = [
            Submission(
                **{"id": f"j{len(self.submissions) + at}", "task": "plain", "message": b"m"} | job
            )
            for at, job in enumerate(jobs)
        ]
        self.submissions += made
        self.act(self._submitting(made), most)

    def _submitting(self, made: Sequence[Submission]) -> Operation[None]:
        for submitted in (yield from submit(self.keys, made)):
            self.ledger.acknowledged.add(submitted.id)

    @precondition(lambda self: self.submissions)
    @rule(number=index)
    def repeat_a_submit(self, number: int) -> None:
        self.act(self._submitting([pick(self.submissions, number)]))

    @rule(number=index, reason=st.sampled_from([None, Reason.REPLACED]), most=patience)
    def cancel_a_job(self, number: int, reason: Reason | None, most: int | None) -> None:
        self.act(cancel(self.keys, pick(self._known(), number), reason), most)

    @rule(number=index, most=patience)
    def retry_a_job(self, number: int, most: int | None) -> None:
        self.act(retry_job(self.keys, pick(self._ended(), number)), most)

    @rule(number=index, most=patience)
    def delete_a_job(self, number: int, most: int | None) -> None:
        self.act(self._deleting(pick(self._ended(), number)), most)

    def _deleting(self, job_id: str) -> Operation[None]:
        # Also when the reply is lost: the wish was there.
        self.ledger.deleted.add(job_id)
        yield from delete_jobs(self.keys, [job_id])

    @rule(number=index, client=st.sampled_from(["c1", "c2"]))
    def watch_a_job(self, number: int, client: str) -> None:
        self.act(watch(self.keys, [pick(self._known(), number)], client))

    @rule(number=index)
    def ask_why_a_job_waits(self, number: int) -> None:
        self.act(self.work.stand_in_line(pick(self._known(), number)))

    # Workers

    @precondition(lambda self: len(self.workers) < MOST_WORKERS)
    @rule(most=patience)
    def start_a_worker(self, most: int | None) -> None:
        worker = f"w{len(self.all_workers)}"
        self.workers.append(worker)
        self.all_workers.append(worker)
        self.act(self.work.join(worker), most)

    @precondition(lambda self: self.workers)
    @rule(task=st.sampled_from(sorted(TASKS)), number=index, count=st.integers(1, 3))
    def run_new_jobs(self, task: str, number: int, count: int) -> None:
        """The way of most jobs, in one step."""
        worker = pick(self.workers, number)
        before = len(self.ledger.hands)
        self._submit(None, *({"task": task, "priority": Priority.HIGH},) * count)
        self.act(self.work.claim(worker, count, (0, 0), 0))
        mine = [hand for hand in self.ledger.hands[before:] if hand.worker == worker]
        if mine:
            self.act(self.work.start(worker, mine))

    @precondition(lambda self: self.workers)
    @rule(
        number=index,
        free=st.integers(1, 4),
        share=st.tuples(st.integers(0, 1), st.integers(0, 1)),
        turn=st.integers(0, 1),
        most=patience,
    )
    def claim_jobs(
        self, number: int, free: int, share: tuple[int, int], turn: int, most: int | None
    ) -> None:
        self.act(self.work.claim(pick(self.all_workers, number), free, share, turn), most)

    @precondition(lambda self: self.workers and self.model.grouped)
    @rule(number=index, most=patience)
    def claim_by_a_blocking_read(self, number: int, most: int | None) -> None:
        self.act(self.work.claim_next(pick(self.all_workers, number)), most)

    @precondition(lambda self: self.ledger.hands)
    @rule(number=index, count=st.integers(1, 3), most=patience)
    def start_jobs(self, number: int, count: int, most: int | None) -> None:
        worker, hands = self._hands(number, count)
        self.act(self.work.start(worker, hands), most)

    @precondition(lambda self: self.ledger.hands)
    @rule(
        number=index,
        count=st.integers(1, 3),
        state=st.sampled_from([JobState.COMPLETED, *sorted(TERMINAL)]),
        result=st.sampled_from([b"", b"1"]),
        life=st.sampled_from([None, 3_000]),
        most=patience,
    )
    def finish_jobs(
        self,
        number: int,
        count: int,
        state: JobState,
        result: bytes,
        life: int | None,
        most: int | None,
    ) -> None:
        worker, hands = self._hands(number, count)
        end = {"state": state, "result": result, "duration_ms": 7, "result_life_ms": life}
        end["counts_attempt"] = state in (JobState.COMPLETED, JobState.FAILED)
        if state is JobState.SKIPPED:
            end |= {"reason": Reason.LOCKED, "detail": "other"}
        self.act(self.work.finish(worker, hands, **end), most)

    @precondition(lambda self: self.ledger.hands)
    @rule(number=index, count=st.integers(1, 2), delay=st.sampled_from([0, 4_000]), most=patience)
    def fail_for_a_retry(self, number: int, count: int, delay: int, most: int | None) -> None:
        worker, hands = self._hands(number, count)
        end = {"reason": Reason.ERROR, "error": AN_ERROR, "result": b"2", "detail": "d"}
        operation = self.work.finish(
            worker, hands, state=JobState.FAILED, retry_delay_ms=delay, duration_ms=9, **end
        )
        self.act(operation, most)

    @precondition(lambda self: self.ledger.hands)
    @rule(number=index, count=st.integers(1, 3), most=patience)
    def give_jobs_back(self, number: int, count: int, most: int | None) -> None:
        self.act(self.work.release(*self._hands(number, count)), most)

    @precondition(lambda self: self.ledger.hands)
    @rule(number=index, is_cancelled=st.booleans(), most=patience)
    def put_a_job_aside(self, number: int, is_cancelled: bool, most: int | None) -> None:
        hand = pick(self.ledger.hands, number)
        if is_cancelled:
            self.act(cancel(self.keys, hand.entry.job_id))
        self.act(self.work.park(hand), most)

    @precondition(lambda self: self.workers)
    @rule(number=index, most=patience)
    def renew_a_lease(self, number: int, most: int | None) -> None:
        worker = pick(self.all_workers, number)
        hands = [hand for hand in self.ledger.hands if hand.worker == worker]
        self.act(self.work.renew(worker, hands), most)

    @precondition(lambda self: self.ledger.hands)
    @rule(number=index)
    def note_progress(self, number: int) -> None:
        entry = pick(self.ledger.hands, number).entry
        self.act(note_progress(self.keys, entry.job_id, entry.fence, number))

    # Schedulers

    @rule(most=patience)
    def promote_what_is_due(self, most: int | None) -> None:
        self.act(promote_due(self.keys), most)

    @rule(
        back=st.integers(0, 2),
        overlap=st.sampled_from(["allow", "skip", "queue", "replace"]),
        task=st.sampled_from(["plain", "line"]),
        skip=st.sampled_from([None, None, None, Reason.MISFIRE]),
        delay=st.sampled_from([0, 0, 2_000]),
        knows=st.booleans(),
        is_time_passed=st.sampled_from([True, True, True, False]),
        most=patience,
    )
    def fire(
        self,
        back: int,
        overlap: str,
        task: str,
        skip: Reason | None,
        delay: int,
        knows: bool,
        is_time_passed: bool,
        most: int | None,
    ) -> None:
        """Fire times are handled again by other daemons; who is behind sends several at once."""
        self.fires = max(self.fires + 1, (self.model.now - START_MS) // CRON_MS - 2)
        at = from_ms(START_MS) + CRON_EVERY * max(1, self.fires - back)
        if is_time_passed:
            self.driver.pass_time(max(0, to_ms(at) + CRON_MS * back - self.model.now))
        previous = self.model.hashes.get("cron:nightly", {}).get("job", "") if knows else ""
        first = Fire(
            "nightly",
            at,
            task,
            b"m",
            "default",
            Priority.NORMAL,
            timedelta(milliseconds=delay),
            overlap,
            previous,
            skip,
            "why" if skip else "",
        )
        self.act(self.work.fire(_row_of(first, 1 + back)), most)

    @rule(
        schedule=st.sampled_from(["s1", "s2"]),
        what=st.sampled_from(["enrol", "pause", "resume", "pause and resume"]),
    )
    def tend_the_cron(self, schedule: str, what: str) -> None:
        if what == "enrol":
            self.act(enrol(self.keys, [Enrolment("nightly", schedule)]))
        if "pause" in what:
            self.act(pause_cron(self.keys, "nightly"))
        if "resume" in what:
            self.act(resume_cron(self.keys, "nightly"))

    @rule(daemon=st.sampled_from(["d1", "d2"]), tasks=st.sampled_from([[], ["plain", "line"]]))
    def learn_tasks(self, daemon: str, tasks: list[str]) -> None:
        """A daemon begins, or takes up a changed manifest."""
        self.act(know(self.keys, daemon, tasks))
        self.act(wake_parked(self.keys, tasks))

    # Rescuers

    @rule(most=patience)
    def rescue_jobs(self, most: int | None) -> None:
        self.act(self.work.rescue(), most)

    @precondition(lambda self: self.workers)
    @rule(number=index, is_seen=st.booleans(), most=patience)
    def kill_a_worker(self, number: int, is_seen: bool, most: int | None) -> None:
        worker = pick(self.workers, number)
        self.workers.remove(worker)
        self.ledger.stop(worker)
        if is_seen:
            self.act(self.work.rescue(worker), most)

    @rule(most=patience)
    def cancel_what_no_worker_has(self, most: int | None) -> None:
        self.act(cancel_unclaimed(self.keys), most)

    @rule(most=patience)
    def look_for_silent_workers(self, most: int | None) -> None:
        self.act(find_silent(self.keys, self.all_workers, LEASE_TTL), most)

    @rule(most=patience)
    def wake_waiters_of_vanished_holders(self, most: int | None) -> None:
        self.act(wake_free_locks(self.keys), most)

    @rule(name=st.sampled_from(["report", "export"]), most=patience)
    def break_a_lock(self, name: str, most: int | None) -> None:
        for hand in self.ledger.hands:
            # Until the next renewal two may run: that is what the user asked for.
            hand.is_running = hand.is_running and (hand.lock is None or hand.lock.name != name)
        self.act(break_lock(self.keys, name), most)

    @rule(state=st.sampled_from(sorted(TERMINAL)), count=st.integers(0, 3), most=patience)
    def prune(self, state: JobState, count: int, most: int | None) -> None:
        now = from_ms(self.model.now)
        self.ledger.deleted |= {j.id for j in self.model.jobs.values() if j.state is state}
        self.act(
            prune_state(self.keys, state, now=now, keep_for=timedelta(minutes=3), keep_count=count)
        )
        self.act(prune_results(self.keys, now))
        self.act(fold(self.keys, timedelta(days=30)), most)

    # The world

    @rule(milliseconds=st.sampled_from([1, 100, 900, 3_000, 3_000, 9_000, 16_000, 61_000]))
    def let_time_pass(self, milliseconds: int) -> None:
        self.driver.pass_time(milliseconds)

    @rule(queue=st.sampled_from(QUEUES))
    def put_garbage_into_a_queue(self, queue: str) -> None:
        key = self.keys.queue(queue, Priority.NORMAL)
        self.driver.perform(Command(("XADD", key, "*", "x", "y")))

    @precondition(lambda self: self.parked)
    @rule(number=index, most=st.sampled_from([None, None, 1]))
    def go_on(self, number: int, most: int | None) -> None:
        actor = pick(self.parked, number)
        if actor.run(self.driver, most):
            self.parked.remove(actor)

    @precondition(lambda self: self.parked)
    @rule(number=index)
    def crash(self, number: int) -> None:
        self.parked.remove(pick(self.parked, number))

    def teardown(self) -> None:
        if hasattr(self, "driver") and not self.driver.is_broken:
            finish_everything(self.driver, self.work)

    def _known(self) -> list[str]:
        return ["nobody", *self.model.jobs]

    def _ended(self) -> list[str]:
        ended = [job.id for job in self.model.jobs.values() if job.state in TERMINAL]
        return ended or self._known()

    def _hands(self, number: int, count: int) -> tuple[str, list[Hand]]:
        """Some of the jobs of one worker, each once."""
        hand = pick(self.ledger.hands, number)
        others = [h for h in self.ledger.hands if h.worker == hand.worker and h is not hand]
        return hand.worker, [hand, *others][:count]


def pick(items: Sequence[T], number: int) -> T:
    """One of them, from the newest on."""
    return items[-1 - number % len(items)]


def _row_of(first: Fire, count: int) -> list[Fire]:
    """Fire times that follow one another; each one's job precedes the next."""
    row = [first]
    for _ in range(count - 1):
        last = row[-1]
        previous = last.previous if last.skip else last.job_id
        row.append(replace(last, fire_time=last.fire_time + CRON_EVERY, previous=previous))
    return row
