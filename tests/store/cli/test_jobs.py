"""Commands about jobs: list, show, history, logs, delete, retry."""

import json
import subprocess
import sys
import threading
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from jobrunner import message
from jobrunner.cli.logs import WAIT_MS
from jobrunner.message import Message
from jobrunner.model import JobState
from jobrunner.store.address import StoreAddress
from jobrunner.store.connection import StoreConnection
from jobrunner.store.logs import Append, Chunk, append_chunks
from tests.store.factories import Store
from tests.unit.cli.conftest import Invoke, Outcome


def found(outcome: Outcome) -> Any:
    assert (outcome.stderr, outcome.code) == ("", 0)
    return json.loads(outcome.stdout)


def write_lines(store: Store, job_id: str, *texts: str) -> None:
    lines = [(1000 + number, "o", text) for number, text in enumerate(texts)]
    size = sum(len(text) + 1 for text in texts)
    chunk = Chunk(1, "1", 0, 0, size, lines, end=True)
    store.run(append_chunks(store.keys, [Append(job_id, chunk)], timedelta(days=1)))


def test_list_shows_the_newest_jobs_first_and_filters_them(invoke: Invoke, store: Store) -> None:
    failed = store.finished(JobState.FAILED)
    done = store.finished()
    other = store.submit(task="other")

    assert {job["id"] for job in found(invoke("list", "--json"))} == {failed, done, other}
    assert [job["id"] for job in found(invoke("list", "--json", "--state", "failed"))] == [failed]
    assert [job["id"] for job in found(invoke("list", "--json", "--task", "other"))] == [other]
    assert len(found(invoke("list", "--json", "--limit", "1"))) == 1


def test_list_is_a_table_for_people(invoke: Invoke, store: Store) -> None:
    job_id = store.submit()

    outcome = invoke("list")

    assert outcome.stdout.splitlines()[0].split()[:3] == ["ID", "TASK", "STATE"]
    assert outcome.stdout.splitlines()[1].split()[:3] == [job_id, "demo", "queued"]
    assert (outcome.stderr, outcome.code) == ("", 0)


def test_since_takes_a_duration_or_an_instant(invoke: Invoke, store: Store) -> None:
    store.finished()

    assert found(invoke("list", "--json", "--since", "2099-01-01T00:00:00Z")) == []
    assert len(found(invoke("list", "--json", "--since", "36500d"))) == 1
    assert invoke("list", "--since", "soon").code == 2


def test_since_tells_what_is_wrong_with_a_duration(invoke: Invoke, store: Store) -> None:
    store.submit()

    outcome = invoke("list", "--since", "1000000d")

    assert outcome.stderr == (
        "error: the duration '1000000d' is too long\n"
        "  why: the longest is 36500d\n"
        "  fix: leave the option out for jobs of any age\n"
    )
    assert (outcome.stdout, outcome.code) == ("", 2)


def test_show_finds_a_job_by_id_prefix_and_last(invoke: Invoke, store: Store) -> None:
    job_id = store.submit(id="k3f9x2mq7pab")

    for text in (job_id, "k3f9", "@last", "@last:demo"):
        assert found(invoke("show", text, "--json"))["id"] == job_id
    assert "state      queued\n" in invoke("show", job_id).stdout


def test_an_unknown_job_is_not_found(invoke: Invoke, store: Store) -> None:
    outcome = invoke("show", "nothing")

    assert outcome.stderr.startswith("error: no job 'nothing'\n  why: ")
    assert (outcome.stdout, outcome.code) == ("", 3)


def test_show_masks_secret_parameters(invoke: Invoke, declared: Store) -> None:
    text = message.encode(Message("backup", {"day": "2026-11-21", "token": "s3cret"}))
    job_id = declared.submit(task="backup", message=text)

    outcome = invoke("show", job_id)

    assert "arguments  day=2026-11-21 token=***" in outcome.stdout
    assert "s3cret" not in outcome.stdout


def test_history_shows_finished_jobs_of_a_task(invoke: Invoke, declared: Store) -> None:
    done = declared.finished(task="backup")
    declared.submit(task="backup")

    assert [job["id"] for job in found(invoke("history", "backup", "--json"))] == [done]


def test_the_history_of_a_task_that_does_not_exist_suggests_the_nearest(
    invoke: Invoke, declared: Store
) -> None:
    outcome = invoke("history", "bakcup")

    assert outcome.stderr == (
        "error: no task 'bakcup'\n  why: the tasks are backup\n  fix: did you mean 'backup'?\n"
    )
    assert (outcome.stdout, outcome.code) == ("", 3)


def test_logs_print_what_the_job_wrote(invoke: Invoke, store: Store) -> None:
    job_id = store.finished()
    write_lines(store, job_id, "one", "two", "three")

    assert invoke("logs", job_id).stdout == "one\ntwo\nthree\n"
    assert invoke("logs", job_id, "--tail", "1").stdout == "three\n"
    assert invoke("logs", job_id, "--times").stdout.startswith("00:00:01.000 one\n")
    assert invoke("logs", job_id, "-f").stdout == "one\ntwo\nthree\n"


def test_logs_as_json_are_one_array(invoke: Invoke, store: Store) -> None:
    job_id, silent = store.finished(), store.finished()
    write_lines(store, job_id, "one", "two")

    for args in (("logs", job_id, "--json"), ("logs", job_id, "--json", "-f")):
        lines = found(invoke(*args))
        assert [line["text"] for line in lines] == ["one", "two"]
        assert lines[0] == {
            "at": "1970-01-01T00:00:01Z",
            "stream": "stdout",
            "attempt": 1,
            "text": "one",
        }
    assert found(invoke("logs", silent, "--json")) == []


def test_following_shows_lines_as_they_come_and_ends_with_the_job(
    invoke: Invoke, store: Store, address: StoreAddress
) -> None:
    entry = store.running()

    def work() -> None:
        with StoreConnection(address) as connection:
            beside = Store(store.keys, connection)
            write_lines(beside, entry.job_id, "one", "two")
            beside.finish(entry)

    # Later than one wait for output: being silent for so long is no end.
    worker = threading.Timer(WAIT_MS / 1000 + 0.2, work)
    worker.start()
    outcome = invoke("logs", entry.job_id, "--follow")
    worker.join()

    assert outcome.stdout == "one\ntwo\n"
    assert (outcome.stderr, outcome.code) == ("", 0)


def test_a_silent_job_that_ends_is_not_followed_for_ever(invoke: Invoke, store: Store) -> None:
    assert invoke("logs", store.finished(), "--follow").stdout == ""


@pytest.mark.parametrize(
    "args", [("list", "--json"), ("submit", "backup"), ("show", "@last", "--json")]
)
def test_fast_commands_load_nothing_heavy(
    declared: Store, address: StoreAddress, tmp_path: Path, args: tuple[str, ...]
) -> None:
    declared.submit(task="backup")
    manifest = tmp_path / "jobs.yaml"
    manifest.write_text(f"name: {address.name}\nstore: {{url: 'unix://{address.socket}'}}\n")
    heavy = ("taskiq", "pydantic", "croniter", "redis", "rich", "uvloop", "asyncio")
    code = (
        "import sys; from jobrunner.cli.app import run; "
        "from jobrunner.cli.context import CliContext; "
        f"code = run({(*args, '--file', str(manifest))!r}, CliContext()); "
        f"print(code, [name for name in {heavy!r} if name in sys.modules])"
    )

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout.splitlines()[-1] == "0 []"


def test_delete_removes_ended_jobs_only(invoke: Invoke, store: Store) -> None:
    done, live = store.finished(), store.submit()

    assert found(invoke("delete", done, "--json")) == [done]
    refused = invoke("delete", live)
    assert refused.stderr.startswith(f"error: cannot delete job {live}: it is queued\n")
    assert (refused.stdout, refused.code) == ("", 5)
    assert invoke("show", done).code == 3


def test_retry_queues_ended_jobs_again(invoke: Invoke, store: Store) -> None:
    first, second = (store.finished(JobState.FAILED) for _ in range(2))
    live = store.submit()

    assert found(invoke("retry", first, "--json")) == [
        {"id": first, "task": "demo", "state": "queued"}
    ]
    assert [job["id"] for job in found(invoke("retry", "--failed", "--json"))] == [second]
    assert store.state(first) == store.state(second) == JobState.QUEUED
    assert invoke("retry", live).code == 5
    assert invoke("retry", "--failed").stderr == "no failed jobs\n"


def test_retry_wants_ids_or_failed(invoke: Invoke, store: Store) -> None:
    for args in ((), ("x", "--failed"), ("x", "--task", "demo")):
        outcome = invoke("retry", *args)
        assert outcome.stderr.startswith("error: give either ids or --failed\n")
        assert (outcome.stdout, outcome.code) == ("", 2)


@pytest.mark.parametrize("command", ["delete", "retry", "cancel"])
def test_a_job_that_refuses_does_not_keep_the_others_from_being_done(
    invoke: Invoke, store: Store, command: str
) -> None:
    ended = [store.finished(), store.finished()]
    live = [store.submit(), store.submit()]
    bad, good = (ended, live[0]) if command == "cancel" else (live, ended[0])

    outcome = invoke(command, bad[0], good, bad[1], "--json")

    assert len(json.loads(outcome.stdout)) == 1
    assert all(f"job {job_id}: it " in outcome.stderr for job_id in bad)
    assert good not in outcome.stderr
    assert outcome.code == 5


def test_show_masks_what_was_secret_when_the_job_was_made(invoke: Invoke, declared: Store) -> None:
    for task in ("backup", "gone"):
        arguments = {"day": "s3cret", "token": "s3cret"}
        text = message.encode(Message(task, arguments, secrets=["day"]))
        job_id = declared.submit(task=task, message=text)

        outcome = invoke("show", job_id)

        token = "***" if task == "backup" else "s3cret"  # the manifest of now calls it so
        assert f"arguments  day=*** token={token}" in outcome.stdout


def test_show_masks_all_arguments_of_a_task_that_is_gone_where_nobody_said_what_is_secret(
    invoke: Invoke, declared: Store
) -> None:
    text = message.encode(Message("gone", {"day": "x", "token": "s3cret"}))
    job_id = declared.submit(task="gone", message=text)

    assert "arguments  day=*** token=***" in invoke("show", job_id).stdout
