"""Trees of real processes: found and killed to the last member."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from uuid import uuid4

import msgspec
import pytest

from jobrunner.runner.leftovers import Ours, find_leftovers, kill_leftovers
from jobrunner.runner.prctl import become_subreaper
from jobrunner.runner.processes import (
    ProcessGroup,
    ProcessRegistry,
    marks,
)
from jobrunner.runner.proctable import carries, descendants, started_at
from jobrunner.runner.tree import Reaper, Tree

pytestmark = pytest.mark.anyio
OWNER = "mark-of-a-namespace"
OURS = Ours(OWNER)
Spawn = Callable[..., subprocess.Popen[bytes]]

# Grandchildren of three kinds: in the group, in a session of its own, and one that left the tree.
FAMILY = """
sleep 1000 &
setsid sleep 1001 &
(setsid sleep 1002 &)
"""


@pytest.fixture
def worker() -> str:
    return f"w-{uuid4().hex[:8]}"


@pytest.fixture
def spawn(worker: str) -> Iterator[Spawn]:
    started: list[subprocess.Popen[bytes]] = []

    def spawn(script: str, **variables: str) -> subprocess.Popen[bytes]:
        env = os.environ | marks(worker, OWNER) | variables
        child = subprocess.Popen(["/bin/sh", "-c", script], env=env, start_new_session=True)
        started.append(child)
        return child

    yield spawn
    for child in started:
        child.kill()
        child.wait()
    kill_leftovers(worker, OURS)
    reap_orphans()


@pytest.fixture
def reaper() -> int:
    """This process, to which orphans go from now on."""
    if not become_subreaper():
        pytest.skip("only Linux has subreapers")
    return os.getpid()


def reap_orphans() -> None:
    with contextlib.suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass


def eventually(check: Callable[[], bool], within: float = 5.0) -> None:
    give_up_at = time.monotonic() + within
    while not check():
        assert time.monotonic() < give_up_at, "it did not come true"
        time.sleep(0.005)


def is_alive(pid: int) -> bool:
    return started_at(pid) is not None


def test_a_process_has_one_start_time_until_it_dies(spawn: Spawn) -> None:
    child = spawn("exec sleep 100")
    first = started_at(child.pid)

    child.kill()

    assert first is not None
    eventually(lambda: started_at(child.pid) is None)  # a zombie is dead
    child.wait()
    assert started_at(child.pid) is None


def test_descendants_are_found_in_other_sessions(spawn: Spawn) -> None:
    child = spawn("setsid sh -c 'sleep 1000; true' & wait")

    eventually(lambda: len(descendants(child.pid)) == 2)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has subreapers")
def test_a_worker_is_no_orphan_of_its_own(worker: str) -> None:
    marker = f"JOBRUNNER_WORKER={worker}"
    script = (
        "import os, sys\n"
        "from jobrunner.runner.tree import Reaper\n"
        "print(Reaper(os.getppid(), sys.argv[1].encode()).orphans())"
    )

    orphans = subprocess.check_output(
        [sys.executable, "-c", script, marker], env=os.environ | {"JOBRUNNER_WORKER": worker}
    )

    assert orphans == b"[]\n"


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has subreapers")
def test_an_orphan_that_shows_no_environment_yet_is_found_by_a_later_look(
    spawn: Spawn, worker: str, tmp_path: Path
) -> None:
    marker, go = f"JOBRUNNER_WORKER={worker}", tmp_path / "go"
    begun = tmp_path / "begun"
    wait = f": > {begun}; until [ -e {go} ]; do sleep 0.01; done; exec env {marker} sleep 1000"
    child = spawn(f"exec env -i /bin/sh -c '{wait}'")
    eventually(begun.exists)
    assert carries(child.pid, [marker.encode()]) is None
    looking = Reaper(os.getpid(), marker.encode())

    before = looking.orphans()
    go.touch()

    assert child.pid not in before
    eventually(lambda: child.pid in looking.orphans())


async def test_stop_ends_children_that_moved_to_another_session(
    spawn: Spawn, reaper: int, worker: str
) -> None:
    child = spawn(f"{FAMILY} wait", JOBRUNNER_JOB_ID="j")
    tree = ProcessRegistry(worker, reaper).add(child.pid, "j", "JOBRUNNER_JOB_ID=j")
    eventually(lambda: len(list(find_leftovers(worker, OURS))) == 4)
    members = list(find_leftovers(worker, OURS))

    await tree.stop(grace_s=5)

    assert not any(is_alive(pid) for pid in members)


async def test_a_tree_that_ignores_term_is_killed_after_the_grace(
    spawn: Spawn, worker: str, tmp_path: Path
) -> None:
    ready = tmp_path / "ready"
    child = spawn(f"trap '' TERM; touch {ready}; while :; do sleep 0.1; done")
    tree = Tree(child.pid)
    eventually(ready.exists)

    began = time.monotonic()
    await tree.stop(grace_s=0.3)

    assert 0.3 <= time.monotonic() - began < 2
    assert child.wait() == -signal.SIGKILL


async def test_a_stopped_process_is_terminated(spawn: Spawn) -> None:
    child = spawn("kill -STOP $$; sleep 100")
    eventually(lambda: os.waitid(os.P_PID, child.pid, os.WSTOPPED | os.WNOHANG) is not None)

    await Tree(child.pid).stop(grace_s=5)

    assert child.wait() == -signal.SIGTERM


def test_kill_all_ends_every_tree_at_once(spawn: Spawn, worker: str) -> None:
    registry = ProcessRegistry(worker)
    children = [spawn("trap '' TERM; sleep 100") for _ in range(3)]
    for number, child in enumerate(children):
        registry.add(child.pid, f"j{number}")

    registry.kill_all()

    assert [child.wait(timeout=5) for child in children] == [-signal.SIGKILL] * 3


def test_kill_job_ends_its_tree_only(spawn: Spawn, worker: str) -> None:
    registry = ProcessRegistry(worker)
    one, other = spawn("sleep 100"), spawn("sleep 100")
    registry.add(one.pid, "one")
    registry.add(other.pid, "other")

    registry.kill_job("one")

    assert one.wait(timeout=5) == -signal.SIGKILL
    assert other.poll() is None


def test_groups_on_record_are_read_back(spawn: Spawn, worker: str) -> None:
    registry = ProcessRegistry(worker)
    child = spawn("sleep 100")
    tree = registry.add(child.pid, "j")

    recorded = msgspec.json.decode(registry.groups_json(), type=list[ProcessGroup])

    assert recorded == [ProcessGroup(child.pid, tree.started_at)] == [registry.group_of("j")]
    assert started_at(child.pid) == recorded[0].started_at


def test_leftovers_of_a_dead_worker_are_found_by_their_environment(
    spawn: Spawn, worker: str, reaper: int
) -> None:
    spawn(FAMILY).wait()  # their parent is gone, as after the death of a worker
    eventually(lambda: len(list(find_leftovers(worker, OURS))) == 3)

    left = kill_leftovers(worker, OURS)

    assert left.survivors == []
    assert list(find_leftovers(worker, OURS)) == []


def test_children_of_a_leftover_are_killed_though_they_have_lost_the_marks(
    spawn: Spawn, worker: str
) -> None:
    child = spawn("setsid env -i /bin/sleep 1000 & exec sleep 1001")
    eventually(lambda: len(descendants(child.pid)) == 1)
    [lost] = descendants(child.pid)

    assert kill_leftovers(worker, OURS).survivors == []

    assert not is_alive(lost)


def test_processes_with_the_mark_of_another_namespace_are_spared(worker: str) -> None:
    env = os.environ | marks(worker, "mark-of-another")
    child = subprocess.Popen(["/bin/sleep", "1000"], env=env, start_new_session=True)

    assert kill_leftovers(worker, OURS).survivors == []

    assert child.poll() is None
    child.kill()
    child.wait()


def test_processes_of_other_workers_are_spared(spawn: Spawn, worker: str) -> None:
    child = spawn("exec sleep 100")

    assert kill_leftovers(worker[:-1], OURS).found == {}

    assert child.poll() is None


def test_a_process_dies_with_its_parent(tmp_path: Path) -> None:
    pid_file = tmp_path / "pid"
    child = (
        "import os, sys, time\n"
        "from jobrunner.runner.prctl import die_with_parent\n"
        "if not die_with_parent(int(sys.argv[1])): sys.exit('not on this system')\n"
        f"open({str(pid_file)!r} + '.new', 'w').write(str(os.getpid()))\n"
        f"os.rename({str(pid_file)!r} + '.new', {str(pid_file)!r})\n"
        "time.sleep(100)\n"
    )
    parent = (
        "import os, subprocess, sys\n"
        f"subprocess.run([sys.executable, '-c', {child!r}, str(os.getpid())])"
    )
    process = subprocess.Popen([sys.executable, "-c", parent])
    eventually(lambda: pid_file.exists() or process.poll() is not None)

    process.kill()
    process.wait()

    eventually(lambda: not is_alive(int(pid_file.read_text())))


def test_a_process_whose_parent_is_gone_already_exits() -> None:
    script = "from jobrunner.runner.prctl import die_with_parent; die_with_parent(1)"

    done = subprocess.run(
        [sys.executable, "-c", script], check=False, capture_output=True, text=True
    )

    assert done.returncode == 1
    assert "the parent process is gone" in done.stderr
