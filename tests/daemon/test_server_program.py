"""An embedded server that outlived its daemon is told when it is old, and replaced on request."""

import os
import shlex
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest

from jobrunner.embedded.binary import bundled_binary
from jobrunner.model import JobState
from tests.daemon.harness import Project, act

pytestmark = pytest.mark.skipif(os.getuid() != 0, reason="only a program of root's is taken")
MANIFEST = f"name: prog\ntasks:\n  act: {act('max_lost: 5')}\n"


def newer_server(project: Project) -> dict[str, str]:
    """An environment in which the system has a newer Valkey."""
    folder = project.folder / "bin"
    folder.mkdir(mode=0o755)
    program = folder / "valkey-server"
    program.write_text(
        '#!/bin/sh\nif [ "$1" = --version ]; then\n    echo "Valkey server v=99.1.0 sha=0"\n'
        f'else\n    touch {folder}/started; exec {shlex.quote(str(bundled_binary()))} "$@"\nfi\n'
    )
    program.chmod(0o755)
    return {"PATH": f"{folder}:{os.environ['PATH']}"}


def was_started(project: Project) -> bool:
    return Path(project.folder / "bin" / "started").exists()


def test_an_old_server_is_told_and_goes_on_until_its_upgrade_is_asked_for(
    project: Callable[..., Project],
) -> None:
    made = project(MANIFEST)
    made.start().kill()
    before = made.server_pid()
    newer = newer_server(made)

    second = made.start(environ=newer)

    assert made.server_pid() == before
    assert "adopted an embedded server with an old program" in second.log()
    assert "Valkey 99.1.0" in second.log()
    assert not was_started(made)
    made.environ |= newer
    told = " ".join(made.cli("doctor").out.split())
    assert "warning program the embedded server runs Valkey" in told
    assert "--upgrade-server" in told

    queued = made.act("echo done >> witness")
    made.ended(queued)
    waiting = made.submit("act", {"script": "echo later >> witness"}, delay=timedelta(hours=1))
    second.kill()
    third = made.start("--upgrade-server", environ=newer)

    assert "replaced the embedded server" in third.log()
    assert was_started(made)
    assert made.server_pid() != before
    assert made.job(queued).state is JobState.COMPLETED
    assert made.job(waiting).state is JobState.SCHEDULED
    assert made.ended(made.act("echo new >> witness")).state is JobState.COMPLETED


def test_an_upgrade_of_the_newest_server_changes_nothing(project: Callable[..., Project]) -> None:
    made = project(MANIFEST.replace("tasks:", "store: {server: bundled}\ntasks:"))
    made.start().kill()
    before = made.server_pid()

    second = made.start("--upgrade-server", environ=newer_server(made))

    assert made.server_pid() == before
    assert "replaced" not in second.log()
    assert "old program" not in second.log()


def test_a_newer_server_that_does_not_start_leaves_the_old_one_in_place(
    project: Callable[..., Project],
) -> None:
    made = project(MANIFEST)
    made.start().kill()
    newer = newer_server(made)
    program = made.folder / "bin" / "valkey-server"
    program.write_text(program.read_text().replace("exec", "exit 1; exec"))
    kept = made.submit("act", {"script": "true"}, delay=timedelta(hours=1))

    daemon = made.start("--upgrade-server", environ=newer)

    assert "could not start the newer embedded server; the old one goes on" in daemon.log()
    assert made.job(kept).state is JobState.SCHEDULED


def test_a_server_that_cannot_read_the_data_is_refused_and_the_data_stays(
    project: Callable[..., Project],
) -> None:
    made = project(MANIFEST)
    first = made.start()
    kept = made.submit("act", {"script": "true"}, delay=timedelta(hours=1))
    assert first.stop() == 0
    old = made.folder / "redis-server"
    old.write_text('#!/bin/sh\necho "Redis server v=7.2.4 sha=0"\n')
    old.chmod(0o755)
    made.write(MANIFEST.replace("tasks:", f"store: {{server: {old}}}\ntasks:"))

    refused = made.spawn()

    assert refused.ended() == 4
    assert "Redis 7.2.4 cannot read the data, which Valkey" in refused.log()
    made.write(MANIFEST)
    made.start()
    assert made.job(kept).state is JobState.SCHEDULED
