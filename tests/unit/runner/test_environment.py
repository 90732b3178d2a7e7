"""What a command gets of the daemon's environment, and how secrets reach it."""

import errno
import os
import stat
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest

from jobrunner.manifest.parts import Delivery, SecretRef
from jobrunner.runner import secretfiles
from jobrunner.runner.environment import base_environment, environment_of
from jobrunner.runner.failures import CannotStart, NoRoom
from jobrunner.runner.secretfiles import SecretFolder, discard_secrets
from tests.unit.runner.conftest import MakeAttempt

DAEMON = {
    "PATH": "/bin",
    "HOME": "/root",
    "LANG": "C.UTF-8",
    "TZ": "UTC",
    "HTTP_PROXY": "http://proxy",
    "REDIS_URL": "redis://:password@host",
    "JOBRUNNER_FILE": "/srv/jobs.yaml",
    "JOBRUNNER_STATE": "/srv/state",
    "JOBRUNNER_X": "1",
}
CLEAN = {"PATH", "HOME", "LANG", "TZ", "JOBRUNNER_FILE", "JOBRUNNER_STATE"}
Inherited = Callable[..., set[str]]


@pytest.fixture
def inherited(make_attempt: MakeAttempt) -> Inherited:
    """The names of the daemon's variables that a task with these keys gets."""

    def inherited(**task: Any) -> set[str]:
        attempt = make_attempt(command=["true"], **task)
        base = base_environment(DAEMON, {"REDIS_URL"})
        found = environment_of(attempt, base, "", SecretFolder("o", "w", None))
        return set(found.variables) & set(DAEMON)

    return inherited


def test_a_task_inherits_all_but_what_is_withheld(inherited: Inherited) -> None:
    assert inherited() == CLEAN | {"HTTP_PROXY"}
    assert inherited(inherit_env=True) == CLEAN | {"HTTP_PROXY"}


def test_a_task_of_a_user_begins_with_a_clean_environment(inherited: Inherited) -> None:
    assert inherited(user="nobody") == CLEAN
    assert inherited(user="nobody", inherit_env=True) == CLEAN | {"HTTP_PROXY"}


def test_a_task_inherits_only_what_it_names(inherited: Inherited) -> None:
    assert inherited(inherit_env=False) == CLEAN
    assert inherited(inherit_env="HTTP_PROXY") == CLEAN | {"HTTP_PROXY"}
    assert inherited(user="nobody", inherit_env=["HTTP_PROXY"]) == CLEAN | {"HTTP_PROXY"}
    assert inherited(inherit_env=["REDIS_URL"]) == CLEAN


@pytest.fixture(params=["memory", "disk"])
def place(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Where the files of secrets lie."""
    monkeypatch.setattr(tempfile, "gettempdir", lambda: str(tmp_path))
    if request.param == "disk":
        monkeypatch.setattr(secretfiles, "IN_MEMORY", str(tmp_path / "none"))
    elif not os.access(secretfiles.IN_MEMORY, os.W_OK):
        pytest.skip("there is no folder in memory here")
    return tmp_path if request.param == "disk" else Path(secretfiles.IN_MEMORY)


def test_a_secret_as_a_file_is_private_and_holds_every_byte(
    make_attempt: MakeAttempt, tmp_path: Path, place: Path
) -> None:
    content = b"\xef\xbb\xbfline one\nline two\n\x00\xff"
    (tmp_path / "key").write_bytes(content)
    env = {"KEY": SecretRef(file="key", delivery=Delivery.FILE)}
    folder = SecretFolder("o", "w", None)

    found = environment_of(make_attempt(command=["true"], env=env), {}, "", folder)

    path = Path(found.variables["KEY"])
    assert path.parent.parent == place
    assert path.read_bytes() == content
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert found.secrets[0].startswith("line one")
    folder.discard()
    assert not path.parent.exists()


def test_files_of_a_killed_worker_are_removed_and_no_others(place: Path) -> None:
    mine, others = SecretFolder("o", "w1", None), SecretFolder("o", "w2", None)
    paths = [Path(folder.write("A", b"secret")) for folder in (mine, others)]

    discard_secrets("o", "w1")

    assert [path.exists() for path in paths] == [False, True]
    assert {path.parent.parent for path in paths} == {place}
    others.discard()


def test_a_secret_with_a_zero_byte_is_refused_as_a_variable_and_says_what_to_do(
    make_attempt: MakeAttempt, tmp_path: Path
) -> None:
    (tmp_path / "key").write_bytes(b"a\0b")
    attempt = make_attempt(command=["true"], env={"KEY": SecretRef(file="key")})

    with pytest.raises(CannotStart, match="'KEY' cannot be a variable") as refused:
        environment_of(attempt, {}, "", SecretFolder("o", "w", None))

    assert "as: file" in refused.value.error.message


@pytest.mark.parametrize(
    ("path", "why"),
    [
        ("pipe", "it is not a regular file"),
        ("/dev/zero", "it is not a regular file"),
        ("large", "it has more than 1,048,576 bytes"),
    ],
)
def test_only_a_file_of_some_size_is_a_secret(
    make_attempt: MakeAttempt, tmp_path: Path, path: str, why: str
) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "large").write_bytes(b"x" * ((1 << 20) + 1))
    attempt = make_attempt(command=["true"], env={"KEY": SecretRef(file=path)})

    with pytest.raises(CannotStart) as refused:
        environment_of(attempt, {}, "", SecretFolder("o", "w", None))

    assert why in refused.value.error.message
    variables = make_attempt(command=["true"], env_file=[path])
    with pytest.raises(CannotStart, match=why):
        environment_of(variables, {}, "", SecretFolder("o", "w", None))


def test_a_secret_that_cannot_be_read_for_want_of_descriptors_fails_no_job(
    make_attempt: MakeAttempt, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "key").write_text("sesame")
    attempt = make_attempt(command=["true"], env={"KEY": SecretRef(file="key")})
    lack = OSError(errno.EMFILE, "Too many open files")
    monkeypatch.setattr(os, "open", Mock(side_effect=lack))

    with pytest.raises(NoRoom):
        environment_of(attempt, {}, "", SecretFolder("o", "w", None))
