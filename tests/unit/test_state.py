"""The state folder and the daemon's lock on it; other processes are real ones."""

import os
import signal
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from socket import gethostname

import pytest

from jobrunner.clock import SystemClock
from jobrunner.errors import IllegalTransition, UsageError
from jobrunner.state import (
    DaemonLock,
    RunningDaemon,
    prepare_state_folder,
    read_daemon,
    state_folder,
)

HOLD_LOCK = """
import subprocess, sys
from pathlib import Path
from tests.unit.test_state import lock

held = lock(Path(sys.argv[1]), Path(sys.argv[2]))
child = subprocess.Popen(["sleep", "60"], stdout=subprocess.DEVNULL)
print(child.pid, flush=True)
sys.stdin.read()
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "state"


@pytest.fixture
def manifest(tmp_path: Path) -> Path:
    path = tmp_path / "jobs.yaml"
    path.touch()
    return path


@pytest.fixture
def other_daemon(folder: Path, manifest: Path) -> Iterator[subprocess.Popen[str]]:
    """A process that has the lock; its child would outlive it."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD_LOCK, folder, manifest],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        cwd=Path(__file__).parents[2],
        text=True,
    )
    with process:
        assert process.stdout is not None
        child = int(process.stdout.readline())
        yield process
        os.kill(child, signal.SIGKILL)
        process.kill()


def lock(folder: Path, manifest: Path) -> DaemonLock:
    """The lock of this process on the folder, for a daemon of the manifest."""
    prepare_state_folder(folder)
    held = DaemonLock(folder)
    held.acquire(RunningDaemon(os.getpid(), gethostname(), manifest, SystemClock().now()))
    return held


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({"HOME": "/home/ann"}, "/home/ann/.local/state/jobrunner/shop"),
        ({"HOME": "/home/ann", "XDG_STATE_HOME": "/var/x"}, "/var/x/jobrunner/shop"),
        ({"STATE_DIRECTORY": "/var/lib/jobrunner"}, "/var/lib/jobrunner/shop"),
        ({"STATE_DIRECTORY": "/var/lib/jobrunner/shop:/x"}, "/var/lib/jobrunner/shop"),
        ({"JOBRUNNER_STATE": "/srv/own", "STATE_DIRECTORY": "/var/lib/x"}, "/srv/own"),
    ],
)
def test_the_environment_says_where_the_state_is(environ: dict[str, str], expected: str) -> None:
    assert state_folder("shop", environ) == Path(expected)


def test_a_new_state_folder_is_private(tmp_path: Path) -> None:
    folder = tmp_path / "a" / "b"

    warning = prepare_state_folder(folder)

    assert (warning, stat.S_IMODE(folder.stat().st_mode)) == (None, 0o700)


def test_an_open_state_folder_is_made_private_with_a_warning(folder: Path) -> None:
    folder.mkdir()
    folder.chmod(0o755)

    warning = prepare_state_folder(folder)

    assert warning is not None
    assert "0755" in warning
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700


def test_a_state_folder_that_cannot_be_made_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    with pytest.raises(IllegalTransition, match="cannot be made: Not a directory"):
        prepare_state_folder(tmp_path / "file" / "state")


@pytest.mark.skipif(os.getuid() != 0, reason="only root can give a folder away")
def test_a_state_folder_of_another_user_is_refused(folder: Path) -> None:
    folder.mkdir()
    os.chown(folder, 65534, -1)

    with pytest.raises(IllegalTransition, match="belongs to"):
        prepare_state_folder(folder)


def test_the_daemon_of_a_folder_can_be_read_while_it_runs(folder: Path, manifest: Path) -> None:
    with lock(folder, manifest):
        running = read_daemon(folder)

    assert running is not None
    assert (running.pid, running.host, running.manifest) == (os.getpid(), gethostname(), manifest)
    assert read_daemon(folder) is None


def test_a_folder_without_a_daemon_has_none(tmp_path: Path) -> None:
    assert read_daemon(tmp_path / "nowhere") is None


def test_a_second_daemon_is_refused_with_the_pid_of_the_first(
    folder: Path, manifest: Path, other_daemon: "subprocess.Popen[str]"
) -> None:
    with pytest.raises(IllegalTransition, match=rf"pid {other_daemon.pid}$") as refused:
        lock(folder, manifest)

    assert "jobrunner stop" in (refused.value.fix or "")


def test_a_killed_daemon_leaves_no_lock_though_its_child_lives_on(
    folder: Path, manifest: Path, other_daemon: "subprocess.Popen[str]"
) -> None:
    other_daemon.kill()
    other_daemon.wait()

    assert read_daemon(folder) is None
    lock(folder, manifest).release()


@pytest.mark.parametrize("is_running", [True, False])
def test_a_folder_of_another_manifest_is_refused_with_both_paths(
    folder: Path, manifest: Path, tmp_path: Path, is_running: bool
) -> None:
    first = lock(folder, manifest)
    if not is_running:
        first.release()

    with pytest.raises(IllegalTransition) as refused:
        lock(folder, tmp_path / "other.yaml")

    assert str(manifest) in refused.value.what
    assert str(tmp_path / "other.yaml") in refused.value.what
    assert "`name:`" in (refused.value.fix or "")
    first.release()


def test_a_moved_manifest_keeps_its_folder(folder: Path, manifest: Path, tmp_path: Path) -> None:
    lock(folder, manifest).release()
    moved = manifest.rename(tmp_path / "moved.yaml")

    with lock(folder, moved):
        running = read_daemon(folder)

    assert running is not None
    assert running.manifest == moved


def test_a_user_without_a_home_is_told_to_name_a_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    def has_no_entry(_: object) -> None:
        raise KeyError

    monkeypatch.setattr("pwd.getpwuid", has_no_entry)
    monkeypatch.delenv("HOME", raising=False)

    for environ in ({}, {"JOBRUNNER_STATE": "~/state"}):
        with pytest.raises(UsageError, match="no home") as caught:
            state_folder("shop", environ)
        assert "JOBRUNNER_STATE" in (caught.value.fix or "")
