"""Values that no one asked for, as strategies: texts, bytes, numbers, JSON."""

import string

from hypothesis import strategies as st

# What has broken programs before: boundaries, other formats, other alphabets, other systems.
ODD_TEXTS = (
    "",
    " ",
    "-",
    "--",
    "0",
    "-1",
    "1e999",
    "nan",
    "inf",
    "-inf",
    "9" * 400,
    "0x10",
    "1_000",
    "٣",
    "²",
    "true",
    "null",
    "[]",
    "{}",
    "{",
    "[" * 500,
    '"',
    "'",
    "\\",
    "%s",
    "{0}",
    "{x!r:>{w}}",
    "${X}",
    "${",
    "$(id)",
    "../../etc/passwd",
    "/",
    "*",
    "[a-",
    "a\nb",
    "a\tb",
    "\x1b[31m",
    "\u202eabc",
    "\u2028",
    "ÄÖ🙂",
    "\U0010ffff",
    "x" * 5000,
    "9999-12-31",
    "0001-01-01",
    "9999-12-31T23:59:59+14:00",
    "0001-01-01T00:00:00+14:00",
    "2026-02-30",
    "1w2d3h4m5s6ms",
    "36500d",
    "99999999999d",
    "-5s",
    "5parsecs",
    "* * * * *",
    "* * * * * * *",
    "0 0 30 2 *",
    "60 24 32 13 8",
    "@every 0s",
    "@reboot",
    "@",
    "H H(0-99) * * *",
    "*/0 * * * *",
    "L-99 * * * *",
    "Europe/Berlin",
    "Mars/Olympus",
    "../UTC",
)
plain_texts = st.text(string.printable, max_size=12)
texts = st.sampled_from(ODD_TEXTS) | plain_texts | st.text(max_size=12)
odd_bytes = st.binary(max_size=24) | texts.map(lambda text: text.encode(errors="replace"))
numbers = (
    st.integers()
    | st.floats()
    | st.sampled_from([0, -1, 2**31, 2**63, -(2**63), 10**30, 10**400, 1e308, 5e-324])
)
json_values = st.recursive(
    st.none() | st.booleans() | numbers | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=6,
)
