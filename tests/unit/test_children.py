"""What the supervisor knows of processes: which workers are dead, and reaping orphans."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable

from msgspec.structs import replace

from jobrunner.daemon.children import Reaper, is_known_dead
from jobrunner.runner.processes import WORKER_VARIABLE
from jobrunner.runner.proctable import can_run, children, pid_space
from jobrunner.store.leases import WorkerEntry
from tests.store.factories import a_worker


def worker_of(process: "subprocess.Popen[bytes]", worker: str = "w1") -> WorkerEntry:
    return replace(a_worker(worker), pid=process.pid, pid_space=pid_space())


def a_process(worker: str = "w1") -> "subprocess.Popen[bytes]":
    """Marked, as the pool starts its workers."""
    return subprocess.Popen(["sleep", "60"], env={**os.environ, WORKER_VARIABLE: worker})


def test_a_process_that_shows_no_environment_is_not_known_to_be_dead() -> None:
    process = subprocess.Popen(["sleep", "60"], env={})  # as one that just begins another program

    assert not is_known_dead(worker_of(process))
    process.kill()
    process.wait()


def in_child(check: Callable[[], bool]) -> bool:
    """The answer of a process of another user."""
    pid = os.fork()
    if pid == 0:
        os.setuid(65534)
        os._exit(check())
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 1


def test_a_worker_is_dead_once_its_process_is() -> None:
    process = a_process()
    assert not is_known_dead(worker_of(process))

    process.kill()
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    assert is_known_dead(worker_of(process))  # a zombie

    process.wait()
    assert is_known_dead(worker_of(process))


def test_a_later_process_of_the_same_pid_is_not_the_worker() -> None:
    process = a_process("w2")

    assert is_known_dead(worker_of(process, "w1"))
    assert not is_known_dead(worker_of(process, "w2"))
    process.kill()
    process.wait()


def test_a_worker_of_another_machine_or_container_is_judged_by_its_lease_alone() -> None:
    process = a_process()
    process.kill()
    process.wait()

    assert not is_known_dead(replace(worker_of(process), pid_space="other/1"))


def test_a_worker_of_another_user_is_judged_by_its_lease_alone() -> None:
    if os.geteuid() == 0:
        process = a_process()
        assert not in_child(lambda: is_known_dead(worker_of(process)))
        process.kill()
        process.wait()
    else:
        assert not is_known_dead(replace(a_worker(), pid=1, pid_space=pid_space()))


def test_an_orphan_is_reaped_at_the_second_look_and_own_children_never() -> None:
    mine, orphan = (subprocess.Popen([sys.executable, "-c", ""]) for _ in range(2))
    for process in (mine, orphan):
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    reaper = Reaper()

    reaper.reap([mine.pid])
    assert orphan.pid in children(os.getpid())
    reaper.reap([mine.pid])

    assert orphan.pid not in children(os.getpid())
    assert mine.wait() == 0
    orphan.wait()


def test_a_stopped_process_cannot_run_until_it_is_continued() -> None:
    process = a_process()
    assert can_run(process.pid)

    process.send_signal(signal.SIGSTOP)
    os.waitpid(process.pid, os.WUNTRACED)
    assert not can_run(process.pid)

    process.send_signal(signal.SIGCONT)
    assert can_run(process.pid)
    process.kill()
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    assert not can_run(process.pid)  # a zombie
    process.wait()
    assert not can_run(process.pid)
