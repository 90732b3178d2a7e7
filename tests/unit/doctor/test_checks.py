"""Each check says ok where all is well, and tells each fault with a why and a fix."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from jobrunner.daemon.stopping import ShortPatience
from jobrunner.doctor.diagnosis import diagnose_host, diagnose_server, diagnose_store
from jobrunner.doctor.facts import Platform, Service, Zones
from jobrunner.doctor.finding import Finding, Level
from jobrunner.errors import ManifestError, Problem
from jobrunner.store.orphan import Kind, Orphan
from jobrunner.store.overview import QueueView
from jobrunner.store.published import Published, PublishedTask
from tests.unit.doctor.facts import FOLDER, GIB, NOW, PUBLISHED, WORKER, host, server, store

WATCHED = {"INVOCATION_ID": "1", "NOTIFY_SOCKET": "/run/n", "WATCHDOG_USEC": "30000000"}
UNIT = Path("/etc/systemd/system/jobrunner-shop.service")
OTHER = Published({"backup": PublishedTask("backup", "shell")}, {}, digest="e")
REMARK = Problem(None, "TZ has no say", "why", "fix")
INVALID = ManifestError([Problem(None, "unknown key")])

Told = tuple[str, Level, str]  # check, level, a part of what it says


def told(findings: list[Finding]) -> list[Finding]:
    return [finding for finding in findings if finding.level is not Level.OK]


def test_where_all_is_well_every_check_says_ok() -> None:
    findings = diagnose_host(host()) + diagnose_server(server()) + diagnose_store(store())

    assert told(findings) == []
    assert len({finding.check for finding in findings}) == len(findings) > 20


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"invalid": INVALID}, ("manifest", Level.PROBLEM, "1 problem")),
        ({"remarks": [REMARK, REMARK]}, ("manifest", Level.WARNING, "TZ has no say")),
        ({"folder": replace(FOLDER, owner=0)}, ("folder", Level.PROBLEM, "uid 0")),
        ({"folder": replace(FOLDER, rights=0o755)}, ("folder", Level.PROBLEM, "0755")),
        ({"folder": replace(FOLDER, has_socket=False)}, ("socket", Level.PROBLEM, "gone")),
        ({"folder": replace(FOLDER, disk_free=2**28)}, ("disk", Level.WARNING, "256 MiB")),
        ({"folder": replace(FOLDER, disk_free=2**20)}, ("disk", Level.PROBLEM, "1.0 MiB")),
        (
            {"zones": Zones("/zones", "2026a", ["Mars/Base"], ["Mars/Base"])},
            ("zones", Level.PROBLEM, "Mars/Base in /zones, version 2026a"),
        ),
        (
            {"platform": Platform(1024, 400, None)},
            ("files", Level.WARNING, "1024 files, enough for 112 of 400 slots"),
        ),
        (
            {"platform": Platform(1024, 64, ShortPatience("waits 10s", "killed", "wait"))},
            ("stop", Level.WARNING, "waits 10s"),
        ),
        (
            {"platform": Platform(1024, 64, None, ["memory", "pids"], ["cpu", "pids"])},
            ("limits", Level.WARNING, "limits.memory hold for each process"),
        ),
        ({"daemon": None}, ("daemon", Level.PROBLEM, "no daemon runs")),
        ({"service": Service(WATCHED, UNIT, False)}, ("systemd", Level.WARNING, str(UNIT))),
        (
            {"service": Service({"INVOCATION_ID": "1"}, UNIT)},
            ("systemd", Level.WARNING, "NOTIFY_SOCKET and WATCHDOG_USEC"),
        ),
    ],
)
def test_a_fault_of_the_host_is_told_with_its_fix(changes: dict[str, Any], expected: Told) -> None:
    assert_told(diagnose_host(host(**changes)), expected)


@pytest.mark.parametrize(
    "changes",
    [
        {"service": Service(WATCHED, UNIT)},
        {"daemon": None, "is_embedded": False},
        {"daemon": None, "folder": replace(FOLDER, owner=None, has_socket=False)},
    ],
)
def test_what_is_as_it_should_be_on_a_host_is_no_fault(changes: dict[str, Any]) -> None:
    found = {finding.check for finding in told(diagnose_host(host(**changes)))}

    assert found <= {"daemon"}
    assert "daemon" not in found or host(**changes).is_embedded


@pytest.mark.parametrize(
    ("info", "changes", "expected"),
    [
        ({"redis_version": "6.2.1"}, {}, ("version", Level.PROBLEM, "6.2.1")),
        ({"redis_version": ""}, {}, ("version", Level.WARNING, "does not tell")),
        ({}, {"durability": "always"}, ("fsync", Level.PROBLEM, "everysec")),
        ({"aof_last_bgrewrite_status": "err"}, {}, ("saves", Level.PROBLEM, "rewrite")),
        ({"rdb_last_bgsave_status": "err"}, {}, ("saves", Level.PROBLEM, "snapshot")),
        ({"maxmemory": str(GIB)}, {}, ("memory", Level.PROBLEM, "1.0 GiB")),
        ({"used_memory": str(15 * GIB)}, {}, ("memory", Level.WARNING, "15 GiB")),
        ({}, {"latency_ms": 12.5}, ("latency", Level.WARNING, "12.5 ms")),
        ({}, {"disk_free": 2**20}, ("room", Level.WARNING, "1.0 MiB")),
    ],
)
def test_a_fault_of_the_server_is_told_with_its_fix(
    info: dict[str, str], changes: dict[str, Any], expected: Told
) -> None:
    assert_told(diagnose_server(server(info, **changes)), expected)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"daemons": []}, ("daemons", Level.PROBLEM, "no daemon")),
        ({"on_disk": OTHER}, ("reload", Level.WARNING, "task 'backup'")),
        (
            {"on_disk": Published(PUBLISHED.tasks, {}, digest="e")},
            ("reload", Level.WARNING, "differs"),
        ),
        (
            {"workers": [replace(WORKER, lease_ends_at=NOW - timedelta(minutes=1))]},
            ("workers", Level.PROBLEM, "w1"),
        ),
        ({"dead_workers": ["w1"]}, ("workers", Level.PROBLEM, "1 worker lost")),
        ({"queues": [QueueView("web", 1, 1, 0, 0)]}, ("queues", Level.PROBLEM, "2 jobs")),
        ({"live_by_task": {"gone": 2}}, ("tasks", Level.WARNING, "2 jobs of unknown tasks: gone")),
        ({"orphans": [Orphan(Kind.STALE_LOCK, "k", "x")]}, ("locks", Level.PROBLEM, "stale_lock")),
        ({"orphans": [Orphan(Kind.NO_ENTRY, "k", "x")]}, ("records", Level.PROBLEM, "1 no_entry")),
        ({"orphans": [Orphan(Kind.WRONG_COUNT, "k", "x")]}, ("counts", Level.PROBLEM, "1 orphan")),
        ({"is_counted": False}, ("counts", Level.WARNING, "not compared")),
    ],
)
def test_a_fault_in_the_store_is_told_with_its_fix(changes: dict[str, Any], expected: Told) -> None:
    assert_told(diagnose_store(store(**changes)), expected)


def test_a_lease_that_has_just_ended_is_left_to_the_rescuer() -> None:
    late = replace(WORKER, lease_ends_at=NOW - timedelta(seconds=3))

    assert told(diagnose_store(store(workers=[late]))) == []


def test_a_manifest_is_not_compared_with_a_daemon_that_does_not_run() -> None:
    found = told(diagnose_store(store(daemons=[], on_disk=OTHER)))

    assert [finding.check for finding in found] == ["daemons"]


def assert_told(findings: list[Finding], expected: Told) -> None:
    check, level, part = expected
    (finding,) = told(findings)
    assert (finding.check, finding.level) == (check, level)
    assert part in finding.what
    assert finding.why
    assert finding.fix
