"""Splitting, masking and cutting of output."""

from hypothesis import given
from hypothesis import strategies as st

from jobrunner.runner.lines import LineSplitter
from jobrunner.runner.masking import Masker


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
def test_every_byte_that_is_not_overwritten_is_counted_once(
    parts: list[bytes], longest: int
) -> None:
    splitter = LineSplitter(longest, Masker())
    plain = [part.replace(b"\r", b"") for part in parts]

    lines = [line for part in plain for line in splitter.feed(part)] + splitter.flush()

    assert sum(size for _, size in lines) == sum(map(len, plain))


def test_what_a_progress_bar_has_overwritten_does_not_count() -> None:
    splitter = LineSplitter(1000, Masker(["secret"]))
    bar = [b"\rcopied %d of 60000" % number for number in range(60_000)]

    lines = [
        line
        for part in [b"begins\n", *bar, b"\r\n", b"a secret\r\n"]
        for line in splitter.feed(part)
    ]

    assert lines == [("begins", 7), ("copied 59999 of 60000", 22), ("a ***", 6)]


@given(
    st.lists(st.text("ab", min_size=3, max_size=9), min_size=1, max_size=3),
    st.lists(st.text("abx\r", max_size=30).map(str.encode), max_size=8),
    st.integers(4, 30),
)
def test_secrets_are_masked_alike_wherever_reads_and_cuts_fall(
    secrets: list[str], parts: list[bytes], longest: int
) -> None:
    masker = Masker(secrets)
    plain = [part.replace(b"\r", b"") for part in parts]

    lines = split(*plain, longest=longest, secrets=tuple(secrets))

    assert "".join(lines) == masker.mask_bytes(b"".join(plain), is_cut=True).decode()


@given(
    st.lists(st.text("ab", min_size=3, max_size=9), min_size=1, max_size=3),
    st.lists(st.text("abx\r\n", max_size=30).map(str.encode), max_size=8),
    st.integers(4, 30),
)
def test_a_line_counts_as_what_is_kept_of_it(
    secrets: list[str], parts: list[bytes], longest: int
) -> None:
    splitter = LineSplitter(longest, Masker(secrets))

    lines = [line for part in parts for line in splitter.feed(part)] + splitter.flush()

    line_ends = b"".join(parts).count(b"\n")
    assert sum(size for _, size in lines) == sum(len(text) for text, _ in lines) + line_ends


def test_an_unfinished_secret_at_a_cut_is_not_let_through() -> None:
    secret = "".join(f"{number:02}" for number in range(50))
    begin, end = secret[:99].encode(), secret[99:].encode()

    lines = split(secret.encode() + b"x" * 157 + begin, end + b"\n", longest=256, secrets=(secret,))

    assert "".join(lines) == "***" + "x" * 157 + "***"


def test_most_of_a_secret_at_the_end_of_all_output_is_masked() -> None:
    assert split(b"token hunter2-and-m", secrets=("hunter2-and-more",)) == ["token ***"]
    assert split(b"token hun", secrets=("hunter2-and-more",)) == ["token hun"]


def test_an_endless_row_of_secrets_is_not_kept_in_memory() -> None:
    splitter = LineSplitter(64, Masker(["aaa"]))

    lines = [line for _ in range(1000) for line in splitter.feed(b"a" * 100)]
    lines += splitter.flush()

    assert "".join(text for text, _ in lines) == "***"
    assert len(splitter._rest) < 10
