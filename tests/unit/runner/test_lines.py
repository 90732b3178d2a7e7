"""Splitting, masking and cutting of output."""

from hypothesis import given
from hypothesis import strategies as st

from jobrunner.runner.lines import LineSplitter, Masker


def split(*parts: bytes, longest: int = 100, secrets: tuple[str, ...] = ()) -> list[str]:
    splitter = LineSplitter(longest, Masker(secrets))
    lines = [line for part in parts for line in splitter.feed(part)]
    return [text for text, _ in lines + splitter.flush()]


def test_lines_end_at_line_feeds_wherever_reads_end() -> None:
    assert split(b"one\ntw", b"o\n", b"\nthree") == ["one", "two", "", "three"]


def test_a_progress_bar_leaves_its_last_state() -> None:
    assert split(b"10%\r20%", b"\r99", b"%\r100%\ndone\n") == ["100%", "done"]


def test_carriage_return_and_line_feed_are_one_line_end() -> None:
    assert split(b"one\r", b"\ntwo\r\n") == ["one", "two"]


def test_bytes_that_are_not_utf8_are_replaced() -> None:
    assert split(b"a\xffb\n") == ["a\ufffdb"]


def test_a_character_split_between_two_reads_stays_whole() -> None:
    assert split(b"\xe2\x82", b"\xac\n") == ["€"]


def test_a_long_line_is_cut_between_characters() -> None:
    lines = split("€".encode() * 10 + b"\n", longest=10)

    assert lines == ["€€€", "€€€", "€€€", "€"]


def test_an_endless_line_is_cut_while_it_grows() -> None:
    splitter = LineSplitter(10, Masker())

    lines = [line for _ in range(10) for line in splitter.feed(b"x" * 7)]

    assert [text for text, _ in lines] == ["x" * 10] * 6


def test_secrets_are_masked_even_when_reads_and_cuts_fall_into_them() -> None:
    lines = split(b"x" * 8 + b"hun", b"ter2 and more\n", longest=10, secrets=("hunter2",))

    assert "".join(lines) == "x" * 8 + "*** and more"


def test_the_longer_of_two_secrets_is_masked_as_a_whole() -> None:
    assert split(b"token-extended\n", secrets=("token", "token-extended")) == ["***"]


def test_each_line_of_a_secret_is_masked() -> None:
    key = "-----BEGIN-----\nMIIabc\n-----END-----\n"

    assert split(b"key: MIIabc\n", secrets=(key,)) == ["key: ***"]


def test_values_too_short_for_a_secret_are_not_masked() -> None:
    assert split(b"on 1 no\n", secrets=("", "1", "no")) == ["on 1 no"]


@given(st.lists(st.binary(max_size=40), max_size=8), st.integers(4, 30))
def test_every_byte_is_counted_once(parts: list[bytes], longest: int) -> None:
    splitter = LineSplitter(longest, Masker())

    lines = [line for part in parts for line in splitter.feed(part)] + splitter.flush()

    assert sum(size for _, size in lines) == sum(map(len, parts))
