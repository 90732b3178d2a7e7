"""State folders and sockets that somebody else has a hand in; users, links and sockets are real."""

import os
import signal
import socket
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from jobrunner.embedded.files import ServerFiles
from jobrunner.embedded.server import EmbeddedServer
from jobrunner.errors import IllegalTransition, StoreUnavailable
from jobrunner.locate import find_store, note_endpoint
from jobrunner.state import LOCK_FILE, holds_lock, prepare_state_folder, read_daemon
from jobrunner.store.address import StoreAddress
from jobrunner.store.connection import AsyncStoreConnection, StoreConnection
from jobrunner.store.private import open_private, read_private, write_private
from jobrunner.store.requests import Command

NOBODY = 65534
as_root = pytest.mark.skipif(os.getuid() != 0, reason="only root can become another user")

# Says that it is the daemon of a folder, and that its pid is another.
CLAIM = """
import fcntl, json, socket, sys
file = open(sys.argv[1], "w")
fcntl.flock(file, fcntl.LOCK_EX)
fields = {"pid": int(sys.argv[2]), "host": socket.gethostname(), "manifest": sys.argv[3],
          "started_at": "2026-11-29T00:00:00Z"}
file.write(json.dumps(fields)); file.flush()
print("claimed", flush=True)
sys.stdin.read()
"""
LISTEN = """
import os, socket, sys
os.setuid(int(sys.argv[2]))
opened = socket.socket(socket.AF_UNIX)
opened.bind(sys.argv[1])
os.chmod(sys.argv[1], 0o777)
opened.listen(5)
print("listens", flush=True)
while True:
    client = opened.accept()[0]
    client.settimeout(0.5)
    try:
        print("got", client.recv(500), flush=True)
    except TimeoutError:
        pass
    client.close()
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "state"
    made.mkdir(mode=0o700)
    return made


@pytest.fixture
def run() -> Iterator[Callable[..., "subprocess.Popen[str]"]]:
    """Runs a script until it has said its first line; it is killed after the test."""
    started: list[subprocess.Popen[str]] = []

    def start(script: str, *args: object) -> "subprocess.Popen[str]":
        words = [sys.executable, "-c", script, *map(str, args)]
        process = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        started.append(process)
        assert process.stdout is not None
        process.stdout.readline()
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


def rights(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.mark.parametrize("kind", ["others' things", "sticky", "home"])
def test_a_folder_that_is_no_state_folder_is_refused_and_keeps_its_rights(
    folder: Path, kind: str
) -> None:
    folder.chmod(0o1755 if kind == "sticky" else 0o755)
    if kind == "others' things":
        (folder / "notes.txt").touch()
    environ = {"HOME": str(folder)} if kind == "home" else {}
    before = rights(folder)

    with pytest.raises(IllegalTransition) as refused:
        prepare_state_folder(folder, environ)

    assert str(folder) in refused.value.what
    assert "JOBRUNNER_STATE" in (refused.value.fix or "")
    assert rights(folder) == before


@as_root
@pytest.mark.parametrize("path", ["/", "/tmp", "/etc", "/var/lib", "/srv", "/usr/local", "/root"])
def test_a_folder_of_the_system_is_never_closed(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    closed: list[object] = []
    # Should the rule be broken, this machine is not.
    monkeypatch.setattr(os, "fchmod", lambda *args: closed.append(args))

    with pytest.raises(IllegalTransition):
        prepare_state_folder(Path(path), {"HOME": "/root"})

    assert closed == []


@as_root
def test_a_state_folder_is_not_found_through_a_link_of_another_user(
    folder: Path, tmp_path: Path
) -> None:
    link = tmp_path / "link"
    link.symlink_to(folder)
    assert prepare_state_folder(link, {}) is None

    os.chown(link, NOBODY, -1, follow_symlinks=False)

    with pytest.raises(IllegalTransition, match="a link of another user's"):
        prepare_state_folder(link, {})


def test_the_home_of_the_user_is_no_state_folder_also_without_a_variable_for_it(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    entry = SimpleNamespace(pw_dir=str(folder))
    monkeypatch.setattr("jobrunner.store.private.pwd.getpwuid", lambda uid: entry)  # noqa: ARG005

    with pytest.raises(IllegalTransition, match="cannot be the state folder"):
        prepare_state_folder(folder, {})


def test_a_state_folder_of_ours_that_was_open_is_closed_with_a_warning(folder: Path) -> None:
    (folder / LOCK_FILE).touch(0o600)
    (folder / "data").mkdir()
    folder.chmod(0o755)

    assert "0755" in (prepare_state_folder(folder, {}) or "")
    assert rights(folder) == 0o700


@pytest.mark.parametrize("place", ["server.log", "data/appendonlydir"])
@pytest.mark.parametrize("kind", ["link", "second name"])
def test_what_was_planted_in_an_open_state_folder_is_found(
    folder: Path, tmp_path: Path, place: str, kind: str
) -> None:
    (folder / LOCK_FILE).touch(0o600)
    (folder / "data").mkdir()
    target = tmp_path / "precious"
    target.write_text("kept")
    if kind == "link":
        (folder / place).symlink_to(target)
    else:
        os.link(target, folder / place)
    folder.chmod(0o777)

    with pytest.raises(IllegalTransition, match=f"{place} is not used"):
        prepare_state_folder(folder, {})

    assert rights(folder) == 0o700  # nothing more can be planted
    assert target.read_text() == "kept"


@as_root
def test_a_file_of_another_user_in_an_open_state_folder_is_found(folder: Path) -> None:
    (folder / LOCK_FILE).touch(0o600)
    (folder / "server.log").touch()
    os.chown(folder / "server.log", NOBODY, -1)
    folder.chmod(0o777)

    with pytest.raises(IllegalTransition, match=r"server\.log is not used: it belongs to"):
        prepare_state_folder(folder, {})


@pytest.mark.parametrize("name", [LOCK_FILE, "server.lock", "server.log"])
@pytest.mark.parametrize("kind", ["link", "second name", "pipe", "folder"])
def test_no_file_of_the_state_folder_is_opened_through_what_is_no_file_of_its_own(
    folder: Path, tmp_path: Path, name: str, kind: str
) -> None:
    target = tmp_path / "precious"
    target.write_text("kept")
    place = folder / name
    if kind == "link":
        place.symlink_to(target)
    elif kind == "second name":
        os.link(target, place)
    elif kind == "pipe":
        os.mkfifo(place)
    else:
        place.mkdir()

    with pytest.raises((IllegalTransition, IsADirectoryError)):
        open_private(place, os.O_RDWR | os.O_CREAT)

    assert target.read_text() == "kept"


@as_root
def test_a_file_of_another_user_is_not_opened(folder: Path) -> None:
    (folder / "server.log").touch()
    os.chown(folder / "server.log", NOBODY, -1)

    with pytest.raises(IllegalTransition, match="belongs to user"):
        open_private(folder / "server.log", os.O_RDWR)


def test_a_server_is_not_started_on_a_data_folder_that_others_can_enter_or_that_is_a_link(
    folder: Path, tmp_path: Path
) -> None:
    (tmp_path / "elsewhere").mkdir(mode=0o700)
    (folder / "data").symlink_to(tmp_path / "elsewhere")

    with pytest.raises(IllegalTransition, match="data is not used"):
        ServerFiles(folder).prepare(1000)

    (folder / "data").unlink()
    (folder / "data").mkdir()
    (folder / "data").chmod(0o755)
    with pytest.raises(IllegalTransition, match="data is not used"):
        ServerFiles(folder).prepare(1000)


def test_a_note_is_written_in_place_of_a_link(folder: Path, tmp_path: Path) -> None:
    target = tmp_path / "precious"
    target.write_text("kept")
    (folder / "note").symlink_to(target)

    write_private(folder / "note", "ours")

    assert (target.read_text(), read_private(folder / "note")) == ("kept", "ours")
    assert rights(folder / "note") == 0o600
    assert [path.name for path in folder.iterdir()] == ["note"]


def test_a_note_that_others_can_write_or_that_is_a_link_is_not_believed(folder: Path) -> None:
    write_private(folder / "note", "ours")
    (folder / "link").symlink_to("note")
    (folder / "note").chmod(0o606)

    for name in ("note", "link"):
        with pytest.raises(OSError, match=r"not ours|symbolic links"):
            read_private(folder / name)


@as_root
def test_an_endpoint_that_another_user_noted_is_not_believed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    environ = {"XDG_STATE_HOME": str(tmp_path / "state")}
    (tmp_path / "jobs.yaml").write_text("name: shop\n")
    monkeypatch.chdir(tmp_path)
    note_endpoint(find_store(None, environ), environ)
    [note] = (tmp_path / "state" / "jobrunner" / ".endpoints").iterdir()
    note.write_text(note.read_text().replace('"shop"', '"theirs"'))
    assert find_store(None, environ).name == "theirs"

    os.chown(note, NOBODY, -1)

    assert find_store(None, environ).name == "shop"


@as_root
@pytest.mark.anyio
async def test_a_socket_on_which_another_user_listens_is_told_nothing(
    run: Callable[..., "subprocess.Popen[str]"], socket_path: str
) -> None:
    os.chmod(os.path.dirname(socket_path), 0o777)
    impostor = run(LISTEN, socket_path, NOBODY)
    address = StoreAddress("shop", socket=socket_path)

    with pytest.raises(StoreUnavailable, match="belongs to user") as refused:
        StoreConnection(address).execute(Command(("GET", "secret")))
    with pytest.raises(StoreUnavailable, match="belongs to user"):
        await AsyncStoreConnection(address).execute(Command(("GET", "secret")))

    assert "remove the socket" in (refused.value.fix or "")
    impostor.kill()
    assert "secret" not in impostor.communicate()[0]


@as_root
def test_a_socket_that_the_manifest_names_may_be_another_users(
    run: Callable[..., "subprocess.Popen[str]"], socket_path: str
) -> None:
    os.chmod(os.path.dirname(socket_path), 0o777)
    impostor = run(LISTEN, socket_path, NOBODY)
    address = StoreAddress("shop", url=f"unix://{socket_path}")

    with pytest.raises(StoreUnavailable, match="closed the connection"):
        StoreConnection(address).execute(Command(("PING",)))

    impostor.kill()
    assert "PING" in impostor.communicate()[0]


def test_a_server_of_our_own_is_spoken_to(folder: Path) -> None:
    server = EmbeddedServer(folder, "everysec")
    try:
        server.ensure()
        assert server.pid() is not None
    finally:
        server.stop()


def test_only_the_process_that_holds_the_lock_is_the_daemon(
    folder: Path, run: Callable[..., "subprocess.Popen[str]"]
) -> None:
    victim = run("import sys; print(1, flush=True); sys.stdin.read()")
    claim = run(CLAIM, folder / LOCK_FILE, victim.pid, "/jobs.yaml")

    named = read_daemon(folder)

    assert named is not None
    assert named.pid == victim.pid
    assert not holds_lock(folder, victim.pid)
    assert holds_lock(folder, claim.pid)
    assert not holds_lock(folder, 2**22 + 1)  # above every pid


@as_root
def test_a_lock_file_of_another_user_names_nobody(folder: Path) -> None:
    (folder / LOCK_FILE).write_text("{}")
    os.chown(folder / LOCK_FILE, NOBODY, -1)

    with pytest.raises(IllegalTransition, match="belongs to user"):
        read_daemon(folder)


@pytest.mark.parametrize("command", ["stop", "reload", "stop --now"])
def test_stop_signals_nobody_who_only_is_named_in_the_lock_file(
    folder: Path, run: Callable[..., "subprocess.Popen[str]"], tmp_path: Path, command: str
) -> None:
    manifest = tmp_path / "jobs.yaml"
    manifest.write_text("name: shop\n")
    victim = run("import sys; print(1, flush=True); sys.stdin.read()")
    run(CLAIM, folder / LOCK_FILE, victim.pid, manifest)
    server = EmbeddedServer(folder, "everysec")
    server.ensure()

    try:
        done = subprocess.run(
            [sys.executable, "-m", "jobrunner", "-f", manifest, *command.split()],
            env={**os.environ, "JOBRUNNER_STATE": str(folder)},
            capture_output=True,
            text=True,
            check=False,
            timeout=30,
        )
    finally:
        server.stop()

    assert done.returncode == 5
    assert f"process {victim.pid} is not signalled" in done.stderr
    assert victim.poll() is None
    victim.send_signal(signal.SIGKILL)


def test_a_runtime_folder_that_is_not_private_is_not_used_for_the_socket(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    deep = tmp_path / ("d" * 90)
    deep.mkdir(mode=0o700)
    runtime = Path("/tmp") / f"jr-open-{os.getpid()}"
    runtime.mkdir()
    runtime.chmod(0o777)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(runtime))
    files = ServerFiles(deep)
    try:
        path = files.new_socket()
        assert path.parent.parent == Path("/tmp")

        with socket.socket(socket.AF_UNIX) as opened:
            opened.bind(str(path))
        path.parent.chmod(0o777)  # somebody else may put a socket of theirs there
        assert files.socket() != path
        path.parent.chmod(0o700)
    finally:
        files.remove_socket()
        runtime.rmdir()
