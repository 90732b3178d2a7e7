"""`doctor` on a real server: what it prints, its exit codes, and the repair."""

import json
from pathlib import Path

from jobrunner.model import TERMINAL
from jobrunner.store.audit import audit
from tests.store.factories import A_LOCK, Store
from tests.unit.cli.conftest import Invoke, make_invoke

LOST = "no job's record explains them, or a job has lost its place"
FIX = "`jobrunner doctor --repair`"


def lose_an_entry(store: Store) -> str:
    job_id = store.submit()
    store.command("XDEL", store.keys.queue("default", "normal"), store.record(job_id)["entry"])
    return job_id


def checks(outcome_text: str) -> dict[str, str]:
    """Check -> level, of the text."""
    lines = [line.split() for line in outcome_text.splitlines() if not line.startswith(" ")]
    return {words[1]: words[0] for words in lines}


def test_each_check_has_a_line_and_each_problem_a_fix(invoke: Invoke, store: Store) -> None:
    job_id = lose_an_entry(store)

    outcome = invoke("doctor")

    found = checks(outcome.stdout)
    assert outcome.code == 1
    assert (found["version"], found["records"], found["locks"]) == ("ok", "problem", "ok")
    assert (
        f"1 no_entry\n         why: {LOST}: {job_id}\n         fix: {FIX} shows" in outcome.stdout
    )
    invoke("doctor", "--repair", "--yes")


def test_a_key_of_another_type_is_named_with_a_fix(invoke: Invoke, store: Store) -> None:
    tally = store.keys.tally()
    store.command("SET", tally, "x")

    outcome = invoke("doctor")

    assert outcome.code == 1
    assert checks(outcome.stdout)["keys"] == "problem"
    assert f"'{tally}' is a string, not a list" in outcome.stdout
    invoke("doctor", "--repair", "--yes")
    assert checks(invoke("doctor").stdout)["keys"] == "ok"


def test_keys_as_jobrunner_writes_them_are_not_strange(store: Store) -> None:
    store.add_worker()
    for state in sorted(TERMINAL):
        store.finish(store.claimed(), state, result=b"1", result_life_ms=100_000)
    store.running(lock=A_LOCK)
    store.retrying()
    store.blocked()

    assert store.run(audit(store.keys)) == []


def test_the_json_names_every_finding_and_orphan(invoke: Invoke, store: Store) -> None:
    job_id = lose_an_entry(store)

    told = json.loads(invoke("doctor", "--json").stdout)

    assert told["level"] == "problem"
    assert {"check", "level", "what", "why", "fix"} == set(told["findings"][0])
    orphan = {"kind": "no_entry", "key": store.keys.job(job_id), "id": job_id}
    assert told["orphans"] == [orphan | {"job_id": job_id, "detail": "queued"}]
    assert told["mended"] == []
    invoke("doctor", "--repair", "--yes")


def test_a_repair_shows_asks_and_mends(invoke: Invoke, store: Store) -> None:
    job_id = lose_an_entry(store)

    outcome = invoke("doctor", "--repair", terminal=True, stdin="y\n")

    assert f"{job_id} (queued) is in no queue: will be queued again" in outcome.stderr
    assert "mended" in outcome.stderr
    assert store.run(audit(store.keys)) == []
    assert [entry.job_id for entry in store.claim()] == [job_id]


def test_a_repair_that_is_declined_changes_nothing(invoke: Invoke, store: Store) -> None:
    lose_an_entry(store)
    before = store.snapshot()

    outcome = invoke("doctor", "--repair", terminal=True, stdin="n\n")

    assert outcome.code == 5
    assert "nothing was mended" in outcome.stderr
    assert store.snapshot() == before
    assert invoke("doctor", "--repair", "--yes", "--json").code == 1  # still without a daemon


def test_a_repair_lists_in_json_what_it_mended(invoke: Invoke, store: Store) -> None:
    store.command("HSET", store.keys.counts(), "running:demo", 3)

    told = json.loads(invoke("doctor", "--repair", "--yes", "--json").stdout)

    assert told["orphans"] == []
    assert [(item["kind"], item["id"]) for item in told["mended"]] == [
        ("wrong_count", "running:demo")
    ]


def test_without_the_store_the_host_is_told_all_the_same(tmp_path: Path) -> None:
    (tmp_path / "jobs.yaml").write_text("name: x\nstore: {url: 'unix:///nowhere/s'}\n")

    outcome = make_invoke(tmp_path)("doctor")

    found = checks(outcome.stdout)
    assert outcome.code == 4
    assert (found["manifest"], found["disk"], found["reachable"]) == ("ok", "ok", "problem")


def test_an_invalid_manifest_is_a_problem_and_the_store_is_examined(
    tmp_path: Path, invoke: Invoke, store: Store
) -> None:
    with (tmp_path / "jobs.yaml").open("a") as manifest:
        manifest.write("tasks: {backup: {comand: x}}\n")

    found = checks(invoke("doctor").stdout)

    assert (found["manifest"], found["version"], found["reload"]) == ("problem", "ok", "ok")
    assert store.run(audit(store.keys)) == []
