"""Counts and times by size: texts that add up, and percentiles that are 5 % off at most."""

from collections import Counter
from datetime import timedelta
from math import ceil, log

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobrunner.store.tallies import (
    GROWTH,
    Time,
    milliseconds_of,
    percentile,
    read_tally,
    tally_text,
)

DAY_MS = 86_400_000
times = st.one_of(st.integers(0, 100), st.integers(0, 10_000), st.integers(0, 30 * DAY_MS))


def size_of(ms: int) -> int:
    """As tally.lua has it."""
    return 0 if ms < 1 else ceil(log(ms) / log(GROWTH)) + 1


def exact(values: list[int], share: float) -> int:
    return sorted(values)[ceil(share * len(values)) - 1]


@given(st.lists(times, min_size=1, max_size=300), st.sampled_from([0.5, 0.95, 0.99]))
def test_a_percentile_is_five_percent_off_at_most(values: list[int], share: float) -> None:
    tally = Counter(f"r{size_of(value)}" for value in values)

    found = percentile(tally, Time.RUN, share)

    assert found is not None
    assert abs(found / timedelta(milliseconds=1) - exact(values, share)) <= 0.05 * exact(
        values, share
    )


def test_every_time_is_five_percent_off_at_most() -> None:
    found = {
        ms: milliseconds_of(size_of(ms)) for ms in [*range(5_000), *range(DAY_MS, DAY_MS + 100)]
    }

    assert [ms for ms, shown in found.items() if abs(shown - ms) > 0.05 * ms] == []


def test_without_attempts_there_is_no_percentile() -> None:
    tally = Counter({"r3": 5, "completed": 5})

    assert percentile(tally, Time.WAIT, 0.5) is None


tallies = st.dictionaries(
    st.sampled_from(["submitted", "failed", "r0", "r17", "w300"]), st.integers(1, 10**9)
)


@given(tallies)
def test_a_text_reads_as_it_was_written(tally: dict[str, int]) -> None:
    assert read_tally(tally_text(Counter(tally))) == tally


@pytest.mark.parametrize("text", ["", ",,", "=3", "r=3", "boom=1", "r1e3", "w9999", "failed=-1"])
def test_what_cannot_be_read_is_left_out(text: str) -> None:
    assert read_tally(f"{text},completed=2") == {"completed": 2}
