"""Jobs that are cancelled at every moment of their lives."""

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from random import Random

from jobrunner.chaos.arena import Arena, Setting
from jobrunner.chaos.evidence import Evidence
from jobrunner.chaos.history import read_history
from jobrunner.chaos.load import Habits
from jobrunner.chaos.scenario import Scenario
from jobrunner.chaos.tasks import Declaration
from jobrunner.client.request import JobRequest
from jobrunner.client.sync import Client
from jobrunner.errors import IllegalTransition, JobTimeout
from jobrunner.model import Job, JobState, Priority
from jobrunner.runner.proctable import all_pids, carries, started_at

RETURNED = "cancelled"  # what the history says once a cancel has returned
FIGURE = "from a cancel to its return"
CANCELLERS = 4
LASTING_MS = (100, 200, 3000)  # some end about when they are cancelled, some long after
UPSTREAM_MS = 200
DELAY_S = 0.15
LONGEST_LIFE_S = 0.6  # of a short job: its delay, its line and its work
WITHIN_S = 60.0  # however slow the machine is
IN_LOOP = ("work", "eager", "one")
IN_PROCESSES = ("hosted", "command", "one-command", "two")
FINAL = frozenset({JobState.CANCELLED, JobState.COMPLETED})


def cancel_at_every_moment(arena: Arena) -> None:
    """Clients submit jobs and cancel each after a random time, among the jobs of the load."""
    end = time.monotonic() + arena.seconds
    cancellers = [Canceller(arena, arena.rng.getrandbits(32)) for _ in range(CANCELLERS)]
    with ThreadPoolExecutor(CANCELLERS) as pool:
        running = [pool.submit(canceller.cancel_until, end) for canceller in cancellers]
    for each in running:
        each.result()


class Canceller:
    """One client; belongs to one thread."""

    def __init__(self, arena: Arena, seed: int) -> None:
        self._arena = arena
        self._rng = Random(seed)

    def cancel_until(self, end: float) -> None:
        """Until an instant of the monotonic clock."""
        address = self._arena.address
        with Client(address.name, address.url, socket=address.socket) as client:
            while time.monotonic() < end:
                job_id = self._submit(client)
                time.sleep(self._life_s())
                self._cancel(client, job_id)

    def _submit(self, client: Client) -> str:
        """A job that runs at once, or waits: for its time, another job, a lock, or a free slot."""
        task = self._rng.choice(IN_LOOP + IN_PROCESSES)
        dice = self._rng.random()
        after = None
        if dice < 0.2:
            after = client.submit("work", {"ms": UPSTREAM_MS}).id
            self._arena.load.acknowledged[after] = "work"
        delay = DELAY_S if dice > 0.7 else None
        priority = self._rng.choice([Priority.HIGH, Priority.LOW])
        params = {"ms": self._rng.choice(LASTING_MS)}
        request = JobRequest(task, params, delay=delay, after=after, priority=priority)
        client.submit_batch([request])
        self._arena.load.acknowledged[request.id] = task
        return request.id

    def _life_s(self) -> float:
        """How long the job may live: no time at all, for the first moments, or any time."""
        rng = self._rng
        return rng.choice([0, rng.uniform(0, 0.02), *[rng.uniform(0, LONGEST_LIFE_S)] * 3])

    def _cancel(self, client: Client, job_id: str) -> None:
        notes = self._arena.notes
        self._arena.recorder.asked("cancel", job_id)
        begun = time.monotonic()
        try:
            with suppress(IllegalTransition):  # it had ended
                client.cancel(job_id, wait=True, timeout=WITHIN_S)
        except JobTimeout as error:
            notes.problems.append(f"a cancel did not return: {error!r}")
            return
        notes.figures[FIGURE].append(time.monotonic() - begun)
        self._arena.recorder.asked(RETURNED, job_id)
        self._look_at(client.job(job_id))

    def _look_at(self, job: Job) -> None:
        """What must hold from now on: it has ended, and no process of it is left."""
        problems = self._arena.notes.problems
        if job.state not in FINAL:
            problems.append(f"{job.task} {job.id} is {job.state}, after its cancel returned")
        if job.state is JobState.CANCELLED and (left := self._processes_of(job)):
            problems.append(f"processes {left} of {job.task} {job.id} outlived its cancel")

    def _processes_of(self, job: Job) -> list[int]:
        """A command's by their environment, a function host by what the job wrote."""
        if job.task in IN_LOOP:
            return []
        marker = [f"JOBRUNNER_JOB_ID={job.id}".encode()]
        pids = {pid for pid in all_pids() if carries(pid, marker)}
        effects = read_history(self._arena.history_path).by_job().get(job.id, ())
        pids |= {effect.pid for effect in effects}
        return [pid for pid in pids if started_at(pid) is not None]


def cancels_are_final(evidence: Evidence) -> Iterator[str]:
    """After a cancel has returned nothing is heard of its job, and its state stays."""
    returned = {
        job_id: places[0]
        for (what, job_id), places in evidence.history.asked.items()
        if what == RETURNED
    }
    for effect in evidence.history.effects:
        if effect.place > returned.get(effect.job, effect.place):
            yield f"{effect.kind} of {effect.job} came after its cancel had returned"
    for job_id in returned:
        if evidence.jobs[job_id].state not in FINAL:
            yield f"{job_id} was cancelled, and is {evidence.jobs[job_id].state}"


SCENARIOS = (
    Scenario(
        "cancel-at-every-moment",
        "A job is cancelled at any moment from its submit to its end: once the cancel has "
        "returned it is over, nothing of it is left, and nothing of it happens later.",
        cancel_at_every_moment,
        lambda: Setting(Declaration(slots=4), habits=Habits(per_s=20, bulks=0)),
        seconds=15,
        rounds=2,
        judge=cancels_are_final,
    ),
)
