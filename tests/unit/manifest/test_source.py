"""YAML text to nodes: values, places, limits, and what is refused."""

import pytest
import yaml

from jobrunner.errors import Problem
from jobrunner.manifest.nodes import Items, Keys, Node, Scalar
from jobrunner.manifest.source import read_source


def plain(node: Node | None) -> object:
    if isinstance(node, Keys):
        return {key: plain(entry.node) for key, entry in node.entries.items()}
    if isinstance(node, Items):
        return [plain(item) for item in node.items]
    return node.value if isinstance(node, Scalar) else None


def value_of(text: str) -> object:
    source = read_source(text, "jobs.yaml")
    assert source.problems == []
    return plain(source.root)


def only_problem(text: str) -> Problem:
    (problem,) = read_source(text, "jobs.yaml").problems
    return problem


@pytest.fixture(params=["libyaml", "python"], autouse=True)
def parser(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every rule holds with both parsers of PyYAML."""
    if request.param == "python":
        monkeypatch.delattr(yaml, "CSafeLoader")


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ("text", "text"),
        ("5", 5),
        ("-5", -5),
        ("0x1F", 31),
        ("2.50", 2.5),
        ("1e3", 1000.0),
        ("true", True),
        ("False", False),
        ("~", None),
        ("null", None),
        ("'5'", "5"),
        ('"true"', "true"),
        ("!!str 5", "5"),
    ],
)
def test_plain_values_follow_yaml_1_2(written: str, value: object) -> None:
    read = value_of(f"- {written}")

    assert read == [value]
    assert isinstance(read, list)
    assert type(read[0]) is type(value)


@pytest.mark.parametrize(
    "written",
    [
        "yes",
        "no",
        "on",
        "off",
        "1:30",
        "2026-11-21",
        "027",
        "0o27",
        "007.5",
        "1_000",
        ".inf",
        ".nan",
        "1e400",
        "9" * 30,
        "0x" + "f" * 40,
        "=",
        "٣",
    ],
)
def test_what_other_readers_would_guess_stays_text(written: str) -> None:
    assert value_of(f"a: {written}") == {"a": written}


def test_keys_are_always_texts() -> None:
    assert value_of("{on: 1, 5: 2, true: 3, ~: 4}") == {"on": 1, "5": 2, "true": 3, "~": 4}


def test_nodes_know_line_and_column() -> None:
    root = read_source("a: 1\nb:\n  - x\n  - {c: y}\n", "jobs.yaml").root

    assert isinstance(root, Keys)
    items = root.entries["b"].node
    assert isinstance(items, Items)
    inner = items.items[1]
    assert isinstance(inner, Keys)
    assert str(root.entries["b"].where) == "jobs.yaml:2:1"
    assert str(inner.entries["c"].where) == "jobs.yaml:4:6"
    assert str(inner.entries["c"].node.where) == "jobs.yaml:4:9"


def test_a_duplicate_key_is_refused_with_both_places() -> None:
    problem = only_problem("a: 1\nb: 2\na: 3\n")

    assert str(problem.where) == "jobs.yaml:3:1"
    assert problem.what == "key 'a' is given twice"
    assert problem.why == "it was first given at jobs.yaml:1:1"


def test_merge_keys_add_what_is_not_given() -> None:
    text = "x: &x {a: 1, b: 2}\ny: &y {b: 3, c: 4}\nz: {<<: [*x, *y], a: 5}"

    read = value_of(text)

    assert isinstance(read, dict)
    assert read["z"] == {"a": 5, "b": 2, "c": 4}


def test_a_quoted_merge_key_is_a_key() -> None:
    assert value_of("'<<': 1") == {"<<": 1}


def test_placeholders_within_a_word_need_no_quotes_in_a_list() -> None:
    text = "[--file=/b/{day}.dump, x-{a}{b}, p{{q}}, {k: v}, '{z}']"

    assert value_of(text) == ["--file=/b/{day}.dump", "x-{a}{b}", "p{{q}}", {"k": "v"}, "{z}"]


def test_compact_mappings_are_not_taken_for_placeholders() -> None:
    assert value_of('{"a":{b}, c: [{d}]}') == {"a": {"b": None}, "c": [{"d": None}]}


@pytest.mark.parametrize("text", ["", "# only a comment\n", "---\n", "~"])
def test_an_empty_document_has_no_tree(text: str) -> None:
    source = read_source(text, "jobs.yaml")

    assert source.root is None
    assert source.problems == []


@pytest.mark.parametrize(
    ("text", "where", "fix"),
    [
        ("a:\n  cron: */5 * * * *\n", "jobs.yaml:2:9", "put the value in quotes: an unquoted '*'"),
        ("a:\n\tb: 1\n", "jobs.yaml:2:1", "indent with spaces"),
        ("a: b: c\n", "jobs.yaml:1:5", "check the indentation; quote texts that contain ': '"),
        ("a: @x\n", "jobs.yaml:1:4", "indent with spaces, not tabs; quote texts that begin"),
        ("a: 'b\n", "jobs.yaml:1:4", "close the quote"),
        ("a: [b\nc: d\n", "jobs.yaml:2:2", "close the '['"),
        ("a: *nothing\n", "jobs.yaml:1:4", "quote the value if the '*' is meant as text"),
        ("a: &a [*a]\n", "jobs.yaml:1:8", "quote the value"),
        ("a: 1\n---\nb: 2\n", "jobs.yaml:2:1", "remove the '---' line"),
        ("a: !!python/name:os.system\n", "jobs.yaml:1:4", "remove the tag"),
        ("a: !secret x\n", "jobs.yaml:1:4", "remove the tag"),
        ("ab: x\0\n", "jobs.yaml:1:6", "correct it"),
        ("ab: \ufdd0\n", "jobs.yaml:1:5", "correct it"),
        ('ab: "x\\0"\n', "jobs.yaml:1:5", "correct it"),
        ("[a]: b\n", "jobs.yaml:1:1", "correct it"),
        ("<<: 5\n", "jobs.yaml:1:1", "correct it"),
        ("a: 1\rb: \x07\r", "jobs.yaml:2:4", "correct it"),
        ("\ufeffab: x\0\n", "jobs.yaml:1:6", "correct it"),
    ],
)
def test_unusable_yaml_is_a_problem_at_its_place(text: str, where: str, fix: str) -> None:
    problem = only_problem(text)

    assert str(problem.where) == where
    assert problem.fix is not None
    assert problem.fix.startswith(fix)


@pytest.mark.parametrize("text", ["a: {", "a: [b", "a: 'b\nc", "? {"])
def test_a_place_is_within_a_file_whose_last_line_has_no_end(text: str) -> None:
    where = only_problem(text).where

    assert where is not None
    assert where.line <= text.count("\n") + 1


def test_a_syntax_error_shows_the_line_with_a_caret() -> None:
    problem = only_problem("a:\n  cron: */5 * * * *\n")

    assert problem.excerpt == "  cron: */5 * * * *\n        ^"


@pytest.mark.parametrize(
    "text",
    [
        "[" * 100000,
        "{a: " * 100000,
        "- " * 100000,
        "? " * 100000,
        "\n".join(" " * depth + "a:" for depth in range(500)),
    ],
)
def test_deep_nesting_is_refused(text: str) -> None:
    assert "nested too deeply" in only_problem(text).what


def test_depth_counts_through_aliases() -> None:
    lines = ["a0: &a0 [x]"]
    lines += [f"a{n}: &a{n} [[[*a{n - 1}]]]" for n in range(1, 30)]

    assert "nested too deeply" in only_problem("\n".join(lines)).what


def test_an_alias_bomb_is_refused() -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 10)]

    assert "too many values" in only_problem("\n".join(lines)).what


@pytest.mark.parametrize("escape", ["\\UFFFFFFFF", "\\ud800", "\\q"])
def test_escapes_of_no_character_are_refused(escape: str) -> None:
    assert only_problem(f'a: "{escape}"').where is not None
