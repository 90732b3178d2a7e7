"""`jobrunner chaos` on a user's store: it leaves nothing behind, however it ends."""

import os
import secrets
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from jobrunner.runner.proctable import all_pids, carries
from tests.daemon.harness import Project, act, eventually

MANIFEST = f"""
    name: shop
    workers: {{processes: 1, slots: 2}}
    tasks:
      act: {act()}
"""
SHORT = ("--only", "drain", "--seed", "7", "--seconds", "1")
END_S = 40


def key_names(shop: Project) -> set[str]:
    """Of all keys on the server."""
    return {key.decode() for key in shop.execute("KEYS", "*")}


def test_a_round_on_a_users_store_disturbs_nothing_and_is_emptied(
    project: Callable[..., Project],
) -> None:
    shop = project(MANIFEST)
    daemon = shop.start()
    waiting = shop.act("echo done", delay=3600)

    done = shop.cli("chaos", *SHORT, "--json", within=90).ok()

    assert done.json["is_good"] is True
    assert done.json["total"]["jobs"] > 0
    assert done.json["scenarios"][0]["name"] == "drain"
    assert done.err == ""
    assert daemon.process.poll() is None
    assert shop.job(waiting).state == "scheduled"
    assert shop.ended(shop.act("echo done")).state == "completed"
    assert all(key.startswith("jr:{shop}:") for key in key_names(shop))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_leaves_neither_processes_nor_keys(
    project: Callable[..., Project], number: signal.Signals
) -> None:
    shop = project(MANIFEST)
    shop.start()
    mark = f"CHAOS_TEST={secrets.token_hex(8)}"
    chaos = spawn(shop, mark, "chaos", "--only", "drain", "--seconds", "60")

    eventually(lambda: len(marked(mark)) > 4 and len(key_names(shop)) > 50, within=END_S)
    chaos.send_signal(number)
    out, err = chaos.communicate(timeout=END_S)

    assert (chaos.returncode, out, err) == (130, "", "")
    eventually(lambda: not marked(mark))
    assert all(key.startswith("jr:{shop}:") for key in key_names(shop))


def test_an_interrupt_ends_own_servers_as_well(project: Callable[..., Project]) -> None:
    mark = f"CHAOS_TEST={secrets.token_hex(8)}"
    chaos = spawn(
        project("{}"), mark, "chaos", "--own-server", "--only", "kill-server", "--seconds", "60"
    )

    eventually(lambda: len(marked(mark)) > 4, within=END_S)
    chaos.send_signal(signal.SIGINT)
    out, err = chaos.communicate(timeout=END_S)

    assert (chaos.returncode, out, err) == (130, "", "")
    eventually(lambda: not marked(mark))


def spawn(shop: Project, mark: str, *args: str) -> "subprocess.Popen[str]":
    """The CLI, whose processes can be found by a mark in their environment."""
    name, value = mark.split("=")
    return subprocess.Popen(
        [sys.executable, "-m", "jobrunner", *args],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**shop.environ, name: value},
        cwd=shop.folder,
        process_group=0,
    )


def marked(mark: str) -> list[int]:
    """Processes that live and carry the mark."""
    return [pid for pid in all_pids() if pid != os.getpid() and carries(pid, [mark.encode()])]


def test_a_round_that_breaks_a_promise_is_told_and_kept(project: Callable[..., Project]) -> None:
    shop = project(MANIFEST)
    shop.start()
    # The store does not take what the round's daemon writes: that is a promise broken.
    shop.execute("ACL", "SETUSER", "default", "-evalsha", "-eval")

    done = shop.cli("chaos", *SHORT, "--json", within=90)
    shop.execute("ACL", "SETUSER", "default", "+@all")

    [broken, *_] = done.json["violations"]
    assert done.code == 1
    assert (broken["scenario"], broken["seed"]) == ("drain", 7)
    assert broken["repeat"] == "jobrunner chaos --only drain --seed 7 --seconds 1"
    assert (Path(broken["folder"]) / "history").is_file()
    shutil.rmtree(broken["folder"])
