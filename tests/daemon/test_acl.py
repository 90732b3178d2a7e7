"""The users of docs/acl.md: each does what its role is for, and reaches nothing else."""

import ast
import re
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

import jobrunner.store
from jobrunner.errors import NotPermitted
from jobrunner.model import JobState
from jobrunner.store.address import StoreAddress
from jobrunner.store.connection import StoreConnection
from jobrunner.store.requests import Command
from tests.daemon.harness import ExternalServer, Project

PACKAGE = Path(jobrunner.store.__file__).parent.parent
DOCUMENT = PACKAGE.parent / "docs" / "acl.md"
LINES = re.findall(r"^ACL SETUSER (shop-(\w+) .*)$", DOCUMENT.read_text(), re.MULTILINE)
EXTRA = "+scan +sscan +config|get"

MANIFEST = """
name: shop
store: {{url: "{url}"}}
workers: {{processes: 1}}
tasks:
  greet:
    shell: 'echo "hello $WHO"; echo "\\"$WHO\\"" > $JOBRUNNER_RESULT'
    params: {{who: {{}}}}
  fails: {{shell: 'exit 3', retry: {{attempts: 2, delay: 100ms}}}}
  locked: {{shell: 'sleep 0.3', lock: {{name: door, conflict: wait}}}}
crons:
  tick: {{task: locked, every: 1s, overlap: queue}}
"""


@dataclass
class Shop:
    """A project whose daemon is the daemon's user; programs of others have their own URL."""

    project: Project
    server: ExternalServer
    manifests: dict[str, Path]

    def url(self, role: str) -> str:
        socket = self.server.url.removeprefix("unix://")
        return f"unix://shop-{role}:{role.upper()}-PASSWORD@{socket}"

    def cli(self, role: str, *args: str) -> tuple[int, str]:
        done = self.project.cli("-f", str(self.manifests[role]), *args)
        assert "Traceback" not in done.err
        return done.code, done.out + done.err

    def connection(self, role: str) -> StoreConnection:
        return StoreConnection(StoreAddress("shop", url=self.url(role)))


@pytest.fixture(scope="module")
def shop() -> Iterator[Shop]:
    with ExitStack() as stack:
        server = ExternalServer()
        stack.callback(server.close)
        with StoreConnection(StoreAddress("", url=server.url)) as admin:
            for line, _ in LINES:
                admin.execute(Command(("ACL", "SETUSER", *line.split())))
        project = stack.enter_context(Project("name: shop"))
        made = Shop(project, server, {})
        for _, role in LINES:
            made.manifests[role] = project.folder / f"{role}.yaml"
            made.manifests[role].write_text(MANIFEST.format(url=made.url(role)))
        project.manifest.write_text(MANIFEST.format(url=made.url("daemon")))
        project.start()
        yield made


def test_the_document_has_a_user_for_each_role() -> None:
    assert [role for _, role in LINES] == ["daemon", "submitter", "reader"]
    assert EXTRA in DOCUMENT.read_text()


def test_the_daemon_serves_with_its_rights(shop: Shop) -> None:
    project = shop.project
    greeted = project.ended(project.submit("greet", {"who": "you"}))
    failed = project.ended(project.submit("fails"))
    locked = [project.submit("locked") for _ in range(3)]
    delayed = project.submit("greet", {"who": "later"}, delay="300ms")
    after = project.submit("greet", {"who": "then"}, after=greeted.id)

    ends = project.all_ended([*locked, delayed, after])

    assert greeted.result == "you"
    assert (failed.state, failed.attempt) == (JobState.FAILED, 2)
    assert [job.state for job in ends] == [JobState.COMPLETED] * 5
    for command in (
        ("pause", "tick"),
        ("resume", "tick"),
        ("retry", failed.id),
        ("status",),
        ("reload",),
        ("stats",),
    ):
        code, told = shop.cli("daemon", *command)
        assert "refuses this" not in told, command
        assert code == 0, (command, told)
    assert "refuses this" not in project.daemons[-1].log()


def test_a_submitter_submits_waits_and_reads(shop: Shop) -> None:
    code, told = shop.cli("submitter", "submit", "greet", "who=me", "--wait", "--key", "once")

    assert code == 0, told
    for command in (("list",), ("show", "@last:greet"), ("logs", "@last:greet"), ("why", "@last")):
        code, told = shop.cli("submitter", *command)
        assert code == 0, (command, told)
    code, told = shop.cli("submitter", "pause", "tick")
    assert code == 4
    assert "refuses this to its user" in told
    assert "docs/acl.md" in told


def test_a_reader_reads_and_changes_nothing(shop: Shop) -> None:
    shop.project.ended(shop.project.submit("greet", {"who": "read"}))
    for command in (
        ("status",),
        ("list",),
        ("show", "@last:greet"),
        ("why", "@last:greet"),
        ("logs", "@last:greet"),
        ("history", "locked"),
        ("stats",),
        ("crons",),
        ("queues",),
        ("workers",),
        ("locks",),
    ):
        code, told = shop.cli("reader", *command)
        assert code == 0, (command, told)
    for write in (("submit", "greet", "who=x"), ("pause", "tick"), ("cancel", "@last:locked")):
        code, told = shop.cli("reader", *write)
        assert code in (4, 5), (write, told)


def test_doctor_says_what_a_reader_may_not_look_at(shop: Shop) -> None:
    _, told = shop.cli("reader", "doctor")

    assert told.count("not looked at: the store's user may not") == 5
    assert re.search(r"^ok +daemons", told, re.MULTILINE)
    assert re.search(r"^ok +version", told, re.MULTILINE)


@pytest.mark.parametrize("role", ["daemon", "submitter", "reader"])
@pytest.mark.parametrize(
    "command",
    [
        ("FLUSHALL",),
        ("CONFIG", "SET", "maxmemory", "1"),
        ("KEYS", "*"),
        ("SCAN", "0"),
        ("GET", "jr:{other}:counts"),
        ("SET", "jr:{other}:full", "1"),
        ("PUBLISH", "jr:{other}:wake", "1"),
        ("SHUTDOWN",),
        ("ACL", "LIST"),
        ("CLIENT", "KILL", "TYPE", "normal"),
        ("EVAL", "return 1", "0"),
    ],
)
def test_no_role_reaches_other_namespaces_or_the_server(
    shop: Shop, role: str, command: tuple[str, ...]
) -> None:
    with shop.connection(role) as connection, pytest.raises(NotPermitted):
        connection.execute(Command(command))


def called_by_scripts() -> set[str]:
    found: set[str] = set()
    for path in (PACKAGE / "store" / "lua").rglob("*.lua"):
        if not path.stem.startswith("check_"):  # of `doctor --repair`
            for call in re.findall(r"redis\.p?call\(([^)\n]*)", path.read_text()):
                found |= set(re.findall(r"'([A-Z]{3,})'", call.split(",")[0]))
    return found


def called_by_modules() -> set[str]:
    """The first text of each tuple of arguments that looks like a command."""
    found: set[str] = set()
    for folder in ("store", "client", "worker", "daemon"):
        for path in (PACKAGE / folder).glob("*.py"):
            for node in ast.walk(ast.parse(path.read_text())):
                first = node.elts[0] if isinstance(node, ast.Tuple) and node.elts else None
                if isinstance(first, ast.Constant) and isinstance(first.value, str):
                    found |= {first.value} if re.fullmatch("[A-Z]{3,}", first.value) else set()
    return found


def test_the_daemon_may_call_what_the_code_calls_and_nothing_else() -> None:
    [line] = [line for line, role in LINES if role == "daemon"]
    granted = {word[1:].partition("|")[0] for word in line.split() if word.startswith("+")}
    # The connection's own; of `doctor`; and what the wire makes of a script.
    apart = {"ping", "select", "discard", "evalsha", "evalsha_ro", "script", "type", "unlink"}
    beyond = {"auth", "client", "scan", "sscan", "config", "tmpdir"}  # the last is no command

    called = {name.lower() for name in called_by_scripts() | called_by_modules()}

    assert called - granted - beyond == set()
    assert granted - called - apart == set()
