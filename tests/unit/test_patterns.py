"""Patterns say what `re` says, in linear time, or are refused."""

import re
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jobrunner.patterns import fault, matches

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
PLACES = ["^", "$", r"\A", r"\Z", r"\b", r"\B", "()"]
REPEATS = ["*", "+", "?", "*?", "+?", "??", "{2}", "{1,3}", "{0,2}", "{2,}", "{0}"]
# Not `(?a:`: there `re.search` itself reads `\W` otherwise than `re.fullmatch`.
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
    st.sampled_from(["", "", "(?i)", "(?s)", "(?m)", "(?a)"]),
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


def test_a_text_that_would_take_long_is_refused_each_time() -> None:
    for _ in range(2):
        with pytest.raises(ValueError, match="of 3,000 characters is too long for its pattern"):
            matches("(a{1,50}){1,50}", "a" * 3000)


def test_a_pattern_may_say_how_long_a_text_is() -> None:
    assert matches(".{1,4096}", "a" * 4096)
    assert not matches(".{1,4096}", "a" * 4097)


@pytest.mark.parametrize(
    ("pattern", "why"),
    [
        ("(?=a)b", "it looks ahead or behind"),
        ("(?<!a)b", "it looks ahead or behind"),
        (r"(a)\1", "it refers to what a group has matched"),
        ("(a)?(?(1)b|c)", "it asks whether a group has matched"),
        ("(?>a+)b", "it has an atomic group"),
        ("a++b", "it has a possessive repeat"),
        ("(a{1000}){1000}", "it has more than 20,000 steps"),
        ("(", "missing )"),
        ("(" * 5000 + ")" * 5000, "recursion"),
    ],
)
def test_what_no_linear_machine_can_do_is_refused(pattern: str, why: str) -> None:
    assert why in (fault(pattern) or "")
    with pytest.raises(ValueError, match="cannot be checked"):
        matches(pattern, "b")


def test_what_is_remembered_is_bounded() -> None:
    pattern = "(a|b)*a(a|b){12}"
    texts = (format(number, "b").replace("0", "a").replace("1", "b") for number in range(4000))

    assert [matches(pattern, text) for text in texts] == [
        bool(re.fullmatch(pattern, format(n, "b").replace("0", "a").replace("1", "b")))
        for n in range(4000)
    ]
