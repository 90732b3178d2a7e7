"""Whatever the command line, a command does its work or says what is wrong."""

import json
from pathlib import Path

import pytest
from hypothesis import event, given
from hypothesis import strategies as st

from jobrunner.errors import ExitCode
from jobrunner.store.address import StoreAddress
from tests.fuzz.command_lines import WAITING, batches, command_lines, odd_beginnings
from tests.fuzz.extent import tries
from tests.fuzz.manifests import damaged_texts
from tests.fuzz.namespaces import declared_store
from tests.unit.cli.conftest import Invoke, Outcome, make_invoke

TELLS_A_FIX = (ExitCode.USAGE, ExitCode.NOT_FOUND, ExitCode.REFUSED)
MANIFEST = """\
name: "{name}"
store: {{url: 'unix://{socket}'}}
adhoc: true
tasks: {{backup: {{command: [echo, "{{day}}"], params: {{day: {{type: date, default: today}}}}}}}}
crons: {{nightly: {{task: backup, cron: "0 2 * * *", timezone: Europe/Berlin}}}}
"""


def check_outcome(args: list[str], outcome: Outcome) -> None:
    assert "this is a bug" not in outcome.stderr, outcome.stderr
    assert "--debug" in args or "Traceback" not in outcome.stderr, outcome.stderr
    assert outcome.code in set(ExitCode), (args, outcome)
    is_help = any(word in args for word in ("--help", "--version", "completion"))
    if "--json" in args and not is_help and outcome.stdout:
        json.loads(outcome.stdout)
    if outcome.code in TELLS_A_FIX and not outcome.stdout:
        assert "error: " in outcome.stderr, (args, outcome)
        assert "fix: " in outcome.stderr, (args, outcome)


@pytest.fixture
def invoke(tmp_path: Path) -> Invoke:
    return make_invoke(tmp_path)


@tries(250, 6_000)
@given(args=command_lines | odd_beginnings)
def test_any_command_line_is_answered(
    tmp_path: Path, invoke: Invoke, store_socket: str, args: list[str]
) -> None:
    is_waiting = not WAITING.isdisjoint(args)
    with declared_store(StoreAddress("fuzz", socket=store_socket), is_ended=is_waiting) as store:
        manifest = MANIFEST.format(name=store.keys.name, socket=store_socket)
        (tmp_path / "jobs.yaml").write_text(manifest)

        outcome = invoke(*args)

    event(f"exit code {outcome.code}")
    check_outcome(args, outcome)


@pytest.mark.parametrize(
    "line",
    [
        "list --limit 99999999999999999999",
        "history backup --limit 99999999999999999999",
        "submit backup --at 9999-12-31T23:59:59-14:00",
        "submit backup --at 0001-01-01T00:00:00+14:00",
        "list --since 0001-01-01T00:00:00+14:00",
        "next nightly --from 0001-01-01T00:00:00+14:00",
        "backfill nightly --from 9999-12-31T23:59:59-14:00",
        f"list --file {'x' * 5000}",
        "submit \udcff",
        "run --file /nonexistent/jobs.yaml",
        "run --limit 5",
    ],
)
def test_a_value_out_of_any_range_is_refused(
    tmp_path: Path, invoke: Invoke, store_socket: str, line: str
) -> None:
    with declared_store(StoreAddress("fuzz", socket=store_socket), is_ended=True) as store:
        manifest = MANIFEST.format(name=store.keys.name, socket=store_socket)
        (tmp_path / "jobs.yaml").write_text(manifest)

        outcome = invoke(*line.split())

    assert outcome.code == ExitCode.USAGE
    check_outcome(line.split(), outcome)


@tries(60, 1_000)
@given(args=command_lines | odd_beginnings, manifest=st.none() | damaged_texts())
def test_any_command_line_is_answered_without_a_store(
    tmp_path: Path, invoke: Invoke, args: list[str], manifest: str | None
) -> None:
    path = tmp_path / "jobs.yaml"
    path.unlink(missing_ok=True)
    if manifest is not None:
        path.write_bytes(manifest.encode("utf-8", "replace"))

    outcome = invoke(*args, environ={"XDG_STATE_HOME": str(tmp_path / "state")})

    check_outcome(args, outcome)


@tries(60, 2_000)
@given(batch=batches, is_file=st.booleans(), is_json=st.booleans())
def test_any_batch_is_submitted_as_a_whole_or_refused_with_its_line(
    tmp_path: Path, invoke: Invoke, store_socket: str, batch: str, is_file: bool, is_json: bool
) -> None:
    source = tmp_path / "batch"
    source.write_text(batch, newline="")
    args = ["submit", "--batch", "batch" if is_file else "-", *(["--json"] * is_json)]
    with declared_store(StoreAddress("fuzz", socket=store_socket), is_ended=True) as store:
        (tmp_path / "jobs.yaml").write_text(
            MANIFEST.format(name=store.keys.name, socket=store_socket)
        )

        outcome = invoke(*args, stdin=batch)
        jobs = int(store.command("HLEN", store.keys.last_job()))

    event(f"exit code {outcome.code}")
    check_outcome(args, outcome)
    assert (outcome.code == ExitCode.DONE) or jobs == 0, (batch, outcome)


@tries(25, 1_000)
@given(text=damaged_texts(), is_json=st.booleans())
def test_validate_says_yes_or_no(tmp_path: Path, invoke: Invoke, text: str, is_json: bool) -> None:
    (tmp_path / "jobs.yaml").write_bytes(text.encode("utf-8", "replace"))

    outcome = invoke("validate", *(["--json"] * is_json), environ={"X": "x"})

    event(f"exit code {outcome.code}")
    assert outcome.code in (ExitCode.DONE, ExitCode.USAGE)
    check_outcome(["validate", *(["--json"] * is_json)], outcome)
