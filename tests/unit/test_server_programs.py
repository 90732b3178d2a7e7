"""Which program is the embedded server: what it says it is, whose it is, and what it can read."""

import os
from pathlib import Path

import pytest

from jobrunner.embedded.binary import AUTO, BUNDLED, bundled_binary, find_binary
from jobrunner.embedded.versions import (
    DataFile,
    Program,
    data_file,
    program_of,
    running_program,
    why_unreadable,
)
from jobrunner.errors import StoreUnavailable

as_root = pytest.mark.skipif(os.getuid() != 0, reason="only a program of root's is taken")
NEWEST, NINE = Program("Valkey", (99, 1, 0)), Program("Valkey", (9, 1, 2))
SEVEN = Program("Redis", (7, 2, 4))
BY_NINE = DataFile("Valkey", 80, NINE)


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The only folder on PATH."""
    folder = tmp_path / "bin"
    folder.mkdir(mode=0o755)
    monkeypatch.setenv("PATH", str(folder))
    return folder


def put(folder: Path, name: str, says: str) -> Path:
    program = folder / name
    program.write_text(f"#!/bin/sh\necho '{says}'\n")
    program.chmod(0o755)
    return program


def a_file(data: Path, base: bytes) -> None:
    folder = data / "appendonlydir"
    folder.mkdir(parents=True)
    (folder / "appendonly.aof.manifest").write_text(
        "file appendonly.aof.3.base.rdb seq 3 type b\nfile appendonly.aof.3.incr.aof seq 3 type i\n"
    )
    (folder / "appendonly.aof.3.base.rdb").write_bytes(base)


def test_without_a_newer_one_the_bundled_server_is_taken_and_says_why(path: Path) -> None:
    old = put(path, "redis-server", "Redis server v=7.0.15 sha=00000000:0 malloc=libc bits=64")

    choice = find_binary(AUTO)

    assert choice.path == bundled_binary()
    assert choice.program == program_of(choice.path)
    [why] = choice.passed_over
    assert why.startswith(f"{old}: ")


@as_root
def test_a_newer_valkey_of_the_system_is_taken_also_by_its_old_name(path: Path) -> None:
    put(path, "valkey-server", "Valkey server v=9.0.0 sha=0")
    newer = put(path, "redis-server", "Valkey server v=99.1.0 sha=0")

    choice = find_binary(AUTO, BY_NINE)

    assert (choice.path, choice.program) == (newer, NEWEST)
    assert "not newer" in choice.passed_over[0]
    assert find_binary(BUNDLED).path == bundled_binary()


@as_root
@pytest.mark.parametrize(
    ("says", "why"),
    [
        ("Redis server v=99.1.0 sha=0", "another kind of server"),
        ("nothing of the kind", "does not say which version"),
        ("Valkey server v=7.2.5 sha=0", "not newer"),
    ],
)
def test_what_is_not_a_newer_valkey_is_passed_over(path: Path, says: str, why: str) -> None:
    put(path, "valkey-server", says)

    choice = find_binary(AUTO)

    assert choice.path == bundled_binary()
    assert why in choice.passed_over[0]


@as_root
@pytest.mark.parametrize("whose", ["another user's", "everybody's", "in everybody's folder"])
def test_a_program_that_others_can_replace_is_not_even_asked(path: Path, whose: str) -> None:
    asked = path / "asked"
    program = put(path, "valkey-server", "Valkey server v=99.1.0 sha=0")
    program.write_text(f"#!/bin/sh\ntouch {asked}\n")
    if whose == "another user's":
        os.chown(program, 65534, 65534)
    elif whose == "everybody's":
        program.chmod(0o777)
    else:
        path.chmod(0o777)

    choice = find_binary(AUTO)

    assert choice.path == bundled_binary()
    assert "is not trusted" in choice.passed_over[0]
    assert not asked.exists()


@as_root
def test_a_program_of_the_users_own_is_not_taken_for_the_systems(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = put(path, "valkey-server", "Valkey server v=99.1.0 sha=0")
    os.chown(program, 65534, 65534)
    monkeypatch.setattr(os, "geteuid", lambda: 65534)

    choice = find_binary(AUTO)

    assert choice.path == bundled_binary()
    assert "it is not root's" in choice.passed_over[0]


@pytest.mark.parametrize(
    ("program", "file", "can_read"),
    [
        (NINE, None, True),
        (NINE, BY_NINE, True),
        (NEWEST, BY_NINE, True),
        (NINE, DataFile("Valkey", 80, Program("Valkey", (9, 1, 9))), True),  # a patch release
        (NINE, DataFile("Valkey", 81, Program("Valkey", (9, 2, 0))), False),
        (NINE, DataFile("Redis", 11, Program("Redis", (7, 2, 4))), True),
        (NINE, DataFile("Redis", 12, Program("Redis", (7, 4, 0))), False),
        (Program("Valkey", (8, 1, 0)), BY_NINE, False),
        (Program("Valkey", (8, 1, 0)), DataFile("Redis", 11, Program("Valkey", (8, 0, 1))), True),
        (Program("Redis", (8, 2, 0)), BY_NINE, False),
        (Program("Redis", (7, 0, 15)), DataFile("Redis", 11, Program("Redis", (7, 2, 4))), False),
        (Program("Redis", (7, 0, 15)), DataFile("Redis", 10, Program("Redis", (7, 0, 2))), True),
        (Program("Redis", (8, 4, 0)), DataFile("Redis", 13, Program("Redis", (8, 4, 0))), True),
        (Program("Redis", (7, 2, 4)), DataFile("Redis", 11, None), True),
    ],
)
def test_no_server_reads_what_a_newer_one_wrote_and_no_redis_what_valkey_9_did(
    program: Program, file: DataFile | None, can_read: bool
) -> None:
    assert (why_unreadable(program, file) is None) is can_read


def test_a_program_that_cannot_read_the_data_is_not_started_also_when_it_is_named(
    path: Path,
) -> None:
    old = put(path, "redis-server", "Redis server v=7.0.15 sha=0")

    with pytest.raises(StoreUnavailable) as refused:
        find_binary(str(old), BY_NINE)

    assert "Redis 7.0.15 cannot read the data, which Valkey 9.1.2 has written" in refused.value.what
    assert "Valkey 9.1.2" in (refused.value.fix or "")
    assert find_binary(str(old)).path == old


@pytest.mark.parametrize(
    ("base", "file"),
    [
        (b"VALKEY080\xfa\nvalkey-ver\x059.1.2\xfa\nredis-bits\xc0@", BY_NINE),
        (
            b"REDIS0011\xfa\tredis-ver\x057.2.4\xfa",
            DataFile("Redis", 11, Program("Redis", (7, 2, 4))),
        ),
        (b"REDIS0010\xfb\x01", DataFile("Redis", 10, None)),
        (b"*2\r\n$6\r\nSELECT\r\n", None),
        (b"", None),
    ],
)
def test_the_file_itself_says_who_wrote_it(
    tmp_path: Path, base: bytes, file: DataFile | None
) -> None:
    a_file(tmp_path, base)

    assert data_file(tmp_path) == file


def test_without_data_any_server_will_do(tmp_path: Path) -> None:
    assert data_file(tmp_path) is None


def test_a_running_valkey_is_not_taken_for_the_redis_that_it_resembles() -> None:
    assert running_program({"redis_version": "7.2.4", "valkey_version": "9.1.2"}) == NINE
    assert running_program({"redis_version": "7.0.15"}) == Program("Redis", (7, 0, 15))
    assert running_program({"redis_version": "unstable"}) is None
