"""Many large things go to the store in several calls, none of which it has to chew on for long."""

from jobrunner import message
from jobrunner.message import Message
from jobrunner.model import JobState
from jobrunner.store.attempts import Entry, Requeued, requeue
from jobrunner.store.requests import LARGEST_CALL, portions
from jobrunner.store.rescue import Orphan, read_claimed
from jobrunner.store.submission import Submission, submit
from tests.store.counting import round_trips
from tests.store.factories import Store

FIVE_MB = message.encode(Message("demo", {"text": "x" * 5_000_000}))


def test_a_call_carries_so_many_bytes_and_so_many_items() -> None:
    half = LARGEST_CALL // 2

    def sizes(items: list[int], most: int = 10) -> list[list[int]]:
        return [list(row) for row in portions(items, lambda item: item, most)]

    assert sizes([]) == []
    assert sizes([1, 2, 3, 4, 5], most=2) == [[1, 2], [3, 4], [5]]
    assert sizes([half, half, 1]) == [[half, half], [1]]
    assert sizes([1, LARGEST_CALL, 1]) == [[1], [LARGEST_CALL], [1]]
    assert sizes([2 * LARGEST_CALL]) == [[2 * LARGEST_CALL]]


def test_large_jobs_are_made_and_given_back_in_several_calls(store: Store) -> None:
    store.add_worker()
    made = store.run(submit(store.keys, [Submission(f"j{n}", "demo", FIVE_MB) for n in range(7)]))
    assert [job.state for job in made] == [JobState.QUEUED] * 7

    store.claim()
    claimed = store.run(read_claimed(store.keys, Orphan("w1", "default", "normal")))
    entries = [entry for entry in claimed if isinstance(entry, Entry)]
    replies, trips = round_trips(store, requeue(store.keys, entries, is_lost=False))

    assert replies == [Requeued.QUEUED] * 7
    assert trips == 3
    assert [len(entry.message) for entry in store.claim()] == [len(FIVE_MB)] * 7
