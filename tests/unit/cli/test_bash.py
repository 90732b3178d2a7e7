"""Completion in bash: what stands in place of the part of a word that bash replaces."""

import pytest

from jobrunner.cli.bash import quoted_apart, reply
from jobrunner.cli.shells import read_line

ID = "every@2026-11-21T16:20:00Z"


@pytest.mark.parametrize(
    ("line", "args", "incomplete"),
    [
        ("jobrunner ", [], ""),
        ("jobrunner show ", ["show"], ""),
        ("jobrunner show every@2", ["show"], "every@2"),
        ("jobrunner -f 'my jobs.yaml' show 'every@2", ["-f", "my jobs.yaml", "show"], "every@2"),
        ('jobrunner show "a b" ', ["show", "a b"], ""),
        ('jobrunner show "a ', ["show"], "a "),
        ("jobrunner show every\\@2", ["show"], "every@2"),
        ("jobrunner submit a x=1 --priority=h", ["submit", "a", "x=1"], "--priority=h"),
        ("LANG=C A='b c' jobrunner show e", ["show"], "e"),
    ],
)
def test_a_line_is_split_at_blanks_outside_of_quotes(
    line: str, args: list[str], incomplete: str
) -> None:
    assert read_line(line)[:2] == (args, incomplete)


@pytest.mark.parametrize(
    ("incomplete", "replaced", "inserted"),
    [
        ("ev", "ev", ID),
        ("every@", "@", "@2026-11-21T16:20:00Z"),
        ("every@20", "@20", "@2026-11-21T16:20:00Z"),
        ("every@20", "20", "@2026-11-21T16:20:00Z"),  # bash-completion leaves the @ out
        ("every@2026-11-21T16:2", "2", "20:00Z"),
        ("every@2026-11-21T16:", "", "20:00Z"),
        ("every@2026-11-21T16:", ":", "20:00Z"),  # bash-completion tells it as a word
        ("every@2026-11-21T16:2", "every@2026-11-21T16:2", ID),  # in quotes
    ],
)
def test_only_what_bash_replaces_is_offered(incomplete: str, replaced: str, inserted: str) -> None:
    assert reply(ID, incomplete, replaced) == inserted


@pytest.mark.parametrize(
    ("incomplete", "replaced", "inserted"),
    [
        ("--priority=h", "h", "high"),
        ("--priority=", "", "high"),
        ("--priority=", "=", "high"),
        ("--priority=h", "--priority=h", "--priority=high"),  # no break at = in COMP_WORDBREAKS
    ],
)
def test_the_value_of_an_option_is_offered_behind_its_name(
    incomplete: str, replaced: str, inserted: str
) -> None:
    assert reply("high", incomplete, replaced) == inserted


@pytest.mark.parametrize(
    ("line", "quote"),
    [
        ("show a", ""),
        ("show 'a", "'"),
        ("show 'a' \"b", '"'),
        ("show 'a\\", "'"),
        ('show "a\\"', '"'),
        ("show \\'a", ""),
        ("show $'a\\'", "$'"),
        ("show $'a\\''", ""),
        ('show "it\'s"', ""),
    ],
)
def test_the_quote_that_is_open_at_the_end_of_a_line_is_found(line: str, quote: str) -> None:
    assert read_line(line).quote == quote


@pytest.mark.parametrize(
    ("part", "quote", "meaning"),
    [
        ("every\\@2", "", "every@2"),
        ("a\\ b", "", "a b"),
        ("a$x", '"', "a$x"),
        ("a\\$x", '"', "a$x"),
        ("a\\", "'", "a\\"),
        ("", "", ""),
    ],
)
def test_the_end_of_a_word_is_read_as_bash_would(part: str, quote: str, meaning: str) -> None:
    assert read_line(quote + part).incomplete == meaning


@pytest.mark.parametrize(
    ("offers", "quote", "quoted"),
    [
        (["$(x)"], "", ["\\$\\(x\\)"]),
        (["it's !"], "'", ["it'\\''s !"]),
        (["$a!b"], '"', ["\\$a\"'!'\"b"]),
        (["a!", 'a"', "ab"], '"', ["ab"]),  # bash would not close the quote behind the others
        (["a'", "ab"], "'", ["ab"]),
        (["a$", "é-b"], "$'", ["é-b"]),
        (["x$", "x;", "x&"], "", ["x'$'", "x\\;", "x\\&"]),  # what they share ends at the x
        (["x$", "x`"], '"', ["x\"'$'\"", "x\\`"][1:]),
    ],
)
def test_an_offer_means_itself_where_it_is_inserted(
    offers: list[str], quote: str, quoted: list[str]
) -> None:
    assert quoted_apart(offers, quote) == quoted
