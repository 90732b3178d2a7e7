"""The embedded server: real servers in temporary state folders, killed and broken."""

import os
import signal
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from shutil import rmtree

import psutil
import pytest

from jobrunner.embedded.binary import MEMORY_TUNING, MEMORY_VARIABLE, bundled_binary
from jobrunner.embedded.files import LONGEST_SOCKET_PATH, ServerFiles, is_locked, try_lock
from jobrunner.embedded.server import EmbeddedServer, Start
from jobrunner.errors import StoreUnavailable
from jobrunner.store.connection import StoreConnection
from jobrunner.store.requests import Command


@pytest.fixture
def folder() -> Iterator[Path]:
    """A state folder with a short path: pytest's own are near the limit of a socket."""
    path = Path(tempfile.mkdtemp(prefix="jr-test-"))
    yield path
    rmtree(path)


@pytest.fixture
def server(folder: Path) -> Iterator[EmbeddedServer]:
    started = EmbeddedServer(folder, "everysec", answer_s=1)
    yield started
    started.stop()


def execute(server: EmbeddedServer, *args: str) -> object:
    with StoreConnection(server.address("test")) as connection:
        return connection.execute(Command(args))


def eventually(check: Callable[[], bool], within: float = 5) -> None:
    give_up_at = time.monotonic() + within
    while not check():
        assert time.monotonic() < give_up_at, "did not happen in time"
        time.sleep(0.005)


def kill(server: EmbeddedServer, number: int = signal.SIGKILL) -> int:
    pid = server.pid()
    assert pid is not None
    os.kill(pid, number)
    return pid


def test_the_server_listens_on_a_private_socket_and_on_no_port(
    server: EmbeddedServer, folder: Path
) -> None:
    server.ensure()

    socket = Path(server.address("test").socket or "")
    assert stat.S_IMODE(socket.stat().st_mode) == 0o700
    assert psutil.Process(server.pid()).net_connections("inet") == []
    assert {path.name for path in folder.iterdir() if path.stat().st_mode & 0o077} == set()


@pytest.mark.parametrize(
    ("own", "given"), [(None, MEMORY_TUNING), ("glibc.malloc.perturb=0", "glibc.malloc.perturb=0")]
)
def test_the_servers_memory_is_tuned_unless_the_user_tunes_it(
    server: EmbeddedServer, monkeypatch: pytest.MonkeyPatch, own: str | None, given: str
) -> None:
    monkeypatch.delenv(MEMORY_VARIABLE, raising=False)
    if own:
        monkeypatch.setenv(MEMORY_VARIABLE, own)

    server.ensure()

    assert psutil.Process(server.pid()).environ()[MEMORY_VARIABLE] == given


def test_a_running_server_is_adopted_with_its_data(server: EmbeddedServer, folder: Path) -> None:
    server.ensure()
    execute(server, "SET", "key", "kept")
    pid = server.pid()

    successor = EmbeddedServer(folder, "always")

    assert successor.ensure() is Start.ADOPTED
    assert (successor.pid(), execute(successor, "GET", "key")) == (pid, b"kept")
    assert execute(successor, "CONFIG", "GET", "appendfsync") == [b"appendfsync", b"always"]


def test_the_server_is_not_a_member_of_the_session_that_started_it(server: EmbeddedServer) -> None:
    server.ensure()

    pid = server.pid() or 0

    assert os.getsid(pid) == pid


@pytest.mark.parametrize("durability", ["everysec", "always"])
def test_a_killed_server_comes_back_with_its_data(folder: Path, durability: str) -> None:
    server = EmbeddedServer(folder, durability)
    server.ensure()
    execute(server, "SET", "key", "kept")

    kill(server)
    eventually(lambda: not server.is_alive())

    assert server.ensure() is Start.STARTED
    assert execute(server, "GET", "key") == b"kept"
    server.stop()


def test_a_stopped_server_has_its_data_on_disk_and_leaves_no_socket(
    server: EmbeddedServer, folder: Path
) -> None:
    server.ensure()
    execute(server, "SET", "key", "kept")

    server.stop()

    assert not server.is_alive()
    assert not (folder / "server.sock").exists()
    server.ensure()
    assert execute(server, "GET", "key") == b"kept"


def test_who_reads_the_folder_of_a_server_that_hangs_is_left_alone(
    server: EmbeddedServer, folder: Path
) -> None:
    server.ensure()
    reader = subprocess.Popen([sys.executable, "-c", "input()", folder / "data"], stdin=-1)
    kill(server, signal.SIGSTOP)

    assert server.ensure() is Start.STARTED

    assert reader.poll() is None
    reader.communicate()


def test_a_server_that_hangs_is_replaced(server: EmbeddedServer) -> None:
    server.ensure()
    execute(server, "SET", "key", "kept")
    pid = kill(server, signal.SIGSTOP)

    assert server.ensure() is Start.STARTED

    assert server.pid() != pid
    assert execute(server, "GET", "key") == b"kept"


def test_a_server_whose_socket_was_removed_is_replaced_not_doubled(
    server: EmbeddedServer, folder: Path
) -> None:
    server.ensure()
    pid = server.pid() or 0
    (folder / "server.sock").unlink()

    assert server.ensure() is Start.STARTED

    assert not psutil.pid_exists(pid)
    assert server.is_alive()


def test_a_socket_left_by_a_killed_server_is_no_obstacle(
    server: EmbeddedServer, folder: Path
) -> None:
    server.ensure()
    kill(server)
    eventually(lambda: not server.is_alive())
    assert (folder / "server.sock").exists()

    assert server.ensure() is Start.STARTED


def test_a_long_state_folder_has_its_socket_in_a_short_private_one(folder: Path) -> None:
    long = folder / ("d" * LONGEST_SOCKET_PATH)
    long.mkdir()
    server = EmbeddedServer(long, "everysec")

    server.ensure()

    socket = Path(server.address("test").socket or "")
    assert len(os.fsencode(socket)) <= LONGEST_SOCKET_PATH
    assert stat.S_IMODE(socket.parent.stat().st_mode) == 0o700
    assert EmbeddedServer(long, "everysec").ensure() is Start.ADOPTED
    server.stop()
    assert not socket.parent.exists()


def test_a_runtime_folder_that_others_may_enter_is_not_used_again(folder: Path) -> None:
    long = folder / ("d" * LONGEST_SOCKET_PATH)
    long.mkdir()
    server = EmbeddedServer(long, "everysec")
    server.ensure()
    first = Path(server.address("test").socket or "").parent
    kill(server)
    eventually(lambda: not server.is_alive())
    first.chmod(0o777)

    server.ensure()

    assert Path(server.address("test").socket or "").parent != first
    server.stop()
    rmtree(first)


def test_a_half_written_last_command_is_dropped(server: EmbeddedServer, folder: Path) -> None:
    server.ensure()
    execute(server, "SET", "key", "kept")
    server.stop()
    with next(folder.glob("data/appendonlydir/*.incr.aof")).open("ab") as file:
        file.write(b"*3\r\n$3\r\nSET\r\n$3\r\nk")

    server.ensure()

    assert execute(server, "GET", "key") == b"kept"


def test_a_damaged_file_is_refused_with_its_repair(server: EmbeddedServer, folder: Path) -> None:
    server.ensure()
    execute(server, "SET", "key", "kept")
    server.stop()
    file = next(folder.glob("data/appendonlydir/*.incr.aof"))
    file.write_bytes(b"rubbish\r\n" + file.read_bytes())

    with pytest.raises(StoreUnavailable, match="did not start") as refused:
        server.ensure()

    assert "Bad file format" in (refused.value.why or "")
    assert "valkey-check-aof --fix" in (refused.value.fix or "")
    assert not server.is_alive()


def test_a_server_that_has_ended_leaves_its_last_words(server: EmbeddedServer) -> None:
    server.ensure()
    kill(server, signal.SIGTERM)
    eventually(lambda: not server.is_alive())

    assert "ready to exit" in server.last_words()


def test_a_program_that_does_not_exist_is_refused_by_its_name(folder: Path) -> None:
    with pytest.raises(StoreUnavailable, match="'no-such-server'") as refused:
        EmbeddedServer(folder, "everysec", "no-such-server").ensure()

    assert "store.server" in (refused.value.why or "")


def test_a_program_that_cannot_be_executed_is_refused(folder: Path) -> None:
    program = folder / "valkey-server"
    program.write_bytes(b"\x7fELF of another machine")
    program.chmod(0o700)

    with pytest.raises(StoreUnavailable, match="Exec format error"):
        EmbeddedServer(folder, "everysec", str(program)).ensure()


def test_a_program_that_ends_at_once_is_reported_with_its_last_words(folder: Path) -> None:
    program = folder / "valkey-server"
    program.write_text("#!/bin/sh\necho 'cannot write: No space left on device'\nexit 1\n")
    program.chmod(0o700)

    with pytest.raises(StoreUnavailable, match="did not start") as refused:
        EmbeddedServer(folder, "everysec", str(program)).ensure()

    assert refused.value.why == "cannot write: No space left on device"
    assert "make room" in (refused.value.fix or "")


def test_a_server_named_in_the_manifest_is_used(folder: Path) -> None:
    own = folder / "my-server"
    own.symlink_to(bundled_binary() or "")
    server = EmbeddedServer(folder, "everysec", str(own))

    server.ensure()

    assert psutil.Process(server.pid()).cmdline()[0] == str(own)
    server.stop()


def test_a_look_at_the_lock_leaves_it_free_although_a_fork_has_the_file_open(folder: Path) -> None:
    files = ServerFiles(folder)
    with files.lock() as lock:
        inherited = os.dup(lock)  # as a process has it that is forked in this moment

        was_locked = is_locked(lock)

    with files.lock() as lock:
        is_free = try_lock(lock)
    os.close(inherited)
    assert (was_locked, is_free) == (False, True)
