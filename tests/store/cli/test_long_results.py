"""Commands that show many jobs read no more of each than they show."""

import json

import pytest

from jobrunner import message
from jobrunner.message import Message
from jobrunner.model import JobState
from tests.store.factories import Store
from tests.unit.cli.conftest import Invoke

LONG = 200_000  # bytes


def sent_by_server(store: Store) -> int:
    """Bytes, since its start."""
    told = store.command("INFO", "stats").decode().splitlines()
    [line] = [line for line in told if line.startswith("total_net_output_bytes:")]
    return int(line.partition(":")[2])


@pytest.fixture
def ended(declared: Store) -> list[str]:
    """Jobs with long messages and results, a completed and a failed one."""
    text = message.encode(Message("backup", {"text": "m" * LONG}))
    result = json.dumps("r" * LONG).encode()
    entries = [declared.claimed(task="backup", message=text) for _ in range(2)]
    for entry, state in zip(entries, [JobState.COMPLETED, JobState.FAILED], strict=True):
        declared.finish(entry, state, task="backup", result=result)
    return [entry.job_id for entry in entries]


@pytest.mark.parametrize("line", ["list", "list --task backup", "status", "status --json", "crons"])
def test_messages_and_results_are_not_read_for_a_table(
    invoke: Invoke, declared: Store, ended: list[str], line: str
) -> None:
    before = sent_by_server(declared)

    outcome = invoke(*line.split())

    assert sent_by_server(declared) - before < LONG / 4
    assert ended[1] in outcome.stdout or line.split()[0] in ("status", "crons")


def test_of_all_failed_jobs_each_is_read_whole_only_when_it_is_retried(
    invoke: Invoke, declared: Store, ended: list[str]
) -> None:
    before = sent_by_server(declared)

    outcome = invoke("retry", "--failed")

    assert ended[1] in outcome.stdout
    assert sent_by_server(declared) - before < 3 * LONG  # its message and its result, once


def test_they_are_not_read_for_a_completion(
    invoke: Invoke,
    declared: Store,
    ended: list[str],
) -> None:
    before = sent_by_server(declared)

    line = "jobrunner show "
    outcome = invoke(environ={"_JOBRUNNER_COMPLETE": "complete_bash", "_JOBRUNNER_LINE": line})

    assert set(ended) <= set(outcome.stdout.split())
    assert sent_by_server(declared) - before < LONG / 4


def test_a_list_in_json_has_the_results(invoke: Invoke, ended: list[str]) -> None:
    jobs = json.loads(invoke("list", "--json").stdout)

    assert {job["id"]: len(job["result"]) for job in jobs} == dict.fromkeys(ended, LONG)
