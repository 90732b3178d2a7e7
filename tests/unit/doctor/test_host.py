"""What is read of this host: the state folder, the time zone database, the daemon's unit."""

import os
import socket
from datetime import UTC, datetime
from pathlib import Path

import pytest

from jobrunner.doctor.host import read_folder, read_host, read_zones
from jobrunner.locate import Located
from jobrunner.state import DaemonLock, RunningDaemon
from jobrunner.store.address import StoreAddress


@pytest.fixture
def located(tmp_path: Path) -> Located:
    address = StoreAddress("shop", socket=str(tmp_path / "server.sock"))
    return Located(tmp_path / "jobs.yaml", "shop", tmp_path, address)


def test_a_folder_is_read_with_its_owner_rights_and_room(tmp_path: Path) -> None:
    tmp_path.chmod(0o750)

    folder = read_folder(tmp_path)

    assert (folder.owner, folder.rights, folder.has_socket) == (os.getuid(), 0o750, False)
    assert 0 < folder.disk_free < folder.disk_size


def test_of_a_folder_that_is_not_there_the_future_disk_is_read(tmp_path: Path) -> None:
    folder = read_folder(tmp_path / "not" / "yet")

    assert folder.owner is None
    assert folder.disk_size == read_folder(tmp_path).disk_size


def test_unknown_zones_are_missing_and_the_database_is_named() -> None:
    zones = read_zones(["Europe/Berlin", "Mars/Base"])

    assert zones.missing == ["Mars/Base"]
    assert zones.source
    assert zones.version


def test_a_unit_that_differs_is_not_current(located: Located, tmp_path: Path) -> None:
    unit = tmp_path / "jobrunner-shop.service"
    unit.write_text("[Service]\n")

    same = read_host(
        located, None, None, [], [(tmp_path / "none", ""), (unit, "[Service]\n")]
    ).service
    other = read_host(located, None, None, [], [(unit, "[Unit]\n")]).service

    assert (same.unit, same.is_current) == (unit, True)
    assert (other.unit, other.is_current) == (unit, False)


def test_the_environment_of_the_running_daemon_is_read(located: Located) -> None:
    own = RunningDaemon(
        os.getpid(), socket.gethostname(), located.manifest, datetime(2026, 11, 21, tzinfo=UTC)
    )
    lock = DaemonLock(located.state_folder)
    lock.acquire(own)

    facts = read_host(located, None, None, [], [])
    lock.release()

    assert facts.daemon is not None
    assert facts.service.environ is not None
    assert facts.service.environ["PATH"] == os.environ["PATH"]
