"""Why a queued job does not start yet: which worker could take it, and what is before it."""

from jobrunner.explain.model import Answer, Code, Sentence
from jobrunner.explain.words import counted, in_line, is_alive
from jobrunner.store.facts import COUNTED, JobFacts, Place
from jobrunner.store.leases import WorkerEntry


def explain_queued(facts: JobFacts) -> Answer:
    """In the order in which one reason makes the next one idle to ask for."""
    place = facts.place or Place(None)
    if place.worker is not None:
        return _claimed(facts, place.worker)
    if not facts.around.daemons:
        return Answer(Code.DAEMON_NOT_RUNNING, ("is queued",), _line(place))
    if facts.task is None:
        return _unknown_task(facts)
    alive = [worker for worker in facts.around.workers if is_alive(worker, facts.around.now)]
    serving = [worker for worker in alive if facts.job.queue in worker.queues]
    if not serving:
        return _unserved(facts, alive)
    draining = {daemon.id for daemon in facts.around.daemons if daemon.state == "draining"}
    claiming = [worker for worker in serving if worker.daemon not in draining]
    if not claiming:
        return _draining(len(serving))
    return _in_line(place, claiming)


def _claimed(facts: JobFacts, worker_id: str) -> Answer:
    now = facts.around.now
    found = next((w for w in facts.around.workers if w.id == worker_id and is_alive(w, now)), None)
    known: dict[str, object] = {"worker": worker_id, "host": found.host if found else None}
    if found is None:
        return lost(worker_id, known)
    if facts.job.cancel_requested:
        return Answer(Code.CANCELLING, (f"is being cancelled by worker {worker_id}",), known)
    sentence = (f"was taken by worker {worker_id} on {found.host} and begins now",)
    return Answer(Code.ABOUT_TO_START, sentence, known)


def lost(worker_id: str, known: dict[str, object]) -> Answer:
    """A worker that is gone has the job."""
    sentence = (f"was taken by worker {worker_id}, which is gone; it is about to be queued again",)
    return Answer(Code.WORKER_LOST, sentence, known)


def _unknown_task(facts: JobFacts) -> Answer:
    """The manifest that was published last does not have the job's task."""
    job = facts.job
    sentence = (
        f"is queued, but the manifest that a daemon published last has no task '{job.task}'",
    )
    fix = f"declare '{job.task}' and run `jobrunner reload`, or `jobrunner cancel {job.id}`"
    return Answer(Code.UNKNOWN_TASK, sentence, {"declared": False}, fix)


def _unserved(facts: JobFacts, alive: list[WorkerEntry]) -> Answer:
    job_id, queue = facts.job.id, facts.job.queue
    served = sorted({name for worker in alive for name in worker.queues})
    known = {"workers": len(alive), "served_queues": served}
    if not alive:
        sentence: Sentence = ("is queued, but the daemon has no worker that lives",)
        return Answer(Code.NO_WORKER, sentence, known, "the daemon's log says why they end")
    sentence = (f"is queued, but no worker serves queue '{queue}': they serve {', '.join(served)}",)
    fix = f"let the workers of a daemon serve it (`workers.queues`), or `jobrunner cancel {job_id}`"
    return Answer(Code.NO_WORKER, sentence, known, fix)


def _draining(workers: int) -> Answer:
    known = {"workers": workers}
    sentence = ("is queued, but the daemon is stopping and takes no more jobs",)
    return Answer(Code.DRAINING, sentence, known, "it starts with the next `jobrunner run`")


def _in_line(place: Place, claiming: list[WorkerEntry]) -> Answer:
    slots = sum(worker.slots for worker in claiming)
    busy = min(sum(place.claimed.get(worker.id, 0) for worker in claiming), slots)
    known = {"workers": len(claiming), "slots": slots, "busy": busy, **_line(place)}
    whose = f"of {counted(len(claiming), 'worker')}"
    if busy < slots:
        free = f"{slots - busy} of {counted(slots, 'slot')} {whose} {_are(slots - busy)} free"
        sentence = (f"is queued and about to start: {_ahead(place)}, and {free}",)
        return Answer(Code.ABOUT_TO_START, sentence, known)
    all_busy = "the only slot" if slots == 1 else f"all {slots} slots"
    sentence = (f"is queued and waits for a slot: {all_busy} {whose} {_are(slots)} busy",)
    fix = "raise workers.slots or workers.processes, or give it a higher `priority`"
    return Answer(Code.WAITING_FOR_SLOT, (*sentence, f"; {_position(place)}"), known, fix)


def _line(place: Place) -> dict[str, object]:
    is_exact = place.ahead < COUNTED
    return {
        "position": place.ahead + place.above + 1 if is_exact else None,
        "ahead": place.ahead,
        "ahead_of_higher_priority": place.above,
    }


def _position(place: Place) -> str:
    if place.ahead >= COUNTED:
        return f"more than {COUNTED + place.above - 1} are before it"
    text = in_line(place.ahead + place.above + 1)
    return f"{text}, behind {place.above} of higher priority" if place.above else text


def _ahead(place: Place) -> str:
    number = place.ahead + place.above
    if not number:
        return "it is first in line"
    return f"{counted(number, 'job')} {_are(number)} before it"


def _are(number: int) -> str:
    return "is" if number == 1 else "are"
