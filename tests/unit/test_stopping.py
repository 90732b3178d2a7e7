"""How long the platform waits for a stop, and whether the drain fits."""

import os
from datetime import timedelta
from pathlib import Path

import pytest

from jobrunner.daemon.stopping import Patience, find_patience, parse_span, short_patience

TEN = timedelta(seconds=10)
UNIT = "0::/system.slice/jobrunner-shop.service\n"
OWN_GROUP = "0::/system.slice/jobrunner-shop.service/daemon\n"
USERS = "0::/user.slice/user-1000.slice/user@1000.service/app.slice/jobrunner-shop.service\n"
OLD = "9:pids:/x\n1:name=systemd:/system.slice/jobrunner-shop.service\n0::/\n"
SESSION = "0::/user.slice/user-1000.slice/user@1000.service/app.slice/term.scope\n"
UNDER_SYSTEMD = {"INVOCATION_ID": "1"}


def a_root(folder: Path, cgroup: str = "", first: str = "0::/init.scope\n") -> Path:
    """A file system as the process 42 sees it."""
    for pid, text in (("42", cgroup), ("1", first)):
        (folder / "proc" / pid).mkdir(parents=True)
        (folder / "proc" / pid / "cgroup").write_text(text)
    return folder


@pytest.fixture
def systemctl(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A `systemctl` that says 5 s and notes what it was asked."""
    program = tmp_path / "bin" / "systemctl"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\necho "$@" >> {tmp_path}/asked\necho "1min 5s"\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")
    return tmp_path / "asked"


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("1min 30s\n", 90),
        ("10s", 10),
        ("500ms", 0.5),
        ("1h 5min", 3900),
        ("1w 1d", 691_200),
        ("infinity", None),
        ("", None),
        ("5 parsecs", None),
    ],
)
def test_a_time_span_of_systemd_is_read(text: str, seconds: float | None) -> None:
    assert parse_span(text) == (None if seconds is None else timedelta(seconds=seconds))


@pytest.mark.parametrize(
    ("cgroup", "scope"), [(UNIT, ""), (OWN_GROUP, ""), (OLD, ""), (USERS, "--user ")]
)
def test_systemd_is_asked_for_the_unit_of_the_daemon(
    systemctl: Path, tmp_path: Path, cgroup: str, scope: str
) -> None:
    found = find_patience(UNDER_SYSTEMD, 42, a_root(tmp_path / "root", cgroup))

    asked = systemctl.read_text().strip()
    assert asked == f"{scope}show --property=TimeoutStopUSec --value jobrunner-shop.service"
    assert found is not None
    assert (found.limit, found.who, found.is_usual) == (timedelta(seconds=65), "systemd", False)


def test_a_daemon_in_a_terminal_is_no_unit(systemctl: Path, tmp_path: Path) -> None:
    assert find_patience(UNDER_SYSTEMD, 42, a_root(tmp_path / "root", SESSION)) is None
    assert not systemctl.exists()


def test_without_an_answer_of_systemd_nothing_is_known(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))

    assert find_patience(UNDER_SYSTEMD, 42, a_root(tmp_path / "root", UNIT)) is None


@pytest.mark.parametrize("file", [".dockerenv", "run/.containerenv"])
def test_a_container_is_known_by_its_file(tmp_path: Path, file: str) -> None:
    root = a_root(tmp_path / "root")
    (root / file).parent.mkdir(exist_ok=True)
    (root / file).touch()

    found = find_patience({}, 42, root)

    assert found is not None
    assert (found.limit, found.is_usual) == (TEN, True)


def test_a_container_is_known_by_its_control_group_variable_or_first_process(
    tmp_path: Path,
) -> None:
    first = a_root(tmp_path / "a", first="0::/docker/4f5e\n")
    plain = a_root(tmp_path / "b")

    assert find_patience({}, 42, first) is not None
    assert find_patience({"container": "podman"}, 42, plain) is not None
    assert find_patience({}, 1, plain) is not None
    assert find_patience({}, 42, plain) is None


def test_kubernetes_waits_half_a_minute(tmp_path: Path) -> None:
    found = find_patience({"KUBERNETES_SERVICE_HOST": "10.0.0.1"}, 42, a_root(tmp_path / "root"))

    assert found is not None
    assert found.limit == timedelta(seconds=30)


def test_a_drain_that_the_platform_does_not_wait_for_is_told_with_the_fix() -> None:
    patience = Patience(TEN, "the container's engine", is_usual=True, fix="give it {} s")

    found = short_patience(timedelta(seconds=30), timedelta(seconds=40), patience)

    assert found is not None
    assert found.what == (
        "workers.drain is 30s, and the container's engine waits by default 10s before it kills"
    )
    assert found.fix.startswith("give it 45 s, or shorten `workers.drain`")


@pytest.mark.parametrize("drain_s", [0, 5, 9.9])
def test_a_drain_that_is_waited_for_is_not_told(drain_s: float) -> None:
    patience = Patience(TEN, "systemd", is_usual=False, fix="")
    drain = timedelta(seconds=drain_s)

    assert short_patience(drain, drain + TEN, patience) is None
    assert short_patience(drain, drain + TEN, None) is None
