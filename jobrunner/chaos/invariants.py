"""Rules I1 to I7: what must hold of every round, whatever was killed. Pure.

Each rule is a function of the evidence that yields its violations. Instants are places in the
history (see there): an attempt spans from its first line to its last, and two attempts overlap
when a line of the earlier one stands behind the first line of the later one.
"""

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise

from jobrunner.chaos.evidence import Evidence, Span, spans_of
from jobrunner.chaos.history import Effect, EffectKind
from jobrunner.model import Job, JobState, Reason


@dataclass(frozen=True, slots=True)
class Violation:
    """Something that must never happen, and did."""

    rule: str
    about: str  # a job, lock, cron or worker
    what: str

    def __str__(self) -> str:
        return f"{self.rule} {self.about}: {self.what}"


def check(evidence: Evidence) -> list[Violation]:
    """Every violation of every rule."""
    return [
        Violation(rule, about, what)
        for rule, find in RULES.items()
        for about, what in find(evidence)
    ]


Found = Iterator[tuple[str, str]]


def each_job_ends_once(evidence: Evidence) -> Found:
    """I1: every acknowledged submit ends in exactly one terminal state, for a reason."""
    for job_id, task in evidence.acknowledged.items():
        if job_id not in evidence.jobs and not _may_be_gone(evidence, job_id):
            yield job_id, f"a submit of {task!r} was acknowledged, and there is no record"
    by_job = evidence.history.by_job()
    for job in evidence.jobs.values():
        effects = by_job.get(job.id, ())
        if not job.is_terminal:
            yield job.id, f"is {job.state}, and nothing will end it"
        elif job.state is JobState.COMPLETED:
            yield from _completed_by_its_end(job, effects)
        elif not _has_cause(evidence, job, effects):
            yield job.id, f"is {job.state} ({job.reason}: {job.error}), and nothing explains that"


def _completed_by_its_end(job: Job, effects: Sequence[Effect]) -> Found:
    """The attempt that completed it is the last one that came to its end."""
    ends = [effect.attempt for effect in effects if effect.kind is EffectKind.END]
    if ends[-1:] != [job.attempt]:
        yield job.id, f"is completed by attempt {job.attempt}, and those that ended are {ends}"


def _has_cause(evidence: Evidence, job: Job, effects: Sequence[Effect]) -> bool:
    """Whether something may have ended the job as its record says, without completing it."""
    terms = evidence.terms_of(job.id)
    match job.reason:
        case None:
            return job.state is JobState.CANCELLED and _was_asked(evidence, "cancel", job.id)
        case Reason.ERROR:
            return _is_own_failure(evidence, effects)
        case Reason.LOST:
            return job.attempt >= terms.max_lost
        case Reason.UPSTREAM:
            return job.after is not None
        case Reason.LOCKED:
            return terms.lock is not None
        case Reason.OVERLAP | Reason.MISFIRE | Reason.REPLACED:
            return job.cron is not None
        case Reason.TAKEN:
            return False  # no client can give such an id
        case Reason.UNKNOWN_TASK:
            return True  # scenarios that change the manifest judge it
    return False  # no client gives wrong arguments, no task has a timeout


def _is_own_failure(evidence: Evidence, effects: Sequence[Effect]) -> bool:
    """Whether the last attempt failed by itself, or was killed before its end."""
    last = spans_of(effects)[-1:]
    if not last:  # killed before its first line: nobody can tell which process it was
        return any(fault.pids for fault in evidence.history.faults)
    return any(span.kind == EffectKind.ERROR or _is_excused(evidence, span) for span in last)


def _was_asked(evidence: Evidence, what: str, job_id: str) -> bool:
    return (what, job_id) in evidence.history.asked


def _may_be_gone(evidence: Evidence, job_id: str) -> bool:
    return job_id in evidence.may_be_gone or _was_asked(evidence, "delete", job_id)


def effects_repeat_for_a_reason(evidence: Evidence) -> Found:
    """I2: more effects than one only where a fault justifies them, and never two overlapping."""
    for job_id, effects in evidence.history.by_job().items():
        if job_id not in evidence.jobs and not _may_be_gone(evidence, job_id):
            yield job_id, "had effects, and there is no record"
        for earlier, later in pairwise(spans_of(effects)):
            if earlier.last > later.first:
                yield job_id, f"{_named(earlier)} still wrote when {_named(later)} had begun"
            if later.fence <= earlier.fence and not _was_forgotten(evidence, earlier, later):
                yield job_id, f"{_named(later)} began after {_named(earlier)}"
            if not _is_justified(evidence, earlier, later):
                yield (
                    job_id,
                    f"ran again as {_named(later)}, and nothing had ended {_named(earlier)}",
                )


def _was_forgotten(evidence: Evidence, earlier: Span, later: Span) -> bool:
    """Whether the machine with the store crashed meanwhile: it may give out the same tokens."""
    faults = evidence.history.faults
    return any(fault.excuses((), earlier.first, later.first) for fault in faults)


def _named(span: Span) -> str:
    return f"the attempt with fence {span.fence} (pid {span.pid})"


def _is_justified(evidence: Evidence, earlier: Span, later: Span) -> bool:
    history = evidence.history
    if earlier.kind == EffectKind.ERROR and evidence.terms_of(earlier.job).attempts > 1:
        return True
    asked = history.asked.get(("retry", earlier.job), ())
    if any(earlier.first < place < later.first for place in asked):
        return True
    return _is_excused(evidence, earlier, later.first)


def locks_have_their_holders(evidence: Evidence) -> Found:
    """I3: no two valid holders of a lock slot at any instant, and tokens that grow."""
    for lock, (slots, spans) in _locks(evidence).items():
        for span, held in _crowded(spans, slots):
            yield (
                lock,
                f"{len(held)} holders, with {slots} slots: {_list(held)} as {span.job} began",
            )
        if slots == 1:
            for earlier, later in pairwise(spans):
                if later.fence <= earlier.fence and not _was_forgotten(evidence, earlier, later):
                    yield lock, f"token {later.fence} was given after {earlier.fence}"


def _locks(evidence: Evidence) -> dict[str, tuple[int, list[Span]]]:
    locks: dict[str, tuple[int, list[Span]]] = {}
    for job_id, effects in evidence.history.by_job().items():
        terms = evidence.terms_of(job_id)
        if terms.lock:
            locks.setdefault(terms.lock, (terms.slots, []))[1].extend(spans_of(effects))
    for _, spans in locks.values():
        spans.sort(key=lambda span: span.first)
    return locks


def _crowded(spans: Sequence[Span], most: int) -> Iterator[tuple[Span, list[Span]]]:
    """Where more than `most` spans were open at a time; `spans` in the order of their starts."""
    held: list[Span] = []
    for span in spans:
        held = [other for other in held if other.last > span.first] + [span]
        if len(held) > most:
            yield span, held


def _list(spans: Sequence[Span]) -> str:
    return ", ".join(f"{span.job} (fence {span.fence})" for span in spans)


def fire_times_make_one_job(evidence: Evidence) -> Found:
    """I4: one job per cron and fire time, or one record that tells of having skipped it."""
    for span in evidence.fires:
        jobs = [job for job in evidence.jobs.values() if job.cron == span.cron]
        covered = Counter(at for job in jobs for at in _covered(job, span.fire_times))
        for at in span.fire_times:
            if covered[at] != 1:
                yield span.cron, f"the fire time {at:%H:%M:%S} has {covered[at]} jobs"


# The detail of a row of misfires, and the only text that the rules read.
_ROW = re.compile(r"(\d+) fire times from (\S+) to (\S+)")


def _covered(job: Job, fire_times: Sequence[datetime]) -> list[datetime]:
    """The fire times that a job stands for: its own, or a row that was skipped."""
    row = _ROW.match(job.detail or "") if job.reason is Reason.MISFIRE else None
    if row is None:
        return [job.fire_time] if job.fire_time else []
    first, last = (datetime.fromisoformat(text) for text in row.groups()[1:])
    return [at for at in fire_times if first <= at <= last]


def the_store_agrees_with_itself(evidence: Evidence) -> Found:
    """I5: counts in the store equal the records, nothing orphaned."""
    for orphan in evidence.orphans:
        yield "the store", orphan


def limits_are_kept(evidence: Evidence) -> Found:
    """I6: slots of workers, attempts of the retry policy and `max_lost` are never exceeded."""
    yield from _slots_are_kept(evidence)
    for job_id, effects in evidence.history.by_job().items():
        terms = evidence.terms_of(job_id)
        times = 1 + len(evidence.history.asked.get(("retry", job_id), ()))
        errors = _counted_errors(evidence, spans_of(effects))
        if errors > terms.attempts * times:
            yield job_id, f"failed {errors} times, with {terms.attempts * times} attempts allowed"
        # All but the last one failed, or were lost; what a stop gives back keeps its number.
        begun = len({effect.attempt for effect in effects})
        if begun > (most := (terms.attempts + terms.max_lost - 1) * times):
            yield job_id, f"began {begun} attempts, with {most} allowed by retry and max_lost"


def _counted_errors(evidence: Evidence, spans: Sequence[Span]) -> int:
    """Attempts that failed by themselves, but for those whose end died with a worker."""
    ends = [later.first for later in spans[1:]] + [spans[-1].last]
    return sum(
        span.kind == EffectKind.ERROR and not _is_excused(evidence, span, until)
        for span, until in zip(spans, ends, strict=True)
    )


def _is_excused(evidence: Evidence, span: Span, until: int | None = None) -> bool:
    """Whether a fault may have ended what the attempt's processes did; see `Fault.excuses`."""
    pids = (span.pid, span.worker)
    return any(fault.excuses(pids, span.first, until) for fault in evidence.history.faults)


def _slots_are_kept(evidence: Evidence) -> Found:
    by_worker: dict[int, list[Span]] = defaultdict(list)
    for effects in evidence.history.by_job().values():
        for span in spans_of(effects):
            by_worker[span.worker].append(span)
    for worker, spans in by_worker.items():
        spans.sort(key=lambda span: span.first)
        for span, held in _crowded(spans, evidence.worker_slots):
            yield f"worker {worker}", f"{len(held)} attempts at once as {span.job} began"


def nothing_runs_when_nothing_runs(evidence: Evidence) -> Found:
    """I7: `running` is empty when nothing runs, and so are the counts of live jobs."""
    for job_id in evidence.running:
        yield job_id, "is in `running`, and nothing runs"
    for name, number in evidence.live.items():
        if number:
            yield name, f"the count says {number}, and nothing is left"


RULES: dict[str, Callable[[Evidence], Found]] = {
    "I1": each_job_ends_once,
    "I2": effects_repeat_for_a_reason,
    "I3": locks_have_their_holders,
    "I4": fire_times_make_one_job,
    "I5": the_store_agrees_with_itself,
    "I6": limits_are_kept,
    "I7": nothing_runs_when_nothing_runs,
}
