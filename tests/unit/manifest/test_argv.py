"""Words of commands: texts that need a shell, and values that a program takes for options."""

import re
from pathlib import Path

import pytest

from jobrunner.manifest.argv import option_params, parse_argv
from jobrunner.manifest.obeyed import OBEYED, OBEYED_PREFIXES, why_obeyed
from jobrunner.manifest.parts import Param
from tests.unit.manifest.reading import place, problems, read

TEXT = Param()
SECURITY = Path(__file__).parents[3] / "docs" / "security.md"


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("echo hello > out.txt", "'>'"),
        ("echo hello >> out.txt", "'>>'"),
        ("wc -l < in.txt", "'<'"),
        ("cd /srv && make", "'&&'"),
        ("false || true", "'||'"),
        ("cat x | wc", "'|'"),
        ("date; date", "';'"),
        ("sleep 9 &", "'&'"),
        ("sh -c (date)", "'('"),
        ("echo `date`", "'`'"),
        ("echo $(date)", "'$('"),
        ("echo $HOME", "'$HOME'"),
        ("echo a$1", "'$1'"),
        ("echo hi # greet", "'#'"),
        ("echo one\necho two\n", "several lines"),
        ("pg_dump \\\n --all", "several lines"),
        ("rm -f /tmp/x/*", "'*'"),
        ("find . -name *.log", "'*'"),
        ("ls ~", "'~'"),
        ("touch ~/x", "'~'"),
        ("~/bin/x", "'~'"),
        ("ls ~root/x", "'~'"),
        ("ls a{b,c}d", "'{b,c}'"),
        ("ls {a,{b,c}}", "'{b,c}'"),
        ("ls {,.bak}", "'{,.bak}'"),
        ("touch f{1..9}", "'{1..9}'"),
        ('curl -d {"a":1,"b":2} x', "several words"),
        ("LANG=C sort x", "assignment of 'LANG'"),
    ],
)
def test_what_only_a_shell_understands_is_refused_in_a_text(text: str, named: str) -> None:
    with pytest.raises(ValueError, match="no shell reads a command") as caught:
        parse_argv(text)

    assert named in str(caught.value)
    assert "`shell:`" in str(caught.value)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("echo '>' \"a && b\" c\\;d", ["echo", ">", "a && b", "c;d"]),
        ("awk '{print $1}' \"$HOME\"", ["awk", "{print $1}", "$HOME"]),
        ("grep foo$ a#b 'c'#d", ["grep", "foo$", "a#b", "c#d"]),
        ("find '*.log' \"*\" \\* '~/x' \\~ ", ["find", "*.log", "*", "*", "~/x", "~"]),
        ("git show HEAD~1 ~1 a~/b x=~", ["git", "show", "HEAD~1", "~1", "a~/b", "x=~"]),
        ("curl http://h/?a=[1]&b={b}".replace("&", "\\&"), ["curl", "http://h/?a=[1]&b={b}"]),
        (
            "x '{a,b}' {{a,b}} {a} {} a,b {a},{b} ..",
            ["x", "{a,b}", "{{a,b}}", "{a}", "{}", "a,b", "{a},{b}", ".."],
        ),
        ("sync --region {region} ${NAME}\n", ["sync", "--region", "{region}", "${NAME}"]),
        ("env A=1 date", ["env", "A=1", "date"]),
        ("echo 'one\ntwo'", ["echo", "one\ntwo"]),
    ],
)
def test_quoted_signs_and_other_characters_are_words(text: str, words: list[str]) -> None:
    assert parse_argv(text) == words


def test_a_list_of_words_is_left_as_it_is() -> None:
    words = ["echo", ">", "a && b", "$HOME", "two\nlines"]

    assert parse_argv(words) is words


def test_shell_syntax_is_told_at_its_place_with_the_fix() -> None:
    (problem,) = problems(
        """
        tasks:
          copy:
            command: echo hello > out.txt
        """
    )

    assert place(problem) == "4:14"
    assert problem.what == (
        "'command' of task 'copy' cannot be used: '>' is for a shell, and no shell reads a command"
    )
    assert problem.fix == "write `shell:` instead of `command:`, or quote what is meant as text"


@pytest.mark.parametrize(
    ("words", "found"),
    [
        (["rm", "{x}"], {"x"}),
        (["rm", "{x}.txt"], {"x"}),
        (["rm", "{x}{y}"], {"x", "y"}),
        (["rm", "--", "{x}"], set()),
        (["rm", "{x}", "--", "{y}"], {"x"}),
        (["rm", "--file={x}", "/srv/{y}", "{{x}}"], set()),
        (["rm", "{unknown}"], set()),
    ],
)
def test_a_string_may_be_taken_for_an_option_where_it_begins_a_word(
    words: list[str], found: set[str]
) -> None:
    assert option_params(words, {"x": TEXT, "y": TEXT}) == found


@pytest.mark.parametrize(
    ("param", "found"),
    [
        (Param(type="any"), {"x", "y"}),
        (Param(type="integer"), set()),
        (Param(type="integer", required=False), {"y"}),
        (Param(choices=["-v", "-q"]), set()),
        (Param(choices=["", "-q"]), {"y"}),
        (Param(allow_dash=True), {"y"}),
    ],
)
def test_only_free_text_is_taken_for_an_option_and_what_follows_it_where_it_may_be_empty(
    param: Param, found: set[str]
) -> None:
    assert option_params(["rm", "{x}{y}"], {"x": param, "y": TEXT}) == found


def test_scripts_and_functions_have_no_words_that_values_could_begin() -> None:
    manifest = read("tasks: {a: {shell: 'rm $X', params: {x: {}}}}").manifest

    (spec,) = manifest.tasks["a"].param_specs()
    assert (spec.refuses_dash, spec.copies) == (False, 1)


def test_a_value_is_counted_once_for_each_word_and_once_as_a_variable() -> None:
    manifest = read("tasks: {a: {command: [x, '{p}', '--a={p}'], params: {p: {}}}}").manifest

    assert manifest.tasks["a"].param_specs()[0].copies == 3


def test_a_cron_whose_arguments_would_be_options_is_a_problem_at_them() -> None:
    (problem,) = problems(
        """
        tasks: {a: {command: [rm, "{file}"], params: {file: {}}}}
        crons: {c: {task: a, every: 5m, params: {file: -rf}}}
        """
    )

    assert place(problem) == "3:33"
    assert "must not begin with '-', and '-rf' does" in problem.what
    assert problem.fix is not None
    assert "`allow_dash: true`" in problem.fix


def test_the_default_and_the_choices_may_be_options_since_the_author_wrote_them() -> None:
    assert read("tasks: {a: {command: [cat, '{f}'], params: {f: {default: '-'}}}}")
    assert read("tasks: {a: {command: [cat, '{f}'], params: {f: {choices: [-v, -q]}}}}")


def test_allow_dash_without_a_text_has_no_meaning() -> None:
    (problem,) = problems(
        "tasks: {a: {command: [x, '{n}'], params: {n: {type: integer, allow_dash: true}}}}"
    )

    assert problem.what == "'allow_dash' of parameter 'n' of task 'a' has no meaning"


@pytest.mark.parametrize("kind", ["command: [x]", "shell: x"])
@pytest.mark.parametrize("name", ["path", "Ld_Preload", "bash_env", "jobrunner_fence", "GIT_SSH"])
def test_a_parameter_whose_variable_programs_obey_is_refused_at_its_key(
    kind: str, name: str
) -> None:
    (problem,) = problems(f"tasks:\n  a:\n    {kind}\n    params:\n      {name}: {{}}\n")

    assert place(problem) == "5:7"
    assert problem.what.endswith(f"would become the variable {name.upper()}")
    assert problem.fix == f"give it another name, e.g. 'my_{name}'"


def test_a_function_may_have_a_parameter_of_any_name() -> None:
    assert read("tasks: {a: {python: 'm:f', params: {path: {}}}}")


def test_each_obeyed_variable_has_a_reason_and_no_other_has() -> None:
    assert all(OBEYED.values())
    assert why_obeyed("REGION") is None


def test_the_variables_that_programs_obey_are_documented_by_their_exact_names() -> None:
    section = SECURITY.read_text().split("### Variables that programs obey")[1].split("\n## ")[0]
    rows = re.findall(r"^\| (`.*`) \| (.*) \|$", section, re.M)
    named = {name: why for names, why in rows for name in re.findall(r"`(\w+\*?)`", names)}

    assert named == OBEYED | {f"{begin}*": why for begin, why in OBEYED_PREFIXES.items()}
