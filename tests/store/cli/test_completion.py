"""What TAB offers: names and ids from the store; and what it inserts, in a real bash."""

import os
import socket
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from msgspec import structs

from jobrunner.store.address import StoreAddress
from jobrunner.store.published import Published, PublishedTask, publish
from tests.store.cli.explaining import NIGHTLY, serve
from tests.store.cli.shells import Bash
from tests.store.factories import A_LOCK, Store
from tests.store.odd_servers import unix_server
from tests.unit.cli.conftest import Invoke

AT_20, AT_21 = "every@2026-11-21T16:20:00Z", "every@2026-11-21T16:21:00Z"

Offered = Callable[[str], list[str]]


@pytest.fixture
def offered(invoke: Invoke) -> Offered:
    """What is offered at the end of a line, of which bash would replace the last word."""

    def ask(line: str) -> list[str]:
        complete = {"_JOBRUNNER_COMPLETE": "complete_bash", "_JOBRUNNER_LINE": line}
        outcome = invoke(environ={**complete, "_JOBRUNNER_WORD": line.rpartition(" ")[2]})
        assert (outcome.stderr, outcome.code) == ("", 0)
        return outcome.stdout.split()

    return ask


@pytest.fixture
def bash(tmp_path: Path, invoke: Invoke, address: StoreAddress) -> Iterator[Bash]:
    """A shell that has read our script, on a store with two jobs of a cron."""
    script = invoke("completion", "bash").stdout
    command = tmp_path / "bin" / "jobrunner"
    command.parent.mkdir()
    command.write_text(f"#!/bin/sh\nexec '{sys.executable}' -m jobrunner \"$@\"\n")
    command.chmod(0o755)
    environ = {
        **os.environ,
        "PATH": f"{command.parent}:{os.environ['PATH']}",
        "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
        "JOBRUNNER_FILE": str(tmp_path / "jobs.yaml"),
    }
    shell = Bash(tmp_path, script, environ)
    yield shell
    shell.close()


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("jobrunner st", ["stop", "status", "stats"]),
        ("jobrunner submit ba", ["backup"]),
        ("jobrunner stats ba", ["backup"]),
        ("jobrunner pause ni", ["nightly"]),
        ("jobrunner next ", ["nightly"]),
        ("jobrunner show k3", ["k3f9x2mq7pab"]),
        ("jobrunner list --sta", ["--state"]),
        ("jobrunner list --state fai", ["failed"]),
        ("jobrunner submit x --queue we", ["web"]),
        ("jobrunner -f missing.yaml submit ba", []),
    ],
)
def test_names_and_ids_come_from_the_store(
    declared: Store, offered: Offered, line: str, found: list[str]
) -> None:
    declared.submit(task="backup", id="k3f9x2mq7pab")

    assert offered(line) == found


def test_a_lock_that_is_held_can_be_broken(store: Store, offered: Offered) -> None:
    holder = store.running(lock=A_LOCK)
    store.running(lock=structs.replace(A_LOCK, name="repair"))

    assert offered("jobrunner locks --break ") == ["repair", "report"]
    assert offered("jobrunner locks --break repo") == ["report"]

    store.finish(holder, lock=A_LOCK)
    assert offered("jobrunner locks --break ") == ["repair"]


def test_crons_tasks_and_jobs_can_be_explained(store: Store, offered: Offered) -> None:
    serve(store, NIGHTLY)
    store.submit(id="other-job")

    assert offered("jobrunner why ") == ["demo", "other", "nightly", "@last", "other-job"]


@pytest.mark.parametrize("command", ["why", "show", "submit", "pause", "submit x --queue"])
def test_a_store_that_hangs_is_asked_once_and_not_for_long(
    invoke: Invoke, offered: Offered, tmp_path: Path, command: str
) -> None:
    url, asked = f"unix://{tmp_path}/hung?socket_timeout=60", []
    (tmp_path / "jobs.yaml").write_text(f"store: {{url: '{url}'}}\n")

    def hang(client: socket.socket) -> None:
        asked.append(client.recv(65536))
        client.recv(1)  # until it goes away

    began = time.monotonic()
    with unix_server(f"{tmp_path}/hung", hang):
        found = offered(f"jobrunner {command} ")

    assert (found, len(asked)) == (["@last"] if command in ("why", "show") else [], 1)
    assert time.monotonic() - began < 30


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("jobrunner submit ", []),
        ("jobrunner why ", ["@last"]),
        ("jobrunner list --limit many --state fai", ["failed"]),
        ("jobrunner submit --in nonsense ba", []),
        ("jobrunner show --file", ["--file"]),
        ("jobrunner show --file ", []),
        ("jobrunner list --state=nonsense --limit=x --sta", ["--state"]),
        ("jobrunner --file", ["--file"]),
        ("jobrunner --file=", []),
        ("jobrunner show --json=5 --d", ["--debug"]),
    ],
)
def test_what_goes_wrong_is_not_printed_into_the_line(
    store: Store, offered: Offered, line: str, found: list[str]
) -> None:
    store.command("SET", store.keys.manifest(), "not a hash")

    assert offered(line) == found

    store.command("DEL", store.keys.manifest())


def test_a_bug_is_not_printed_into_the_line_either(
    declared: Store, invoke: Invoke, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise TypeError("a bug")

    monkeypatch.setattr("jobrunner.cli.group.CommandGroup.shell_complete", broken)

    outcome = invoke(environ={"_JOBRUNNER_COMPLETE": "offers_fish", "_JOBRUNNER_LINE": "x "})

    assert (outcome.stdout, outcome.stderr, outcome.code) == ("", "", 1)


@pytest.mark.parametrize(
    "name",
    ["--file=/tmp/theirs.yaml", "two\nlines", "a\tb", "\x1b[2Jx", "\x9b2J", "\u202ex", "x" * 501],
)
def test_a_name_that_cannot_stand_in_a_line_is_not_offered(
    store: Store, offered: Offered, name: str
) -> None:
    store.running(lock=structs.replace(A_LOCK, name=name))
    store.running(lock=structs.replace(A_LOCK, name="good"))

    assert offered("jobrunner locks --break ") == ["good"]


def test_fish_is_offered_no_name_that_it_would_take_for_a_home(
    store: Store, invoke: Invoke
) -> None:
    for name in ("~root", "a~root"):
        store.running(lock=structs.replace(A_LOCK, name=name))
    line = "jobrunner locks --break "

    outcome = invoke(environ={"_JOBRUNNER_COMPLETE": "offers_fish", "_JOBRUNNER_LINE": line})

    assert [each.partition("\t")[0] for each in outcome.stdout.splitlines()] == ["a~root"]


def test_a_description_is_told_in_one_line_without_control_characters(
    store: Store, invoke: Invoke
) -> None:
    about = "Copy [/etc]\nto\x1b[31m " + "x" * 200
    store.run(publish(store.keys, Published({"a": PublishedTask("a", "shell", about)}, {})))

    outcome = invoke(
        environ={"_JOBRUNNER_COMPLETE": "offers_fish", "_JOBRUNNER_LINE": "jobrunner submit "}
    )

    assert outcome.stdout == f"a\tCopy [/etc] to?[31m {'x' * 60}\n"


@pytest.mark.parametrize(
    ("typing", "line"),
    [
        ("show @la\t", "show @last "),
        ("show ever\t", "show every@2026-11-21T16:2"),
        ("show ever\t0\t", f"show {AT_20} "),
        ("show every@\t", "show every@2026-11-21T16:2"),
        ("show every@2026-11-21T16:21\t", f"show {AT_21} "),
        ("show every@2026-11-21T16:20:\t", f"show {AT_20} "),
        (f"wait {AT_20} every@2026-11-21T16:21\t", f"wait {AT_20} {AT_21} "),
        ('show "every@2026-11-21T16:21\t', f'show "{AT_21}" '),
        ("show every\\@2026-11-21T16\\:21\t", f"show {AT_21} "),
        ("submit --priority=h\t", "submit --priority=high "),
        ("submit --priority h\t", "submit --priority high "),
        (f"submit --after={AT_20[:-4]}\t", f"submit --after={AT_20} "),
        ("--file=jobs.ya\t", "--file=jobs.yaml "),
    ],
)
def test_bash_inserts_what_is_missing(declared: Store, bash: Bash, typing: str, line: str) -> None:
    declared.submit(task="backup", id=AT_20)
    declared.submit(task="backup", id=AT_21)

    assert bash.typed(f"jobrunner {typing}") == f"jobrunner {line}"


def test_bash_completes_at_the_cursor_in_the_middle_of_a_line(declared: Store, bash: Bash) -> None:
    declared.submit(task="backup", id=AT_20)
    back = "\x02" * len(" --json")

    assert bash.typed(f"jobrunner show ever --json{back}\t") == f"jobrunner show {AT_20} --json"


def test_bash_that_splits_at_blanks_only_inserts_the_same(declared: Store, bash: Bash) -> None:
    declared.submit(task="backup", id=AT_20)
    blanks = "COMP_WORDBREAKS=$' \\t\\n'; "

    bash.typed(f"{blanks}\r")

    assert bash.typed("jobrunner show every@2\t") == f"jobrunner show {AT_20} "
    assert bash.typed("jobrunner submit --priority=h\t") == "jobrunner submit --priority=high "
