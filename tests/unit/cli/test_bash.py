"""Completion in bash: what stands in place of the part of a word that bash replaces."""

import pytest

from jobrunner.cli.bash import reply, split_line

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
    ],
)
def test_a_line_is_split_at_blanks_outside_of_quotes(
    line: str, args: list[str], incomplete: str
) -> None:
    assert split_line(line) == (args, incomplete)


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
        ("every@2", "every\\@2", ID),
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
