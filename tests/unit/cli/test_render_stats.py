"""How statistics look."""

import pytest

from jobrunner.cli.render_stats import rate_text


@pytest.mark.parametrize(
    ("per_s", "text"),
    [
        (0, "-"),
        (12_345.6, "12346/s"),
        (1.26, "1.3/s"),
        (0.5, "30/min"),
        (1 / 1800, "2.0/h"),
        (2 / 86_400, "2.0/d"),
        (1e-7, "0.0/d"),
    ],
)
def test_a_rate_is_told_in_the_shortest_unit_that_makes_it_one(per_s: float, text: str) -> None:
    assert rate_text(per_s) == text
