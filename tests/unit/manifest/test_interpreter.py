"""What runs a script: known shells with their options, other programs by a list."""

import pytest

from jobrunner.manifest.interpreter import parse_interpreter, script_argv
from tests.unit.manifest.reading import place, problems, read


@pytest.mark.parametrize(
    ("written", "argv"),
    [
        (None, ["/bin/sh", "-eu", "-c", "SCRIPT", "job"]),
        ("sh", ["sh", "-eu", "-c", "SCRIPT", "job"]),
        ("bash", ["bash", "-euo", "pipefail", "-c", "SCRIPT", "job"]),
        ("/usr/bin/zsh", ["/usr/bin/zsh", "-euo", "pipefail", "-c", "SCRIPT", "job"]),
        (["bash"], ["bash", "-c", "SCRIPT", "job"]),
        (["bash", "-eu"], ["bash", "-eu", "-c", "SCRIPT", "job"]),
        (["bash", "-euo", "pipefail"], ["bash", "-euo", "pipefail", "-c", "SCRIPT", "job"]),
        (["bash", "-ec"], ["bash", "-ec", "SCRIPT", "job"]),
        (["/usr/bin/env", "bash", "-x"], ["/usr/bin/env", "bash", "-x", "-c", "SCRIPT", "job"]),
        (["python3", "-u"], ["python3", "-u", "-c", "SCRIPT"]),
        (["python3.12", "-u", "-c"], ["python3.12", "-u", "-c", "SCRIPT"]),
        (["perl", "-we"], ["perl", "-we", "SCRIPT"]),
        (["node"], ["node", "-e", "SCRIPT"]),
        (["mysql", "--batch", "-e"], ["mysql", "--batch", "-e", "SCRIPT"]),
    ],
)
def test_the_script_is_the_argument_behind_the_interpreters_words(
    written: str | list[str] | None, argv: list[str]
) -> None:
    words = parse_interpreter(written)

    assert words is None or isinstance(words, list)
    assert script_argv(words, "SCRIPT", "job") == argv
    assert parse_interpreter(words) == words  # it is read again by each worker


def test_an_interpreter_whose_options_nobody_knows_is_written_as_a_list() -> None:
    (problem,) = problems("tasks: {a: {shell: 'print(1)', interpreter: python3}}")

    assert place(problem) == "1:45"
    assert "'python3' is no shell whose options are known" in problem.what
    assert problem.fix == "write a list of words, e.g. [python3, -u, -c]"


def test_an_empty_interpreter_is_refused() -> None:
    assert problems("tasks: {a: {shell: 'true', interpreter: []}}")


@pytest.mark.parametrize("kind", ["command: [x]", "python: 'm:f'"])
def test_an_interpreter_has_no_meaning_without_a_script(kind: str) -> None:
    (problem,) = problems(f"tasks: {{a: {{{kind}, interpreter: bash}}}}")

    assert problem.what.startswith("'interpreter' has no meaning for the ")


def test_the_interpreter_of_the_defaults_runs_all_scripts_that_name_none() -> None:
    tasks = read(
        """
        defaults: {interpreter: bash}
        tasks: {a: {shell: x}, b: {shell: x, interpreter: sh}, c: {command: [x]}}
        """
    ).manifest.tasks

    assert tasks["a"].interpreter == ["bash", "-euo", "pipefail", "-c"]
    assert tasks["b"].interpreter == ["sh", "-eu", "-c"]


def test_a_pattern_for_output_that_cannot_be_used_is_told_where_it_stands() -> None:
    in_defaults, in_task = problems(
        "defaults: {fail_when: {output: '('}}\ntasks: {a: {command: x, fail_when: {output: '['}}}\n"
    )

    assert (place(in_defaults), place(in_task)) == ("1:32", "2:45")
    assert in_defaults.what == "'output' of fail_when of defaults cannot be used"
    assert in_task.what == "'output' of fail_when of task 'a' cannot be used"
