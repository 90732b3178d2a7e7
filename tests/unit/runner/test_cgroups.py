"""Control groups: which can be made, what is in one, how it is killed, what it counts."""

import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from jobrunner.manifest.parts import Limits
from jobrunner.model import Usage
from jobrunner.runner.cgroups import discovery, folder
from jobrunner.runner.cgroups.discovery import (
    Cgroups,
    Hierarchy,
    Place,
    find_places,
    give_up,
    prepare,
)
from jobrunner.runner.cgroups.groups import JobGroup, WorkerGroups
from jobrunner.runner.cgroups.remains import kill_worker, members_of_worker, remove_worker

NO_LIMITS = Limits()

V2 = "0::/system.slice/shop.service\n"
V2_MOUNT = "30 23 0:26 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate\n"
V1 = "4:memory:/docker/abc\n3:cpu,cpuacct:/docker/abc\n1:name=systemd:/docker/abc\n"
V1_MOUNTS = """\
31 23 0:27 /docker/abc /sys/fs/cgroup/memory ro - cgroup cgroup rw,memory
32 23 0:28 /docker/abc /sys/fs/cgroup/cpu,cpuacct ro - cgroup cgroup rw,cpu,cpuacct
"""


def test_the_group_of_a_process_is_found_below_the_mount() -> None:
    [place] = find_places(V2, V2_MOUNT)

    assert place == Place(
        "/system.slice/shop.service", "/sys/fs/cgroup/system.slice/shop.service", [], True
    )


def test_a_container_sees_a_part_of_the_tree_as_the_whole() -> None:
    assert find_places(V1, V1_MOUNTS) == [
        Place("/", "/sys/fs/cgroup/memory", ["memory"], False),
        Place("/", "/sys/fs/cgroup/cpu,cpuacct", ["cpu", "cpuacct"], False),
    ]


def test_a_hierarchy_that_is_not_mounted_is_nowhere() -> None:
    assert find_places(V1 + V2, "") == []


def test_what_a_service_manager_has_not_handed_over_is_left_alone(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(discovery, "MANAGED", tmp_path)

    found = prepare("jobrunner-unit-test")

    assert found.hierarchies == []
    assert set(found.missing) == {"memory", "cpu", "pids"}


def test_a_group_that_cannot_be_made_leaves_its_limit_to_each_process(tmp_path: Path) -> None:
    place = Place("/", str(tmp_path / "gone"), ["memory"], False)

    with pytest.raises(FileNotFoundError):
        discovery._make(place, "jobrunner-unit-test")

    assert discovery._summary([], {"memory": "it is gone"}).missing["memory"] == "it is gone"


# What is read of one.


def a_group(place: Path, is_v2: bool, **files: str) -> JobGroup:
    for name, text in files.items():
        (place / name.replace("__", ".")).write_text(text)
    return JobGroup([(Hierarchy("", ["memory", "cpu", "pids", "io"], is_v2), str(place))])


def test_usage_is_read_of_version_2(tmp_path: Path) -> None:
    group = a_group(
        tmp_path,
        True,
        cpu__stat="usage_usec 12999\nuser_usec 9\n",
        memory__peak="4096\n",
        io__stat="8:0 rbytes=10 wbytes=20 rios=1\n8:16 rbytes=1 wbytes=2 rios=1\n",
    )

    assert group.usage(None) == Usage(12, 4096, 11, 22)


def test_usage_is_read_of_version_1(tmp_path: Path) -> None:
    lines = "8:0 Read 10\n8:0 Write 20\n8:0 Total 30\n8:16 Read 1\nTotal 31\n"
    group = a_group(
        tmp_path,
        False,
        cpuacct__usage="12999999\n",
        memory__max_usage_in_bytes="4096\n",
        blkio__throttle__io_service_bytes=lines,
    )

    assert group.usage(None) == Usage(12, 4096, 11, 20)


def test_what_a_group_does_not_count_is_taken_from_the_leader_or_not_known(tmp_path: Path) -> None:
    group = a_group(tmp_path, True, cpu__stat="usage_usec 5000\n")

    assert group.usage(None) == Usage(5, None, None, None)
    assert group.usage(Usage(1, 7, 8, 9)) == Usage(5, 7, 8, 9)


@pytest.mark.parametrize(
    ("name", "text", "reached"),
    [
        ("memory__events", "max 9\noom 1\noom_kill 1\n", ["memory"]),
        ("memory__events", "max 9\noom 0\noom_kill 0\n", []),
        ("memory__oom_control", "under_oom 0\noom_kill 2\n", ["memory"]),
        ("pids__events", "max 3\n", ["pids"]),
        ("pids__events", "max 0\n", []),
    ],
)
def test_a_limit_that_was_reached_is_told(
    tmp_path: Path, name: str, text: str, reached: list[str]
) -> None:
    assert a_group(tmp_path, True, **{name: text}).reached() == reached


def test_the_id_of_a_worker_is_no_path(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    (tmp_path / "ours").mkdir()
    outside.mkdir()
    (outside / "cgroup.procs").write_text(f"{os.getpid()}\n")
    cgroups = Cgroups([Hierarchy(str(tmp_path / "ours"), [], True)])

    for worker in ("../outside", "..", "", "a/../../outside"):
        assert members_of_worker(cgroups, worker) == {}
        kill_worker(cgroups, worker)
        remove_worker(cgroups, worker)

    assert outside.exists()


# Real ones, where this machine lets us make some.


@pytest.fixture
def cgroups() -> Iterator[Cgroups]:
    found = prepare(f"jobrunner-test-{os.getpid()}")
    if not found.hierarchies:
        pytest.skip(f"no control groups here: {found.missing}")
    yield found
    give_up(found)


@pytest.fixture
def groups(cgroups: Cgroups) -> Iterator[WorkerGroups]:
    """Of this process, which leaves them again."""
    before = [
        place.folder
        for place in find_places(
            Path("/proc/self/cgroup").read_text(), Path("/proc/self/mountinfo").read_text()
        )
        if cgroups.hierarchies[0].folder.startswith(place.folder)
    ]
    yield WorkerGroups(cgroups, "w1")
    folder.write(max(before, key=len), "cgroup.procs", os.getpid())
    kill_worker(cgroups, "w1")
    remove_worker(cgroups, "w1")


def start(groups: WorkerGroups, script: str, limits: Limits = NO_LIMITS) -> tuple[JobGroup, int]:
    """A command in a group of its own, which begins as soon as it is there."""
    group = groups.make("a@b:c/../d", limits)
    child = subprocess.Popen(["sh", "-c", f"read -r _; {script}"], stdin=subprocess.PIPE)
    group.enter(child.pid)
    assert child.stdin is not None
    child.stdin.write(b"\n")
    child.stdin.close()
    child.returncode = 0  # it is reaped by its pid
    return group, child.pid


def gone(group: JobGroup) -> bool:
    give_up_at = time.monotonic() + 5
    while group.members():
        if time.monotonic() > give_up_at:
            return False
        time.sleep(0.005)
    return True


def count(group: JobGroup, number: int) -> list[int]:
    give_up_at = time.monotonic() + 5
    while len(found := group.members()) < number:
        assert time.monotonic() < give_up_at, found
        time.sleep(0.005)
    return found


def test_all_of_a_job_are_members_wherever_they_went_and_one_kill_ends_them(
    groups: WorkerGroups,
) -> None:
    group, leader = start(groups, "(setsid env -i sleep 100 &); setsid sleep 101 & sleep 102")
    assert leader in count(group, 4)

    group.kill()

    assert gone(group)
    assert os.waitpid(leader, 0)[1] == 9
    group.remove()


def test_a_job_that_forks_while_it_is_killed_does_not_get_away(groups: WorkerGroups) -> None:
    forks = "while :; do (setsid sh -c 'while :; do (sleep 5 &); sleep 0.01; done' &); done"
    group, leader = start(groups, forks, groups.holds(Limits(pids=200)))
    count(group, 20)

    for _ in range(20):
        group.kill()
        if not group.members():
            break

    assert gone(group)
    os.waitpid(leader, 0)
    group.remove()


def test_plain_commands_are_in_the_group_of_their_worker(
    cgroups: Cgroups, groups: WorkerGroups
) -> None:
    plain = subprocess.Popen(["setsid", "env", "-i", "/bin/sleep", "100"])
    group, leader = start(groups, "sleep 100")

    found = members_of_worker(cgroups, "w1")

    assert found[plain.pid] is None
    assert found[leader] == "a@b:c____d"  # the job's id, as far as a folder may be called so
    for process in (plain.pid, leader):
        os.kill(process, 9)
        os.waitpid(process, 0)
    plain.returncode = 0
    group.remove()


def test_what_a_killed_daemon_left_is_ended_by_the_next(cgroups: Cgroups) -> None:
    worker = f"{cgroups.hierarchies[0].folder}/w0"
    os.mkdir(worker)
    left = subprocess.Popen(["sleep", "100"])
    folder.write(worker, "cgroup.procs", left.pid)

    again = prepare(Path(cgroups.hierarchies[0].folder).name)

    assert again == cgroups
    assert left.wait(timeout=5) == -9
    assert folder.remove([worker])
