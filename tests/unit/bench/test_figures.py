"""Medians, percentiles and rates."""

import pytest

from jobrunner.bench.figures import Figure, Sample, figures_of, percentile, rate_between, spread


def test_a_figure_has_the_values_of_all_runs_in_their_order() -> None:
    runs = [("submit", Sample("bulk", "rate", value, "jobs/s")) for value in (30, 10, 20)]
    other = ("submit", Sample("single", "rate", 5, "jobs/s"))

    figures = figures_of([runs[0], other, *runs[1:]])

    assert figures == [
        Figure("submit", "bulk", "rate", "jobs/s", (30, 10, 20)),
        Figure("submit", "single", "rate", "jobs/s", (5,)),
    ]
    assert (figures[0].median, figures[0].low, figures[0].high) == (20, 10, 30)


@pytest.mark.parametrize(("share", "expected"), [(0.5, 50), (0.99, 99), (1, 100), (0, 1)])
def test_a_percentile_is_a_value_that_was_measured(share: float, expected: int) -> None:
    assert percentile(range(100, 0, -1), share) == expected


def test_a_percentile_of_one_value_is_that_value() -> None:
    assert percentile([7], 0.99) == 7


def test_what_ended_at_the_first_instant_does_not_count_for_the_rate() -> None:
    batch_at_first, after_it = [1000.0] * 300, [1500.0] * 100

    assert rate_between(batch_at_first + after_it) == 200


def test_ends_at_one_instant_have_a_finite_rate() -> None:
    assert rate_between([1000.0, 1000.0]) == 0


def test_a_spread_is_told_in_milliseconds() -> None:
    samples = spread("idle", [0.001] * 98 + [0.002, 0.005])

    assert [(sample.name, sample.value) for sample in samples] == [
        ("p50", 1),
        ("p95", 1),
        ("p99", 2),
    ]
