"""Commands about the whole: status, workers, queues, locks, crons, pause."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from jobrunner.model import JobState
from jobrunner.store.leases import DaemonEntry, announce
from tests.store.factories import A_LOCK, Store
from tests.unit.cli.conftest import Invoke, Outcome

DAEMON = DaemonEntry(
    "d1", "web-1", 4242, "0.1.0", "/srv/jobs.yaml", datetime(2026, 11, 21, tzinfo=UTC), 1, "running"
)


def found(outcome: Outcome) -> Any:
    assert (outcome.stderr, outcome.code) == ("", 0)
    return json.loads(outcome.stdout)


def test_status_is_one_object(invoke: Invoke, declared: Store) -> None:
    declared.run(announce(declared.keys, DAEMON))
    declared.finished(task="backup")

    status = found(invoke("status", "--json"))

    assert list(status) == ["daemons", "workers", "queues", "tasks", "crons", "locks"]
    assert status["daemons"][0]["pid"] == 4242
    assert status["tasks"][0]["last"]["state"] == "completed"


def test_jobrunner_alone_is_status(invoke: Invoke, declared: Store) -> None:
    declared.run(announce(declared.keys, DAEMON))

    alone = invoke()

    assert alone.stdout.splitlines()[1].startswith("daemon running on web-1, pid 4242")
    assert "nightly" in alone.stdout
    assert (alone.stderr, alone.code) == ("", 0)
    assert found(invoke("--json")) == found(invoke("status", "--json"))


def test_status_without_a_daemon_says_so_and_exits_4(invoke: Invoke, declared: Store) -> None:
    outcome = invoke("status")

    assert " daemon not running " in outcome.stdout
    assert outcome.code == 4
    assert json.loads(invoke("status", "--json").stdout)["daemons"] == []


def test_status_of_an_id_is_the_job(invoke: Invoke, store: Store) -> None:
    job_id = store.submit()

    assert found(invoke("status", job_id, "--json"))["id"] == job_id


def test_watch_needs_a_terminal(invoke: Invoke, store: Store) -> None:
    outcome = invoke("status", "--watch")

    assert outcome.stderr.startswith("error: --watch needs a terminal")
    assert (outcome.stdout, outcome.code) == ("", 2)


def test_workers_and_queues_are_arrays(invoke: Invoke, store: Store) -> None:
    store.running()
    store.submit()

    workers, queues = found(invoke("workers", "--json")), found(invoke("queues", "--json"))

    assert [worker["id"] for worker in workers] == ["w1"]
    assert {queue["name"]: (queue["waiting"], queue["claimed"]) for queue in queues} == {
        "default": (1, 1),
        "web": (0, 0),
    }
    assert "w1" in invoke("workers").stdout
    assert "default" in invoke("queues").stdout


def test_locks_tell_their_holders(invoke: Invoke, store: Store) -> None:
    entry = store.running(lock=A_LOCK)

    [lock] = found(invoke("locks", "--json"))

    assert (lock["name"], lock["holders"][0]["job"]) == ("report", entry.job_id)
    assert entry.job_id in invoke("locks").stdout
    store.finish(entry, lock=A_LOCK)


def test_breaking_a_lock_asks_first(invoke: Invoke, store: Store) -> None:
    entry = store.running(lock=A_LOCK)

    for answer in ("n\n", "\n", ""):
        refused = invoke("locks", "--break", "report", terminal=True, stdin=answer)
        assert refused.stderr.startswith(f"Break lock 'report'? It is held by {entry.job_id}, ")
        assert (refused.stdout, refused.code) == ("", 5)
    assert invoke("locks", "--break", "report", stdin="y\n").code == 5  # nobody is asked in a pipe
    assert store.holders() == [entry.job_id]

    broken = invoke("locks", "--break", "report", terminal=True, stdin="y\n")
    assert broken.code == 0
    assert store.holders() == []


def test_breaking_with_yes_asks_nobody(invoke: Invoke, store: Store) -> None:
    entry = store.running(lock=A_LOCK)

    assert found(invoke("locks", "--break", "report", "--yes", "--json")) == {
        "name": "report",
        "holders": [entry.job_id],
    }
    assert invoke("locks", "--break", "report", "--yes").code == 3


def test_crons_are_paused_and_resumed_by_name(invoke: Invoke, declared: Store) -> None:
    assert found(invoke("pause", "nightly", "--json")) == {"name": "nightly", "paused": True}
    assert found(invoke("crons", "--json"))[0]["paused"] is True
    assert "paused" in invoke("crons").stdout

    assert invoke("resume", "nightly").stdout.startswith("resumed nightly;")
    assert found(invoke("crons", "--json"))[0]["paused"] is False


def test_an_unknown_cron_suggests_the_nearest(invoke: Invoke, declared: Store) -> None:
    for command in ("pause", "resume", "trigger"):
        outcome = invoke(command, "nigthly")
        assert outcome.stderr.startswith("error: no cron 'nigthly'\n")
        assert "fix: did you mean 'nightly'?" in outcome.stderr
        assert (outcome.stdout, outcome.code) == ("", 3)


def test_trigger_submits_the_crons_job_with_its_parameters(invoke: Invoke, declared: Store) -> None:
    submitted = found(invoke("trigger", "nightly", "--json"))

    job = declared.job(submitted["id"])
    assert (job.task, job.cron, job.state) == ("backup", "nightly", JobState.QUEUED)
    assert job.arguments == {"day": "2026-11-20"}
    assert job.fire_time is None


def test_an_unreachable_store_is_told_and_exits_4(invoke: Invoke, tmp_path: Path) -> None:
    (tmp_path / "gone.yaml").write_text(
        "name: gone\nstore: {url: 'unix:///tmp/jr-there-is-no-such-socket'}\n"
    )

    for args in (("status",), ("list", "--json"), ("show", "x"), ("workers",)):
        outcome = invoke(*args, "--file", "gone.yaml")
        assert outcome.stderr.startswith("error: ")
        assert "\n  fix: " in outcome.stderr
        assert (outcome.stdout, outcome.code) == ("", 4)


@pytest.mark.parametrize(("command", "code"), [("list", 0), ("history demo", 3), ("show ab", 3)])
def test_a_key_of_another_program_is_told_and_hides_nothing_else(
    invoke: Invoke, store: Store, command: str, code: int
) -> None:
    strange = [store.keys.done("completed"), store.keys.task_done("demo")]
    for key in strange:
        store.command("SET", key, "not a zset")

    outcome = invoke(*command.split())
    store.command("DEL", *strange)

    assert outcome.code == code
    assert "Traceback" not in outcome.stderr
    assert any(f"warning: the key '{key}' is damaged" in outcome.stderr for key in strange)
    assert "fix: `jobrunner doctor --repair` mends it" in outcome.stderr


@pytest.mark.parametrize(
    ("command", "method"),
    [
        ("status", "counts"),
        ("list", "scheduled"),
        ("queues", "queues"),
        ("crons", "manifest"),
        ("workers", "workers"),
        ("locks", "locks"),
        ("stats", "tally"),
        ("why backup", "blocked"),
        ("show @last", "last_job"),
    ],
)
def test_a_reading_command_names_the_damaged_key_each_time(
    invoke: Invoke, declared: Store, command: str, method: str
) -> None:
    key = getattr(declared.keys, method)()
    declared.command("DEL", key)
    declared.command("SET", key, "x")

    outcomes = [invoke(*command.split()) for _ in range(2)]
    declared.command("DEL", key)

    for outcome in outcomes:
        assert outcome.stderr.count(f"the key '{key}' is damaged") == 1, outcome.stderr


def test_status_says_that_daemons_are_not_known_where_their_key_is_damaged(
    invoke: Invoke, declared: Store
) -> None:
    key = declared.keys.daemons()
    declared.command("SET", key, "x")

    outcome = invoke("status")
    declared.command("DEL", key)

    assert outcome.code == 1
    assert "daemon not known" in outcome.stdout
    assert f"the key '{key}' is damaged" in outcome.stdout
    assert "not running" not in outcome.stdout


def test_a_damaged_queue_costs_only_itself_in_status_and_crons(
    invoke: Invoke, declared: Store
) -> None:
    declared.run(announce(declared.keys, DAEMON))
    declared.submit(task="backup")
    queue = declared.keys.queue("default", "high")
    declared.command("SET", queue, "x")

    status, crons = invoke("status", "--json"), invoke("crons")
    declared.command("DEL", queue)

    assert (status.code, crons.code) == (0, 0)
    views = {view["name"]: view for view in json.loads(status.stdout)["queues"]}
    assert (views["default"]["normal"], views["default"]["high"]) == (1, 0)
    assert "nightly" in crons.stdout


def test_a_command_that_needs_a_key_of_another_program_is_refused(
    invoke: Invoke, declared: Store
) -> None:
    queue = declared.keys.queue("default", "normal")
    declared.command("SET", queue, "not a stream")

    outcome = invoke("submit", "backup")
    declared.command("DEL", queue)

    assert outcome.code == 4
    assert "is damaged" in outcome.stderr
    assert "`jobrunner doctor`" in outcome.stderr
