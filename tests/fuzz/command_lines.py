"""Command lines, as strategies: any command with arguments and options of all commands."""

import json
from functools import cache

from hypothesis import strategies as st

from jobrunner.cli.group import build_command
from jobrunner.cli.registry import all_commands, find_command
from tests.fuzz import garbage

# Commands that would start daemons or load, write files outside a test, or count the fire times of
# a thousand years.
NEVER_RUN = frozenset({"run", "chaos", "bench", "systemd", "init", "stop", "reload", "backfill"})
COMMANDS = tuple(entry.name for entry in all_commands() if entry.name not in NEVER_RUN)
# They would wait for an end that never comes (nothing performs jobs here), or make a year of jobs.
NEVER_GIVEN = frozenset({"--follow", "--wait", "--watch", "-w", "--yes", "-y"})
# They wait without being told to: they are given ended jobs only.
WAITING = frozenset({"wait", "logs"})

KNOWN = ("backup", "nightly", "@last", "@last:backup", "@last:", "job1", "job", "j", "web", "eu")
words = st.sampled_from(KNOWN) | garbage.texts
pairs = st.builds(
    lambda name, value: f"{name}={value}", st.sampled_from(("day", "token", "n", "")) | words, words
)
values = st.one_of(
    words,
    st.integers(-3, 3).map(str),
    st.just("\udcff"),  # a byte that is not UTF-8
    garbage.numbers.map(str),
    st.sampled_from(("failed", "running", "high", "5m", "1d", "2026-11-21", "bash", "-")),
)


instants = st.builds(
    "".join,
    st.tuples(
        st.sampled_from(("0001-01-01", "1000-01-01", "2026-11-21", "9999-12-31", "2026-02-30")),
        st.sampled_from(("", "T23:59:59", "T00:00", " 08:00", "T24:00")),
        st.sampled_from(("", "Z", "+14:00", "-14:00", "+25:00")),
    ),
)
durations = st.sampled_from(("0", "1ms", "5m", "36500d", "99999d", "-5s", "1e3", "5x", "9" * 40))
counts = st.sampled_from(("0", "1", "-1", "50", "9" * 20, "9" * 400, "1.5", "1e3", "0x1", "٣"))
APT: dict[str, st.SearchStrategy[str]] = {
    **dict.fromkeys(("--limit", "--tail", "--count", "-n"), counts),
    **dict.fromkeys(("--at", "--since", "--from", "--to"), instants),
    **dict.fromkeys(("--in", "--timeout"), durations),
    "--since": instants | durations,
    "--state": st.sampled_from(("failed", "queued", "done")),
    "--priority": st.sampled_from(("high", "low", "highest")),
}


@cache
def _options_of(command: str) -> set[str]:
    entry = find_command(command)
    params = build_command(entry).params if entry else []
    names = {name for param in params for name in param.opts if name.startswith("-")}
    return names - NEVER_GIVEN


def _options() -> list[str]:
    """Every option of every command."""
    return sorted(set().union(*(_options_of(command) for command in COMMANDS)))


def _own_words(command: str) -> st.SearchStrategy[list[str]]:
    """Words that the command may well take: its own options, and what they are for."""
    own = st.sampled_from(sorted(_options_of(command)))
    return st.one_of(
        own.map(lambda name: [name]),
        own.flatmap(lambda name: APT.get(name, words).map(lambda word: [name, word])),
        own.flatmap(lambda name: APT.get(name, words).map(lambda word: [name, word])),
        st.tuples(own, values).map(lambda pair: ["=".join(pair)]),
        values.map(lambda word: [word]),
        st.sampled_from(KNOWN).map(lambda word: [word]),
        pairs.map(lambda word: [word]),
    )


def _others_words() -> st.SearchStrategy[list[str]]:
    return st.tuples(st.sampled_from(_options()), values).map(list) | st.just(["--"])


@cache
def _lines_of(command: str) -> st.SearchStrategy[list[str]]:
    some = st.lists(st.one_of(*[_own_words(command)] * 4, _others_words()), max_size=4)
    first = st.sampled_from(((), ("backup",), ("nightly",), ("job1",)))
    return st.tuples(first, some).map(
        lambda line: [command, *line[0], *(word for part in line[1] for word in part)]
    )


# A program is never given a NUL in its arguments.
command_lines = (
    st.sampled_from(COMMANDS)
    .flatmap(_lines_of)
    .map(lambda words: [word.replace("\0", "") for word in words])
)
odd_beginnings = st.lists(words | st.sampled_from(_options()), max_size=3).map(
    lambda words: [word.replace("\0", "") for word in words]
)

BATCH_KEYS = ("task", "params", "key", "in", "at", "queue", "priority", "tsak")
batch_values = garbage.json_values | st.sampled_from(
    ("backup", "5m", "high", "2026-11-21T08:00:00")
)
batch_lines = st.one_of(
    st.dictionaries(st.sampled_from(BATCH_KEYS), batch_values, max_size=4).map(
        lambda fields: json.dumps({"task": "backup", **fields})
    ),
    garbage.json_values.map(json.dumps),
    garbage.texts,
)
batches = st.lists(batch_lines, max_size=4).map("\n".join)
