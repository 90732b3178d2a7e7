"""`init`, `validate`, `schema` and `next` on manifests."""

import json
from pathlib import Path

from tests.unit.cli.conftest import Invoke

GOOD = """\
name: shop
tasks:
  backup: {command: [pg_dump, shop]}
  warm: {shell: "curl example.org", cron: "*/5 * * * *"}
crons:
  nightly: {task: backup, cron: "0 2 * * *", timezone: Europe/Berlin}
  old: {task: backup, cron: "0 3 * * *", enabled: false}
"""
BAD = """\
name: shop
tasks:
  backup: {command: [pg_dump, shop], tiemout: 5m}
crons:
  nightly: {task: backpu, cron: "0 2 * * *"}
"""


def test_what_init_writes_is_valid(invoke: Invoke, tmp_path: Path) -> None:
    written = invoke("init", "--json")
    checked = invoke("validate")

    assert json.loads(written.stdout) == {"file": str(tmp_path / "jobs.yaml")}
    assert checked.stdout.startswith(f"{tmp_path}/jobs.yaml is valid: 3 tasks, 2 crons")
    assert (checked.stderr, checked.code) == ("", 0)


def test_validate_counts_tasks_and_crons(invoke: Invoke, tmp_path: Path) -> None:
    (tmp_path / "jobs.yaml").write_text(GOOD)

    outcome = invoke("validate", "--json")

    assert json.loads(outcome.stdout) == {
        "file": str(tmp_path / "jobs.yaml"),
        "valid": True,
        "tasks": 2,
        "crons": 3,
        "problems": [],
        "left_out": 0,
        "notes": [],
    }
    assert (outcome.stderr, outcome.code) == ("", 0)


def test_validate_prints_every_problem_with_its_place(invoke: Invoke, tmp_path: Path) -> None:
    (tmp_path / "jobs.yaml").write_text(BAD)

    outcome = invoke("validate")

    assert "jobs.yaml:3:38: error: unknown key 'tiemout'" in outcome.stderr
    assert "jobs.yaml:5:19: error: " in outcome.stderr
    assert outcome.stderr.endswith("The manifest has 2 problems.\n")
    assert (outcome.stdout, outcome.code) == ("", 2)


def test_validate_as_json_lists_the_problems(invoke: Invoke, tmp_path: Path) -> None:
    (tmp_path / "jobs.yaml").write_text(BAD)

    outcome = invoke("validate", "--json")

    found = json.loads(outcome.stdout)
    assert (found["valid"], found["tasks"], found["crons"]) == (False, None, None)
    assert [problem["line"] for problem in found["problems"]] == [3, 5]
    assert list(found["problems"][0]) == ["file", "line", "column", "what", "why", "fix"]
    assert (outcome.stderr, outcome.code) == ("", 2)


def test_validate_finds_targets_that_cannot_be_imported(invoke: Invoke, tmp_path: Path) -> None:
    (tmp_path / "jobs.yaml").write_text("tasks: {clean: {python: 'no_such_module:clean'}}\n")

    outcome = invoke("validate")

    assert "no_such_module" in outcome.stderr
    assert outcome.code == 2


def test_without_a_manifest_the_fix_is_init(invoke: Invoke) -> None:
    outcome = invoke("validate")

    assert outcome.stderr.startswith("error: there is no manifest\n")
    assert "`jobrunner init`" in outcome.stderr
    assert (outcome.stdout, outcome.code) == ("", 2)


def test_the_manifest_may_come_from_option_or_environment(invoke: Invoke, tmp_path: Path) -> None:
    (tmp_path / "other.yaml").write_text(GOOD)

    by_option = invoke("validate", "-f", "other.yaml")
    by_environment = invoke("validate", environ={"JOBRUNNER_FILE": "other.yaml"})

    assert by_option.stdout == by_environment.stdout
    assert by_option.code == by_environment.code == 0


def test_the_schema_is_json_and_names_the_top_keys(invoke: Invoke) -> None:
    outcome = invoke("schema")

    assert {"tasks", "crons", "store"} <= set(json.loads(outcome.stdout)["properties"])
    assert (outcome.stderr, outcome.code) == ("", 0)


def test_next_merges_the_enabled_crons_in_order(invoke: Invoke, tmp_path: Path) -> None:
    (tmp_path / "jobs.yaml").write_text(GOOD)

    fires = json.loads(invoke("next", "-n", "200", "--json").stdout)

    assert {fire["cron"] for fire in fires} == {"nightly", "warm"}
    assert fires[0]["fire_time"] == "2026-11-21T12:05:00Z"
    assert fires == sorted(fires, key=lambda fire: str(fire["fire_time"]))


def test_next_of_one_cron_is_in_its_zone(invoke: Invoke, tmp_path: Path) -> None:
    (tmp_path / "jobs.yaml").write_text(GOOD)

    fires = json.loads(invoke("next", "nightly", "-n", "1", "--json").stdout)

    assert fires == [
        {
            "cron": "nightly",
            "fire_time": "2026-11-22T01:00:00Z",
            "local_time": "2026-11-22T02:00:00+01:00",
            "note": None,
        }
    ]


def test_next_of_an_unknown_cron_suggests_the_nearest(invoke: Invoke, tmp_path: Path) -> None:
    (tmp_path / "jobs.yaml").write_text(GOOD)

    outcome = invoke("next", "nigthly")

    assert outcome.stderr == (
        "error: no cron 'nigthly'\n"
        "  why: the crons are nightly, old, warm\n"
        "  fix: did you mean 'nightly'?\n"
    )
    assert (outcome.stdout, outcome.code) == ("", 3)


def test_validate_tells_what_may_surprise_and_finds_the_manifest_valid(
    invoke: Invoke, tmp_path: Path
) -> None:
    text = "tasks: {a: {command: date}}\ncrons: {c: {task: a, every: 1w}}\n"
    (tmp_path / "jobs.yaml").write_text(text)

    outcome, as_json = invoke("validate"), invoke("validate", "--json")

    assert outcome.code == 0
    assert "jobs.yaml:2:29: note: cron 'c' fires every 7 days" in outcome.stderr
    assert outcome.stdout.endswith("is valid: 1 task, 1 cron\n")
    (note,) = json.loads(as_json.stdout)["notes"]
    assert (note["line"], note["what"]) == (2, "cron 'c' fires every 7 days")


def test_of_thousands_of_problems_validate_prints_a_hundred(invoke: Invoke, tmp_path: Path) -> None:
    (tmp_path / "jobs.yaml").write_text("".join(f"key{n}: 1\n" for n in range(1500)))

    outcome = invoke("validate")

    assert outcome.stderr.count(": error: ") == 100
    assert outcome.stderr.endswith("… and 1,400 more\nThe manifest has at least 1500 problems.\n")
