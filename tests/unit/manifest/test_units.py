"""Durations and sizes: every accepted form, and what is refused."""

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobrunner.manifest.units import format_duration, format_size, parse_duration, parse_size


@pytest.mark.parametrize(
    ("written", "seconds"),
    [
        (timedelta(seconds=3), 3),
        (90, 90),
        (0, 0),
        (0.1, 0.1),
        ("90", 90),
        ("90s", 90),
        ("5m", 300),
        ("2h", 7200),
        ("1d", 86_400),
        ("2w", 1_209_600),
        ("1.5h", 5400),
        ("1h30m", 5400),
        ("1h 30m", 5400),
        (" 500ms ", 0.5),
    ],
)
def test_durations_are_read_as_people_write_them(written: object, seconds: float) -> None:
    assert parse_duration(written) == timedelta(seconds=seconds)


@pytest.mark.parametrize(
    "written",
    [
        "",
        "soon",
        "5 minutes",
        "-5s",
        "5M",
        "5m5",
        "1:30",
        "٣s",
        "1e3s",
        True,
        None,
        [],
        -1,
        -0.5,
        float("nan"),
        float("inf"),
        10**30,
        "9" * 5000,
        "40000d",
        timedelta(seconds=-1),
    ],
)
def test_what_is_no_duration_is_refused(written: object) -> None:
    with pytest.raises(ValueError, match=r"duration"):
        parse_duration(written)


def test_a_refused_duration_shows_the_accepted_forms() -> None:
    with pytest.raises(ValueError, match=r"'soon' is not a duration; write e\.g\. 90s, 5m"):
        parse_duration("soon")


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0s"),
        (90, "1m30s"),
        (3600, "1h"),
        (90_061, "1d1h1m1s"),
        (0.5, "500ms"),
        (0.0015, "1.5ms"),
        (60.25, "1m0.25s"),
        (-90, "-1m30s"),
    ],
)
def test_durations_are_written_in_their_largest_units(seconds: float, text: str) -> None:
    assert format_duration(timedelta(seconds=seconds)) == text


@given(st.timedeltas(min_value=timedelta(0), max_value=timedelta(days=36_500)))
def test_a_written_duration_reads_back_exactly(duration: timedelta) -> None:
    assert parse_duration(format_duration(duration)) == duration


@pytest.mark.parametrize(
    ("written", "size"),
    [
        (512, 512),
        ("512", 512),
        ("1k", 1024),
        ("512M", 512 << 20),
        ("1.5G", 3 << 29),
        ("2T", 2 << 40),
        ("64 KiB", 64 << 10),
        ("3MB", 3 << 20),
    ],
)
def test_sizes_are_powers_of_1024(written: object, size: int) -> None:
    assert parse_size(written) == size


@pytest.mark.parametrize("written", ["", "big", "-1", -1, "1.5X", True, None, 1.5, 1 << 63])
def test_what_is_no_size_is_refused(written: object) -> None:
    with pytest.raises(ValueError, match=r"size"):
        parse_size(written)


@given(st.integers(min_value=0, max_value=(1 << 63) - 1))
def test_a_written_size_reads_back_exactly(size: int) -> None:
    assert parse_size(format_size(size)) == size
