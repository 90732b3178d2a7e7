"""Which variables jobs must not get, how secrets are handed over, and what is refused."""

import pytest

from jobrunner.manifest.load import with_found_tasks
from jobrunner.manifest.parts import Delivery, SecretRef
from jobrunner.manifest.spec import Manifest
from tests.unit.manifest.reading import problems, read

ENVIRON = {"URL": "redis://h", "PASSWORD": "p", "PIN": "4711", "CRON_PIN": "1", "OTHER": "o"}
TEXT = """
    store: {url: "redis://:${PASSWORD}@h/${DB:-0}"}
    env: {A: {env: TOP}}
    defaults: {env: {B: {env: DEFAULT}}}
    tasks:
      a:
        command: "echo ${OTHER}"
        env: {C: {env: OWN}, D: "${OTHER}"}
        params: {pin: {secret: true, default: "${PIN}"}, open: {default: "${OTHER}"}}
    crons:
      c: {task: a, every: 1h, params: {pin: "${CRON_PIN}", open: "${OTHER}"}}
    """


def test_variables_of_the_store_and_of_secrets_are_withheld() -> None:
    loaded = read(TEXT, ENVIRON)

    for manifest in (loaded.manifest, with_found_tasks(loaded, []).manifest):
        assert manifest.store_variables == ["DB", "PASSWORD"]
        assert manifest.withheld_variables() == {
            *("DB", "PASSWORD", "TOP", "DEFAULT", "OWN", "PIN", "CRON_PIN")
        }


def test_what_is_withheld_survives_the_trip_to_a_worker() -> None:
    manifest = read(TEXT, ENVIRON).manifest

    there = Manifest.model_validate(manifest.model_dump(mode="json"))

    assert there.withheld_variables() == manifest.withheld_variables()


def test_a_secret_can_be_handed_over_as_a_file() -> None:
    text = 'tasks: {a: {shell: "true", env: {K: {file: key, as: file}, V: {env: V, as: value}}}}'
    manifest = read(text).manifest

    there = Manifest.model_validate(manifest.model_dump(mode="json"))

    for each in (manifest, there):
        assert each.tasks["a"].env == {
            "K": SecretRef(file="key", delivery=Delivery.FILE),
            "V": SecretRef(env="V"),
        }


@pytest.mark.parametrize(
    ("env", "what", "fix"),
    [
        (
            "{env: A, as: fd}",
            "'as' of environment variable 'T' of task 'a' must be one of value, file",
            "write",
        ),
        ("{env: A, ass: file}", "unknown key 'ass' in", "rename it to 'as'"),
    ],
)
def test_a_wrong_way_to_hand_over_a_secret_is_told(env: str, what: str, fix: str) -> None:
    [problem] = problems(f'tasks: {{a: {{shell: "true", env: {{T: {env}}}}}}}')

    assert what in problem.what
    assert fix in (problem.fix or "")


def test_what_is_withheld_cannot_be_inherited() -> None:
    text = """
        store: {url: "${URL}"}
        defaults: {inherit_env: [URL]}
        tasks:
          a: {shell: "true", inherit_env: [OTHER, URL, TOKEN]}
          b: {shell: "true", env: {T: {env: TOKEN}}}
        """

    found = problems(text, ENVIRON)

    names = ("URL", "URL", "TOKEN")
    assert [problem.what for problem in found] == [f"'{n}' is not inherited by jobs" for n in names]
    assert "env: {URL: {env: URL}}" in (found[0].fix or "")


@pytest.mark.parametrize("value", ["3", "{A: b}", "['A=b']", "[[A]]", "''"])
def test_what_is_inherited_is_all_nothing_or_names(value: str) -> None:
    [problem] = problems(f'tasks: {{a: {{shell: "true", inherit_env: {value}}}}}')

    assert "neither true, false nor a list of names" in problem.what


def test_a_function_inherits_what_its_process_has() -> None:
    [problem] = problems("tasks: {a: {python: 'm:f', inherit_env: false}}")

    assert "'inherit_env' has no meaning for the function of task 'a'" in problem.what


def test_a_secret_parameter_in_the_name_of_a_lock_is_refused() -> None:
    text = """
        tasks:
          a: {command: "true", params: {t: {secret: true}}, lock: {name: "api-{t}"}}
          b: {command: "true", params: {t: {}}, lock: {name: "api-{t}"}}
        """

    [problem] = problems(text)

    assert problem.what == "{t} in the lock's name of task 'a' is a secret parameter"


@pytest.mark.parametrize(
    "param",
    [
        "{secret: true, type: integer, default: sesame}",
        "{secret: true, type: integer, choices: [sesame]}",
        "{secret: true, choices: sesame}",
        "{secret: true, choices: [other, sesame], default: sesames}",
        "{secret: true, pattern: '[0-9]+', default: sesame}",
    ],
)
def test_no_problem_quotes_the_value_of_a_secret_parameter(param: str) -> None:
    text = f"""
        tasks: {{a: {{command: "true", params: {{p: {param}}}}}}}
        crons: {{c: {{task: a, every: 1h, params: {{p: sesame}}}}}}
        """

    found = problems(text)

    assert found
    assert "sesame" not in str(found)


@pytest.mark.parametrize(
    "line",
    [
        'command: "curl \'X-Token: ${TOKEN}"',
        'queue: "a ${TOKEN}"',
        'timeout: "${TOKEN}"',
        'priority: "and some words before it so that it is cut somewhere in the ${TOKEN}"',
    ],
)
def test_a_problem_quotes_what_is_written_and_not_the_value_of_a_variable(line: str) -> None:
    token = "sesame-open-and-some-more-of-it"
    script = "" if line.startswith("command") else 'shell: "true"'

    found = problems(f"tasks:\n  a:\n    {line}\n    {script}\n", {"TOKEN": token})

    assert found
    assert "sesame" not in str(found)
    assert "${TOKEN}" in str(found)


def test_a_short_value_is_quoted_since_it_is_what_is_wrong() -> None:
    [problem] = problems("workers: {slots: '${SLOTS}'}", {"SLOTS": "many"})

    assert problem.what.endswith("not 'many'")
