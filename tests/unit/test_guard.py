"""The guard's list of workers."""

from jobrunner.daemon.guard import living


def test_who_has_ended_is_not_among_the_living() -> None:
    assert living(["a\n", "b\n", "-a\n", "\n", "c"]) == ["b", "c"]


def test_nobody_lives_when_nothing_was_told() -> None:
    assert living([]) == []
    assert living(["\n"]) == []


def test_a_worker_that_was_told_of_twice_is_one() -> None:
    assert living(["a", "b", "a"]) == ["a", "b"]
