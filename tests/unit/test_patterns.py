"""Patterns say what `re` says, in linear time, or are refused."""

import re
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jobrunner.patterns import LONGEST_TEXT, fault, matches

ITEMS = [
    "a",
    "b",
    "ä",
    "A",
    ".",
    "1",
    " ",
    "\\n",
    r"\w",
    r"\W",
    r"\d",
    r"\s",
    "[ab]",
    "[^a]",
    "[a-c1]",
]
PLACES = ["^", r"\A", r"\b", "()"]
REPEATS = ["*", "+", "?", "*?", "+?", "??", "{2}", "{1,3}", "{0,2}", "{2,}", "{0}"]
SCOPES = ["(?:", "(", "(?i:", "(?s:", "(?m:", "(?-i:"]


def larger(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    scoped = st.builds(lambda scope, one: f"{scope}{one})", st.sampled_from(SCOPES), inner)
    return (
        st.builds(lambda one, other: one + other, inner, inner)
        | st.builds(lambda one, other: f"(?:{one}|{other})", inner, inner)
        | st.builds(lambda one, repeat: f"(?:{one}){repeat}", inner, st.sampled_from(REPEATS))
        | scoped
    )


patterns = st.builds(
    lambda flags, body: flags + body,
    st.sampled_from(["", "", "(?i)", "(?s)", "(?m)"]),
    st.recursive(st.sampled_from(ITEMS + PLACES), larger, max_leaves=12),
)


@settings(deadline=None)
@given(patterns, st.text("aabbAä1 \n-", max_size=9))
def test_a_pattern_says_what_re_says(pattern: str, text: str) -> None:
    compiled = re.compile(pattern)

    assert matches(pattern, text) == bool(compiled.fullmatch(text))
    assert matches(pattern, text, anywhere=True) == bool(compiled.search(text))


@pytest.mark.parametrize(
    ("pattern", "text"),
    [
        ("(a+)+$", "a" * 50_000 + "!"),
        ("(a|a)*b", "a" * 50_000),
        ("(a|aa)+", "a" * 50_000 + "!"),
        ("(.*)(.*)(.*)x", "a" * 50_000),
        (r"(\w+\s?)*!", "word " * 10_000),
        ("(([a-z])+.)+[A-Z]([a-z])+", "a" * 50_000),
        ("(a|b)*a(a|b){20}", "ab" * 25_000),
        ("([a-z]+)*[0-9]", "".join(map(chr, range(0x4E00, 0x9E00)))),
    ],
)
def test_no_text_makes_a_pattern_slow(pattern: str, text: str) -> None:
    began = time.process_time()

    assert not matches(pattern, text)

    assert time.process_time() - began < 1


def test_a_text_that_is_too_long_is_refused() -> None:
    assert matches("a*", "a" * LONGEST_TEXT)
    with pytest.raises(ValueError, match="of 262,145 characters is too long for a pattern"):
        matches("a*", "a" * (LONGEST_TEXT + 1))


def test_a_text_that_is_no_unicode_matches_nothing() -> None:
    assert not matches(".*", "\udcff")


def test_the_whole_text_is_meant_whatever_the_pattern_looks_like() -> None:
    assert not matches("a|b", "ab")
    assert not matches("$", "\n")
    assert matches("(?x) a b  # two letters", "ab")
    assert fault("a)|(b") == "unopened group"


def test_a_pattern_may_say_how_long_a_text_is() -> None:
    assert matches(".{1,4096}", "a" * 4096)
    assert not matches(".{1,4096}", "a" * 4097)


@pytest.mark.parametrize(
    ("pattern", "why"),
    [
        ("(?=a)b", "look-around, including look-ahead and look-behind, is not supported"),
        ("(?<!a)b", "look-around, including look-ahead and look-behind, is not supported"),
        (r"(a)\1", "backreferences are not supported"),
        ("(?>a+)b", "unrecognized flag"),
        (r"a\Z", "unrecognized escape sequence"),
        ("(a{1000}){1000}", "Compiled regex exceeds size limit"),
        ("(", "unclosed group"),
        ("(" * 5000 + ")" * 5000, "exceed the maximum number of nested parentheses"),
    ],
)
def test_what_no_linear_engine_can_do_is_refused(pattern: str, why: str) -> None:
    assert why in (fault(pattern) or "")
    with pytest.raises(ValueError, match="cannot be checked"):
        matches(pattern, "b")
