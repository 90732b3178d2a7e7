"""Suggestions for mistyped names: short, however many names there are."""

from jobrunner.nearest import named, nearest

CRONS = [f"cron{number}" for number in range(10_000)]


def test_the_nearest_comes_first() -> None:
    assert nearest("bakcup", ["cleanup", "backup", "report"])[0] == "backup"
    assert nearest("zzz", ["cleanup", "backup"]) == []


def test_few_names_are_all_named_in_order() -> None:
    assert named(["c", "a", "b"], near=["b"]) == "a, b, c"
    assert len(named(CRONS[:10], near=[]).split(", ")) == 10


def test_of_many_names_the_near_ones_and_a_number_are_named() -> None:
    near = nearest("cron5x", CRONS)

    assert near[0] == "cron5"
    assert len(near) == 10
    assert named(CRONS, near).startswith("cron5, ")
    assert named(CRONS, near).endswith(" and 9,990 more")
    assert named(CRONS, near=[]).startswith("cron0, cron1, cron10, ")
    assert named(CRONS, near=["cron5"]) == "cron5 and 9,999 more"
