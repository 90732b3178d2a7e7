"""Commands that make, await and stop jobs: submit, exec, wait, cancel."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from jobrunner.model import JobState, Priority
from jobrunner.params import ParamSpec, ParamType
from jobrunner.store.address import StoreAddress
from jobrunner.store.connection import StoreConnection
from jobrunner.store.keys import Keys
from jobrunner.store.published import ADHOC_TASK, Published, PublishedTask, publish
from tests.store.factories import Store
from tests.unit.cli.conftest import Invoke, Outcome


def found(outcome: Outcome) -> Any:
    assert (outcome.stderr, outcome.code) == ("", 0)
    return json.loads(outcome.stdout)


@contextmanager
def finishing(address: StoreAddress, state: JobState) -> Iterator[None]:
    """Beside the test, a worker that ends each job it gets."""
    stop = threading.Event()

    def work() -> None:
        with StoreConnection(address) as connection:
            store = Store(Keys(address.name), connection)
            while not stop.wait(0.01):
                for entry in store.claim():
                    store.finish(entry, state, task="backup")

    worker = threading.Thread(target=work)
    worker.start()
    try:
        yield
    finally:
        stop.set()
        worker.join()


def test_submit_prints_the_id_and_checks_the_parameters(invoke: Invoke, declared: Store) -> None:
    outcome = invoke("submit", "backup", "day=2026-11-21")

    job = declared.job(outcome.stdout.strip())
    assert (outcome.stderr, outcome.code) == ("", 0)
    assert (job.task, job.state) == ("backup", JobState.QUEUED)
    assert job.arguments == {"day": "2026-11-21"}


def test_submit_as_json_tells_id_task_and_state(invoke: Invoke, declared: Store) -> None:
    now, later = (
        found(invoke("submit", "backup", "--json")),
        found(invoke("submit", "backup", "--json", "--in", "5m")),
    )

    assert list(now) == ["id", "task", "state"]
    assert (now["task"], now["state"], later["state"]) == ("backup", "queued", "scheduled")


def test_submit_keeps_its_options(invoke: Invoke, declared: Store) -> None:
    first = found(invoke("submit", "backup", "--json"))["id"]
    due = found(invoke("submit", "backup", "--json", "--at", "2099-01-01T00:00", "--queue", "web"))[
        "id"
    ]
    urgent = found(invoke("submit", "backup", "--json", "--priority", "high"))["id"]
    after = found(invoke("submit", "backup", "--json", "--after", first))["id"]

    assert declared.job(due).due_at == datetime(2099, 1, 1, tzinfo=UTC)
    assert declared.job(due).queue == "web"
    assert declared.job(urgent).priority is Priority.HIGH
    assert declared.state(after) is JobState.BLOCKED


def test_a_known_key_gives_the_first_job_back(invoke: Invoke, declared: Store) -> None:
    first = found(invoke("submit", "backup", "--key", "today", "--json"))
    second = found(invoke("submit", "backup", "--key", "today", "--json"))

    assert second == {"id": first["id"], "task": "backup", "state": None}


def test_a_wrong_task_or_parameter_makes_no_job(invoke: Invoke, declared: Store) -> None:
    cases = {
        ("bakcup",): ("no task 'bakcup'", 3),
        ("backup", "dya=2026-11-21"): ("dya", 2),
        ("backup", "day=soon"): ("must be a date", 2),
        ("backup", "day"): ("cannot read the parameter 'day'", 2),
        ("backup", "day=1", "day=2"): ("parameter 'day' is given twice", 2),
        ("backup", "--in", "soon"): ("'soon' is not a duration", 2),
        ("backup", "--at", "soon"): ("cannot read the instant 'soon'", 2),
        (): ("which task?", 2),
    }

    for args, (message, code) in cases.items():
        outcome = invoke("submit", *args)
        assert message in outcome.stderr
        assert "\n  fix: " in outcome.stderr
        assert (outcome.stdout, outcome.code) == ("", code)
    assert declared.records() == {}


def test_a_batch_makes_a_job_for_each_line(invoke: Invoke, declared: Store, tmp_path: Path) -> None:
    lines = [
        {"task": "backup", "params": {"day": "2026-11-21"}, "key": "k"},
        {"task": "backup", "in": "5m", "priority": "high"},
        {"task": "backup", "at": "2099-01-01T00:00:00Z", "queue": "web"},
    ]
    text = "\n\n".join(json.dumps(line) for line in lines)
    (tmp_path / "jobs.jsonl").write_text(text)

    made = found(invoke("submit", "--batch", "jobs.jsonl", "--json"))
    again = invoke("submit", "--batch", "-", stdin=json.dumps(lines[0]))

    jobs = [declared.job(each["id"]) for each in made]
    assert [job.state for job in jobs] == ["queued", "scheduled", "scheduled"]
    assert jobs[1].priority is Priority.HIGH
    assert jobs[2].queue == "web"
    assert again.stdout == f"{made[0]['id']}\n"


def test_a_bad_line_of_a_batch_is_told_and_nothing_is_made(invoke: Invoke, declared: Store) -> None:
    good = '{"task": "backup"}\n'
    for bad, message in {
        "{": "stdin:2: ",
        '{"taks": "backup"}': "stdin:2: ",
        '{"task": "backup", "queu": "web"}': "fix: rename it to 'queue'",
        '{"task": "backup", "in": "soon"}': "'soon' is not a duration",
        '{"task": "backup", "at": "2099-01-01T00:00:00"}': "stdin:2: ",
        '{"task": "backup", "priority": "urgent"}': "stdin:2: ",
    }.items():
        outcome = invoke("submit", "--batch", "-", stdin=good + bad)
        assert message in outcome.stderr
        assert (outcome.stdout, outcome.code) == ("", 2)
    assert declared.records() == {}


def test_a_batch_takes_no_options_of_single_jobs(invoke: Invoke, declared: Store) -> None:
    assert invoke("submit", "backup", "--batch", "-").code == 2
    assert invoke("submit", "--batch", "-", "--wait").code == 2
    assert invoke("submit", "--batch", "missing.jsonl").stderr.startswith(
        "error: cannot read the batch missing.jsonl: "
    )


def test_submit_and_wait_exits_with_the_jobs_result(
    invoke: Invoke, declared: Store, address: StoreAddress
) -> None:
    with finishing(address, JobState.COMPLETED):
        good = invoke("submit", "backup", "--wait")
        as_json = invoke("submit", "backup", "--wait", "--json")
    with finishing(address, JobState.FAILED):
        bad = invoke("submit", "backup", "--follow")

    job_id = good.stdout.strip()
    assert good.stderr.startswith(f"{job_id} completed after ")
    assert good.code == 0
    assert json.loads(as_json.stdout)["state"] == "completed"
    assert "failed after" in bad.stderr
    assert (bad.stdout, bad.code) == ("", 1)


def test_wait_exits_with_the_result_of_all(invoke: Invoke, declared: Store) -> None:
    good, bad = declared.finished(), declared.finished(JobState.FAILED)

    assert invoke("wait", good).code == 0
    assert invoke("wait", good, bad).code == 1
    assert [job["id"] for job in json.loads(invoke("wait", bad, good, "--json").stdout)] == [
        bad,
        good,
    ]


def test_wait_gives_up_after_its_timeout_and_the_job_goes_on(
    invoke: Invoke, declared: Store
) -> None:
    job_id = declared.submit()

    outcome = invoke("wait", job_id, "--timeout", "50ms")

    assert "had not ended after" in outcome.stderr
    assert (outcome.stdout, outcome.code) == ("", 6)
    assert declared.state(job_id) is JobState.QUEUED


def test_cancel_returns_when_the_jobs_have_stopped(invoke: Invoke, declared: Store) -> None:
    waiting, delayed = declared.submit(), declared.submit(delay=timedelta(hours=1))

    cancelled = found(invoke("cancel", waiting, delayed, "--json"))

    assert [(job["id"], job["state"]) for job in cancelled] == [
        (waiting, "cancelled"),
        (delayed, "cancelled"),
    ]


def test_an_ended_job_cannot_be_cancelled(invoke: Invoke, declared: Store) -> None:
    done = declared.finished()

    outcome = invoke("cancel", done)

    assert outcome.stderr.startswith(f"error: cannot cancel job {done}: it completed at ")
    assert (outcome.stdout, outcome.code) == ("", 5)


def test_exec_needs_the_manifests_permission(invoke: Invoke, declared: Store) -> None:
    refused = invoke("exec", "--", "echo", "-n", "hi")

    assert refused.stderr.startswith("error: ad-hoc commands are not allowed here\n")
    assert (refused.stdout, refused.code) == ("", 5)


def test_exec_submits_the_words_as_they_are(invoke: Invoke, declared: Store) -> None:
    task = PublishedTask(ADHOC_TASK, "command", params=[ParamSpec("command", ParamType.ANY)])
    declared.run(publish(declared.keys, Published({ADHOC_TASK: task}, {}, allows_adhoc=True)))

    for args in (("exec", "--json", "--"), ("exec", "--json")):
        submitted = found(invoke(*args, "echo", "-n", "--json", "a b"))
        job = declared.job(submitted["id"])
        assert (job.task, job.state) == (ADHOC_TASK, JobState.QUEUED)
        assert job.arguments == {"command": ["echo", "-n", "--json", "a b"]}


def test_a_value_that_would_be_an_option_makes_no_job(invoke: Invoke, store: Store) -> None:
    param = ParamSpec("file", refuses_dash=True, copies=2)
    store.run(
        publish(store.keys, Published({"rm": PublishedTask("rm", "command", params=[param])}, {}))
    )

    outcome = invoke("submit", "rm", "file=-rf")
    batch = invoke("submit", "--batch", "-", stdin='{"task": "rm", "params": {"file": "-rf"}}\n')
    good = invoke("submit", "rm", "file=a-b")

    assert "parameter 'file' of task 'rm' must not begin with '-', and '-rf' does" in outcome.stderr
    assert (outcome.code, batch.code, good.code) == (2, 2, 0)


def test_a_value_that_no_process_can_be_given_makes_no_job(invoke: Invoke, store: Store) -> None:
    task = PublishedTask("big", "command", params=[ParamSpec("blob", copies=1)])
    store.run(publish(store.keys, Published({"big": task}, {})))
    line = json.dumps({"task": "big", "params": {"blob": "x" * 140_000}})

    outcome = invoke("submit", "--batch", "-", stdin=line + "\n")

    assert outcome.code == 2
    assert "must have at most 131066 bytes, not 140000" in outcome.stderr


@pytest.mark.parametrize("token", ["s3cret-token", "short"])
def test_a_key_that_holds_a_secret_is_refused_and_not_repeated(
    invoke: Invoke, declared: Store, token: str
) -> None:
    outcome = invoke("submit", "backup", f"token={token}", "--key", f"once-{token}")

    if token == "short":
        assert outcome.code == 0
        return
    assert outcome.code == 2
    assert "holds the value of its secret parameter 'token'" in outcome.stderr
    assert token not in outcome.stderr
