"""Delays between tries."""

from jobrunner.store.backoff import Backoff


def test_delays_double_up_to_the_longest() -> None:
    backoff = Backoff(first=0.05, longest=2.0, random=lambda: 1.0)

    delays = [backoff.next_delay() for _ in range(8)]

    assert delays == [0.05, 0.1, 0.2, 0.4, 0.8, 1.6, 2.0, 2.0]


def test_a_delay_is_a_random_part_of_its_bound() -> None:
    delays = [Backoff(first=1.0).next_delay() for _ in range(1000)]

    assert min(delays) < 0.1
    assert 0.9 < max(delays) < 1.0


def test_a_success_begins_anew() -> None:
    backoff = Backoff(first=0.05, random=lambda: 1.0)
    backoff.next_delay()
    backoff.next_delay()

    backoff.reset()

    assert backoff.next_delay() == 0.05
