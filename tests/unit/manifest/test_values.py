"""`${VAR}` in a manifest's values."""

import pytest

from tests.unit.manifest.reading import place, problems, read

ENVIRON = {"USER": "ada", "EMPTY": "", "COUNT": "5", "ON": "true"}


@pytest.mark.parametrize(
    ("written", "description"),
    [
        ("by ${USER}", "by ada"),
        ("${USER}${USER}", "adaada"),
        ("${NOBODY:-bob}", "bob"),
        ("${EMPTY:-bob}", "bob"),
        ("<${EMPTY}>", "<>"),
        ("<${NOBODY:-}>", "<>"),
        ("$${USER}", "${USER}"),
        ("$USER costs $5", "$USER costs $5"),
        ("$$", "$$"),
    ],
)
def test_variables_are_filled_in(written: str, description: str) -> None:
    loaded = read(f"tasks: {{a: {{command: 'x', description: '{written}'}}}}", ENVIRON)

    assert loaded.manifest.tasks["a"].description == description


def test_a_filled_in_text_can_be_a_number_or_a_boolean() -> None:
    loaded = read(
        """
        adhoc: ${ON}
        tasks: {a: {command: x, retry: {attempts: "${COUNT}"}, lock_ttl: "${COUNT}"}}
        """,
        ENVIRON,
    )

    assert loaded.manifest.adhoc is True
    assert loaded.manifest.tasks["a"].retry.attempts == 5
    assert loaded.manifest.lock_of("a") is not None


def test_a_filled_in_text_is_not_filled_in_again() -> None:
    loaded = read("tasks: {a: {command: [echo, '${X}']}}", {"X": "${USER}", "USER": "ada"})

    assert loaded.written.tasks["a"].command == ["echo", "${USER}"]


def test_a_shell_script_keeps_its_own_variables() -> None:
    loaded = read(
        """
        tasks:
          a:
            shell: echo ${HOME:-x} ${#PATH} $${
            env: {shell: "${USER}"}
        """,
        ENVIRON,
    )

    task = loaded.manifest.tasks["a"]
    assert task.shell == "echo ${HOME:-x} ${#PATH} $${"
    assert task.env == {"shell": "ada"}


def test_keys_are_not_filled_in() -> None:
    (problem,) = problems("tasks: {'${USER}': {command: x}}", ENVIRON)

    assert problem.what == "task name '${USER}' is not allowed"


def test_a_missing_variable_is_a_problem_at_the_value() -> None:
    (problem,) = problems("tasks:\n  a:\n    command: [echo, 'x${NOBODY}']\n")

    assert place(problem) == "3:21"
    assert problem.what == "environment variable 'NOBODY' is not set"
    assert problem.fix == "set NOBODY, or give a default: ${NOBODY:-default}"


def test_a_reference_that_is_none_is_a_problem() -> None:
    (problem,) = problems("tasks: {a: {command: [awk, '${1} x']}}")

    assert problem.what == "'${1} x' does not refer to an environment variable"
    assert problem.fix == "close the brace, or write $${ for a plain ${"


def test_an_empty_store_url_means_the_embedded_server() -> None:
    assert read('store: {url: "${REDIS_URL:-}"}').manifest.store.url is None
