"""Whatever others wrote into jobs, names and arguments: no command sends it to a terminal raw."""

import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

from jobrunner import cli, message
from jobrunner.cli.foreign import output_line
from jobrunner.cli.registry import all_commands
from jobrunner.message import Message
from jobrunner.model import JobError, JobState, Reason
from jobrunner.params import ParamSpec
from jobrunner.store.attempts import HeldLock
from jobrunner.store.crons import fire_id
from jobrunner.store.leases import DaemonEntry, announce, enlist
from jobrunner.store.logs import Append, Chunk, append_chunks
from jobrunner.store.published import Published, PublishedCron, PublishedTask, publish
from tests.store.factories import Store, a_worker, minutes
from tests.unit.cli.conftest import NOW, Invoke, Outcome

# Clears the screen, sets the title, colours (also by C1), rings, overwrites, turns the direction.
HOSTILE = "x\x1b[2J\x1b]0;t\x07\x1b[35m\x9b35m\r\x7f\u202e\u2066\u200b[bold]\U000e0041z\nstate done"
HARMFUL = re.compile(
    "[\0-\x08\x0b-\x1f\x7f-\x9f\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\U000e0041]"
)
OURS = re.compile("\x1b\\[(?!35m)[0-9;]*m|\x1b\\[\\?25[hl]|\r\x1b\\[K")
CLI = Path(cli.__file__).parent
JOB = "hostile"
FIRE = datetime(2026, 11, 20, tzinfo=UTC)

# By command: the lines to try. All have their hostile twin, whose names are given by the caller.
LINES = {
    "list": ["list"],
    "show": [f"show {JOB}", "show {hostile}"],
    "why": [f"why {JOB}", "why waiting", "why skipped", "why locked", "why {hostile}"],
    "history": ["history {hostile}", "history none{hostile}"],
    "wait": [f"wait {JOB}", "wait none{hostile}"],
    "cancel": ["cancel queued", f"cancel {JOB}", "cancel {hostile}"],
    "retry": [f"retry {JOB}", "retry none{hostile}", "retry --failed --task {hostile}"],
    "delete": [f"delete {JOB}", "delete none{hostile}"],
    "crons": ["crons"],
    "pause": ["pause {hostile}", "pause none{hostile}"],
    "resume": ["resume {hostile}"],
    "backfill": ["backfill {hostile} --from 2026-11-19 --dry-run", "backfill {hostile} --from x"],
    "trigger": ["trigger {hostile}", "trigger none{hostile}"],
    "status": ["status", f"status {JOB}"],
    "stats": ["stats"],
    "workers": ["workers"],
    "locks": ["locks", "locks --break {hostile} --yes", "locks --break none{hostile} --yes"],
    "queues": ["queues"],
    "doctor": ["doctor"],
    "submit": [
        "submit {hostile} {hostile}",
        "submit none{hostile}",
        "submit {hostile} p={hostile}",
        "submit {hostile} {hostile}=1",
        "submit {hostile} p=no",
        "submit {hostile} --at {hostile}",
        "submit {hostile} --after {hostile}",
    ],
    "exec": ["exec -- {hostile}"],
    "next": ["next {hostile}", "next --expr {hostile}", "next --expr @daily --tz {hostile}"],
    "validate": ["validate -f {hostile}", "validate"],
    "reload": ["reload"],
    "stop": ["stop --timeout 1ms", "stop --timeout {hostile}"],
}
# `logs` has its own rule; the others print what we wrote, or act on the machine.
ELSEWHERE = {"logs", "init", "schema", "run", "systemd", "completion", "bench", "chaos"}


@pytest.fixture
def hostile(store: Store) -> Iterator[Store]:
    """A namespace in which every text is hostile that somebody else could have written."""
    task = PublishedTask(
        HOSTILE,
        "command",
        description=HOSTILE,
        params=[ParamSpec("p", description=HOSTILE, required=False, choices=[HOSTILE, "ok"])],
        queue="web",
    )
    cron = PublishedCron(HOSTILE, HOSTILE, "0 0 * * *", HOSTILE, description=HOSTILE)
    store.run(publish(store.keys, Published({HOSTILE: task}, {HOSTILE: cron})))
    store.run(enlist(store.keys, replace(a_worker(HOSTILE), host=HOSTILE, queues=[HOSTILE])))
    daemon = DaemonEntry("d1", HOSTILE, 1, HOSTILE, HOSTILE, NOW, 1, HOSTILE)
    store.run(announce(store.keys, daemon))
    arguments = message.encode(Message(HOSTILE, {"p": HOSTILE, HOSTILE: [HOSTILE]}, secrets=[]))
    made: dict[str, Any] = {"task": HOSTILE, "message": arguments}
    error = JobError(HOSTILE, HOSTILE, traceback=HOSTILE)
    entry = store.running(id=JOB, key=HOSTILE, cron=HOSTILE, **made)
    store.finish(
        entry,
        JobState.FAILED,
        task=HOSTILE,
        reason=Reason.ERROR,
        error=msgspec.json.encode(error),
        result=msgspec.json.encode({HOSTILE: HOSTILE}),
        detail=HOSTILE,
    )
    store.command("HSET", store.keys.job(JOB), "progress", msgspec.json.encode(HOSTILE))
    for job_id, state in (("skipped", JobState.SKIPPED), ("locked", JobState.FAILED)):
        skipped = store.claimed(id=job_id, **made)
        store.finish(skipped, state, task=HOSTILE, reason=Reason.LOCKED, detail=HOSTILE)
    lock = HeldLock(HOSTILE, slots=1, ttl_ms=60_000, conflict="wait")
    store.running(lock=lock, id="holder", **made)
    store.blocked(lock, id="waiting", **made)
    store.finished(id=fire_id(HOSTILE, FIRE), cron=HOSTILE, **made)
    store.submit(id="queued", queue=HOSTILE, **made)
    lines = [(1, "o", HOSTILE.replace("\n", " "))]
    log = Append(JOB, Chunk(1, "1", 0, 0, 9, lines, end=True))
    store.run(append_chunks(store.keys, [log], minutes(1)))
    yield store
    # It is not made to fit together: that is not what these tests are about.
    store.command("DEL", *store.texts("KEYS", f"jr:{{{store.keys.name}}}:*"))


def words(line: str) -> list[str]:
    return [word.replace("{hostile}", HOSTILE) for word in line.split()]


def strings(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for key, item in value.items():
            yield key
            yield from strings(item)
    elif isinstance(value, list):
        for item in value:
            yield from strings(item)
    elif isinstance(value, str):
        yield value


def assert_harmless(outcome: Outcome) -> None:
    for text in (outcome.stdout, outcome.stderr):
        found = HARMFUL.search(OURS.sub("", text))
        assert found is None, f"{found} in {text!r}"
    assert "Traceback (most" not in outcome.stderr


def test_every_command_is_tried() -> None:
    assert {entry.name for entry in all_commands()} == set(LINES) | ELSEWHERE


@pytest.mark.parametrize("is_terminal", [False, True], ids=["pipe", "terminal"])
@pytest.mark.parametrize("line", [line for lines in LINES.values() for line in lines])
def test_no_command_prints_what_others_wrote_raw(
    invoke: Invoke, hostile: Store, line: str, is_terminal: bool
) -> None:
    assert_harmless(invoke(*words(line), terminal=is_terminal))


@pytest.mark.parametrize("is_terminal", [False, True], ids=["pipe", "terminal"])
@pytest.mark.parametrize("line", [line for lines in LINES.values() for line in lines])
def test_json_is_harmless_as_well(
    invoke: Invoke, hostile: Store, line: str, is_terminal: bool
) -> None:
    name, *rest = words(line)

    outcome = invoke(name, "--json", *rest, terminal=is_terminal)

    assert_harmless(outcome)
    if outcome.stdout:
        json.loads(outcome.stdout)


def test_json_keeps_the_value(invoke: Invoke, hostile: Store) -> None:
    [job] = json.loads(invoke("wait", JOB, "--json").stdout)
    [line] = json.loads(invoke("logs", JOB, "--json").stdout)
    tasks = json.loads(invoke("status", "--json").stdout)["tasks"]

    assert (job["error"]["message"], job["cron"], job["progress"]) == (HOSTILE,) * 3
    assert job["result"] == {HOSTILE: HOSTILE}
    assert line["text"] == HOSTILE.replace("\n", " ")
    assert (HOSTILE, HOSTILE) in [(task["name"], task["description"]) for task in tasks]


def test_what_was_escaped_can_be_read(invoke: Invoke, hostile: Store) -> None:
    shown = invoke("show", JOB).stdout

    assert r"x\x1b[2J\x1b]0;t\x07\x1b[35m\x9b35m\r\x7f\u202e\u2066\u200b[bold]\U000e0041z" in shown


def test_a_name_with_a_line_end_makes_no_line_of_its_own(invoke: Invoke, hostile: Store) -> None:
    tables = ("list", "status", "crons", "locks", "queues", "workers")
    for command in (*tables, "wait skipped", "why skipped", "why waiting"):
        lines = invoke(*command.split()).stdout.splitlines()

        assert not [line for line in lines if line.lstrip().startswith("state done")]


def test_logs_give_a_pipe_what_was_written_and_a_terminal_its_colours(
    invoke: Invoke, hostile: Store
) -> None:
    written = HOSTILE.replace("\n", " ")
    plain = {"TERM": "xterm", "NO_COLOR": "1"}

    assert invoke("logs", JOB).stdout == f"{written}\n"
    on_terminal = invoke("logs", JOB, terminal=True).stdout
    assert on_terminal.startswith("x\\x1b[2J\\x1b]0;t\\x07\x1b[35m\\x9b35m\\r\\x7f\\u202e")
    assert on_terminal.endswith("state done\x1b[0m\n")
    assert HARMFUL.search(invoke("logs", JOB, terminal=True, environ=plain).stdout) is None


@pytest.mark.parametrize(
    ("written", "shown"),
    [
        ("plain\ttext", "plain\ttext"),
        ("\x1b[1;31mred\x1b[0m", "\x1b[1;31mred\x1b[0m\x1b[0m"),
        ("\x1b[38:5:1mred", "\x1b[38:5:1mred\x1b[0m"),
        ("\x1b[1;31Hmoved", "\\x1b[1;31Hmoved"),
        ("\x1b]8;;https://x\x1b\\link", "\\x1b]8;;https://x\\x1b\\link"),
        ("日本\u3000\xa0👩\u200d🔬 \ue0b0", "日本\u3000\xa0👩\u200d🔬 \ue0b0"),
    ],
)
def test_a_terminal_gets_the_colours_of_a_line_and_nothing_else_that_it_obeys(
    written: str, shown: str
) -> None:
    assert output_line(written, has_colours=True) == shown


def test_our_own_colours_reach_a_terminal(invoke: Invoke, store: Store, tmp_path: Path) -> None:
    manifest = tmp_path / "colours.yaml"
    manifest.write_text("tasks: {a: {comand: x}}\n")

    refused = invoke("validate", "-f", str(manifest), terminal=True)
    listed = invoke("doctor", terminal=True)

    assert "\x1b[1;31merror:\x1b[0m" in refused.stderr
    assert re.search("\x1b\\[[0-9;]+m(ok|warning|problem)", listed.stdout)


def test_only_what_escapes_writes_to_the_streams() -> None:
    allowed = {"context.py", "logs.py", "backfill.py"}  # the last two: our own signs and JSON
    direct = re.compile(r"std(out|err)\.write\(|(?<![.\w])print\(|json\.dumps\(|typer\.echo\(")

    found = {path.name for path in CLI.glob("*.py") if direct.search(path.read_text())}

    assert found - allowed == {"foreign.py"}
