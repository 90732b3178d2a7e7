"""A manifest that others can write, in the current folder: nothing is connected to or imported."""

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.unit.cli.conftest import Invoke


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    """Whom the manifest's store URL names."""
    with socket.create_server(("127.0.0.1", 0)) as opened:
        opened.settimeout(0)
        yield opened


@pytest.fixture
def environ(tmp_path: Path, listener: socket.socket) -> dict[str, str]:
    """Of a user in a folder with such a manifest, and a module that would tell of its import."""
    port = listener.getsockname()[1]
    url = f"redis://:${{SECRET}}@127.0.0.1:{port}/0?socket_timeout=0.2"
    manifest = tmp_path / "jobs.yaml"
    manifest.write_text(f"name: theirs\nimports: [theirs]\nstore: {{url: '{url}'}}\n")
    manifest.chmod(0o666)
    (tmp_path / "theirs.py").write_text("open('imported', 'w').close()\n")
    return {"SECRET": "s3cret", "HOME": str(tmp_path)}


def was_called(listener: socket.socket) -> bool:
    try:
        listener.accept()[0].close()
    except BlockingIOError:
        return False
    return True


@pytest.mark.parametrize(
    "command",
    [
        "status",
        "list",
        "submit x",
        "validate",
        "next",
        "doctor",
        "run",
        "stop",
        "reload",
        "systemd",
    ],
)
def test_no_command_takes_its_word(
    invoke: Invoke,
    listener: socket.socket,
    environ: dict[str, str],
    tmp_path: Path,
    command: str,
) -> None:
    outcome = invoke(*command.split(), environ=environ)

    assert (outcome.stdout, outcome.code) == ("", 2)
    assert f"{tmp_path / 'jobs.yaml'} is not trusted: it may be written by every" in outcome.stderr
    assert "fix: make it yours" in outcome.stderr
    assert not was_called(listener)
    assert not (tmp_path / "imported").exists()


@pytest.mark.parametrize("line", ["jobrunner submit ", "jobrunner -f jobs.yaml show "])
@pytest.mark.parametrize("shell", ["complete_bash", "offers_zsh", "offers_fish"])
def test_a_completion_connects_nowhere_also_when_it_is_named(
    invoke: Invoke, listener: socket.socket, environ: dict[str, str], line: str, shell: str
) -> None:
    asked = {"_JOBRUNNER_COMPLETE": shell, "_JOBRUNNER_LINE": line}

    invoke(environ={**environ, **asked})

    assert not was_called(listener)


@pytest.mark.skipif(os.getuid() != 0, reason="only root can give a file away")
def test_a_completion_connects_nowhere_for_a_manifest_of_another_user(
    invoke: Invoke, listener: socket.socket, environ: dict[str, str], tmp_path: Path
) -> None:
    (tmp_path / "jobs.yaml").chmod(0o644)
    os.chown(tmp_path / "jobs.yaml", 65534, 65534)
    asked = {"_JOBRUNNER_COMPLETE": "complete_bash", "_JOBRUNNER_LINE": "jobrunner submit "}

    invoke(environ={**environ, **asked, "JOBRUNNER_FILE": "jobs.yaml"})

    assert not was_called(listener)


@pytest.mark.parametrize(
    ("words", "more"),
    [
        (["--trust", "status"], {}),
        (["status", "--trust"], {}),
        (["status"], {"JOBRUNNER_TRUST": "1"}),
        (["status", "--file", "jobs.yaml"], {}),
    ],
)
def test_who_trusts_it_says_so(
    invoke: Invoke,
    listener: socket.socket,
    environ: dict[str, str],
    words: list[str],
    more: dict[str, str],
) -> None:
    outcome = invoke(*words, environ={**environ, **more})

    assert outcome.code == 4  # nobody answers there
    assert was_called(listener)
