"""The end of an example: all actors are gone, and a quiet system works off what they left."""

from jobrunner.model import TERMINAL, JobState
from jobrunner.store.audit import audit
from jobrunner.store.due import promote_due
from jobrunner.store.keys import Keys
from jobrunner.store.locks import wake_free_locks
from jobrunner.store.requests import Operation
from tests.model.driver import Actor, Driver
from tests.model.work import Work

LONGEST = 60  # rounds; each ends what does not wait for another job
ROUND_MS = 120_000  # longer than every lease, lock and delay


def finish_everything(driver: Driver, work: Work) -> None:
    """Bring each job to its end; then nothing may be left, and the audit finds nothing."""
    for worker in list(driver.ledger.lease_until):
        driver.ledger.stop(worker)
    keys = driver.store.keys
    for number in range(LONGEST):
        driver.pass_time(ROUND_MS)
        _perform(driver, _work_off(keys, work, driver, f"last{number}"))
        if all(job.state in TERMINAL for job in driver.model.jobs.values()):
            break
    # Who was woken for nothing is forgotten by the next promotion.
    _perform(driver, promote_due(keys))
    driver.ledger.check_end(driver.model)
    _perform(driver, _audit(keys))


def _perform(driver: Driver, operation: Operation[object]) -> None:
    Actor(operation).run(driver)


def _work_off(keys: Keys, work: Work, driver: Driver, worker: str) -> Operation[None]:
    """One round of a rescuer, a scheduler and a worker, which leaves then."""
    ledger = driver.ledger
    yield from work.rescue()
    yield from wake_free_locks(keys)
    yield from promote_due(keys)
    ledger.hands = []
    yield from work.join(worker)
    yield from work.claim(worker, 100, (0, 0), 0)
    if ledger.hands:
        yield from work.start(worker, ledger.hands)
    running = [hand for hand in ledger.hands if hand.is_running]
    yield from work.finish(worker, running, state=JobState.COMPLETED)
    ledger.stop(worker)


def _audit(keys: Keys) -> Operation[None]:
    found = yield from audit(keys)
    assert found == [], f"the audit finds {found}"
