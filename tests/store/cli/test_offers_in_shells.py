"""What TAB inserts means itself: hostile names of others' making, in real interactive shells."""

import os
import shlex
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from msgspec import structs

from jobrunner.store.address import StoreAddress
from jobrunner.store.published import Published, PublishedCron, PublishedTask, publish
from tests.store.cli.shells import SHELLS, Bash, Fish, Shell
from tests.store.factories import A_LOCK, Store
from tests.unit.cli.conftest import Invoke

RUN = "touch pwned"
# Each begins with a letter of its own, by which it is asked for.
HOSTILE = [
    f"a$({RUN})",
    f"b`{RUN}`",
    f"c;{RUN};",
    f"d'$({RUN})'\"x",
    f'e"$({RUN})"',
    "f!!!$",
    "g*[?]{x,y}",
    f"h>pwned<&|{RUN}",
    "i $HOME ~root",
    "j\\",
    "k#=%s:@[x]:y",
    f"l\\$({RUN})",
    f"m' 'n`{RUN}`",
    f"n<({RUN})",
    "o^x^y",
]
# Alone in the store, so that what it begins with need not be typed.
BEGINNINGS = [f"$({RUN})", f"`{RUN}`", "~root", "=sh", "#comment", "!!", "'", '"', "*", f";{RUN}"]

Typist = Callable[[type[Shell]], "Typing"]


class Typing:
    """A shell in which `jobrunner` completes, and notes its words when it is run."""

    def __init__(self, shell: Shell, folder: Path) -> None:
        self.shell = shell
        self.folder = folder

    def words(self, keys: str) -> list[str]:
        """The words that the command is given when the keys are followed by Return."""
        noted = self.folder / "words"
        noted.unlink(missing_ok=True)
        seen = self.shell.entered(keys)
        assert noted.exists(), f"the command was not run: {seen}"
        return noted.read_text().split("\0")[:-1]

    def has_run_code(self) -> bool:
        return (self.folder / "pwned").exists()


@pytest.fixture
def typing(tmp_path: Path, invoke: Invoke, address: StoreAddress) -> Iterator[Typist]:
    command = tmp_path / "bin" / "jobrunner"
    command.parent.mkdir()
    command.write_text(
        '#!/bin/sh\nif [ -n "$_JOBRUNNER_COMPLETE" ]; then\n'
        f'    exec {shlex.quote(sys.executable)} -m jobrunner "$@"\nfi\n'
        f"printf '%s\\0' \"$@\" > {shlex.quote(str(tmp_path / 'words'))}\n"
    )
    command.chmod(0o755)
    environ = {
        **os.environ,
        "PATH": f"{command.parent}:{os.environ['PATH']}",
        "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
        "JOBRUNNER_FILE": str(tmp_path / "jobs.yaml"),
        "LC_ALL": "C.UTF-8",
    }
    opened: list[Shell] = []

    def start(kind: type[Shell]) -> Typing:
        script = invoke("completion", kind.name).stdout
        opened.append(kind(tmp_path, script, environ))
        return Typing(opened[-1], tmp_path)

    yield start
    for shell in opened:
        shell.close()


def held(store: Store, name: str) -> None:
    """A running job holds the lock of that name."""
    store.running(lock=structs.replace(A_LOCK, name=name))


@pytest.mark.parametrize("kind", SHELLS)
def test_the_name_of_a_lock_is_inserted_as_what_it_is_and_runs_nothing(
    store: Store, typing: Typist, kind: type[Shell]
) -> None:
    for name in HOSTILE:
        held(store, name)
    at = typing(kind)

    for name in HOSTILE:
        assert at.words(f"jobrunner locks --break {name[0]}\t") == ["locks", "--break", name]
        assert not at.has_run_code(), name


@pytest.mark.parametrize("kind", SHELLS)
@pytest.mark.parametrize("quote", ["'", '"'])
def test_a_name_is_inserted_as_what_it_is_behind_a_quote_that_is_open(
    store: Store, typing: Typist, kind: type[Shell], quote: str
) -> None:
    names = [name for name in HOSTILE if name[0] in "abfikl"]
    for name in names:
        held(store, name)
    at = typing(kind)

    for name in names:
        words = at.words(f"jobrunner locks --break {quote}{name[0]}\t")
        assert words == ["locks", "--break", name]
        assert not at.has_run_code(), name


@pytest.mark.parametrize("kind", SHELLS)
def test_a_name_may_begin_with_what_means_something_to_the_shell(
    store: Store, typing: Typist, kind: type[Shell]
) -> None:
    at = typing(kind)

    # fish would insert a tilde as it stands: there such a name is not offered.
    for name in [name for name in BEGINNINGS if not (kind is Fish and name[0] == "~")]:
        lock = structs.replace(A_LOCK, name=name)
        holder = store.running(lock=lock)
        assert at.words("jobrunner locks --break \t") == ["locks", "--break", name]
        assert not at.has_run_code(), name
        store.finish(holder, lock=lock)


@pytest.mark.parametrize("kind", SHELLS)
def test_a_list_of_offers_shows_descriptions_and_runs_nothing(
    store: Store, typing: Typist, kind: type[Shell]
) -> None:
    about = f"$({RUN}) `{RUN}` [/etc]: 'x' \"%B\" *"
    tasks = {name: PublishedTask(name, "command", description=about) for name in ("one", "two")}
    crons = {
        "one": PublishedCron("one", "one", "* * * * *", about, "UTC", {}, is_enabled=True),
    }
    store.run(publish(store.keys, Published(tasks, crons)))
    at = typing(kind)

    listed = at.shell.entered("jobrunner submit \t" + ("\t" if kind is Bash else ""))

    assert "one" in listed
    assert (about in listed) is (kind is not Bash)  # which shows none
    assert at.words("jobrunner submit t\t") == ["submit", "two"]
    assert at.words("jobrunner pause o\t") == ["pause", "one"]
    assert not at.has_run_code()


def test_names_that_differ_in_a_sign_that_must_be_quoted_leave_the_line_as_it_is(
    store: Store, typing: Typist
) -> None:
    held(store, "x$a")
    held(store, "x;b")
    at = typing(Bash)

    assert at.words("jobrunner locks --break x\t") == ["locks", "--break", "x"]


@pytest.mark.parametrize("kind", SHELLS)
@pytest.mark.parametrize(
    ("typed", "words"),
    [
        ("sho\tevery@2026-11-21T16:2\t", ["show", "every@2026-11-21T16:20:00Z"]),
        ("submit --priority=h\t", ["submit", "--priority=high"]),
        ("submit --after=every@2026-\t", ["submit", "--after=every@2026-11-21T16:20:00Z"]),
        ("list --state fai\t", ["list", "--state", "failed"]),
        ("--file=jobs.ya\t", ["--file=jobs.yaml"]),
        ("show --file jobs.ya\t", ["show", "--file", "jobs.yaml"]),
    ],
)
def test_ids_options_and_files_are_completed_in_each_shell(
    declared: Store, typing: Typist, kind: type[Shell], typed: str, words: list[str]
) -> None:
    declared.submit(task="backup", id="every@2026-11-21T16:20:00Z")

    assert typing(kind).words(f"jobrunner {typed}") == words


@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_a_script_that_evaluates_its_answer_gets_none(
    declared: Store, invoke: Invoke, shell: str
) -> None:
    environ = {"_JOBRUNNER_COMPLETE": f"complete_{shell}", "_JOBRUNNER_LINE": "jobrunner submit "}

    outcome = invoke(environ=environ)

    assert (outcome.stdout, outcome.stderr, outcome.code) == ("", "", 0)
