"""What a job of another user leaves in a session of its own ends with it, whatever ends the job.

With the rights of a common container, so that the environment of another user's process cannot be
read; with control groups, and without any, where a keeper holds the job together.
"""

import os
import shutil
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from jobrunner.model import Job, JobState, LeftProcess, Reason
from jobrunner.runner.cgroups.discovery import find_places, folder_name
from tests.daemon.harness import Daemon, Project, eventually, is_alive

Projects = Callable[..., Project]
pytestmark = [
    pytest.mark.skipif(os.geteuid() != 0, reason="only root may become another user"),
    pytest.mark.skipif(shutil.which("setpriv") is None, reason="there is no setpriv"),
]

CAPABILITIES = (
    "-all,+chown,+dac_override,+fsetid,+fowner,+mknod,+net_raw,+setgid,+setuid,+setfcap,+setpcap,"
    "+net_bind_service,+sys_chroot,+kill,+audit_write"
)
# All trees away, in a view of the file system of its own.
NO_GROUPS = ["unshare", "-m", "sh", "-c", 'umount -R /sys/fs/cgroup && exec "$@"', "sh"]
CONTAINER = ["setpriv", "--bounding-set", CAPABILITIES, "--inh-caps", "-all"]

# Notes the pid of a process without environment, parent and session of the job, then goes on.
LEAVE = "(setsid env -i /bin/sh -c 'echo $$ >> {0}; trap \"\" TERM HUP; while :; do sleep 1; done' >/dev/null 2>&1 &); until [ -s {0} ]; do sleep 0.01; done"  # noqa: E501 - one script


def manifest(witness: Path) -> str:
    leave = LEAVE.format(witness)
    return f"""
name: demo
workers: {{processes: 1, slots: 4}}
defaults: {{user: nobody, cwd: /, kill_grace: 0.2s}}
tasks:
  ends:
    shell: |
      {leave}
  lasts:
    shell: |
      {leave}; sleep 1000
  slow:
    shell: |
      {leave}; sleep 1000
    timeout: 1s
  refused: {{command: [no-such-program]}}
  pinched: {{command: ["true"], limits: {{files: 1000000000}}}}
  limited: {{shell: "ulimit -n; nice; umask", limits: {{files: 77}}, nice: 15, umask: "027"}}
"""


@pytest.fixture(params=["groups", "keeper"])
def demo(request: pytest.FixtureRequest, project: Projects) -> Project:
    """A daemon that can make control groups, or none."""
    has_groups = request.param == "groups"
    if has_groups and not can_make_groups():
        pytest.skip("no control groups can be made here")
    made = project("name: demo\ntasks: {a: {shell: 'true'}}\n")
    made.folder.chmod(0o755)
    witness(made).touch()
    witness(made).chmod(0o666)
    made.write(manifest(witness(made)))
    made.prefix = [*([] if has_groups else NO_GROUPS), *CONTAINER]
    return made


def can_make_groups() -> bool:
    texts = (Path("/proc/self/cgroup").read_text(), Path("/proc/self/mountinfo").read_text())
    return any(os.access(place.folder, os.W_OK) for place in find_places(*texts))


def witness(demo: Project) -> Path:
    return demo.folder / "left"


def left_of(demo: Project, task: str) -> tuple[str, int]:
    """A job that has left a process, and that."""
    job_id = demo.submit(task)
    [pid] = map(int, demo.wait_for_lines(1, "left"))
    assert is_alive(pid)
    return job_id, pid


def assert_gone(pid: int) -> None:
    eventually(lambda: not is_alive(pid), within=5)


def test_what_a_job_left_is_stopped_at_its_end_and_told(demo: Project) -> None:
    daemon = demo.start()
    job_id, pid = left_of(demo, "ends")

    ended = demo.ended(job_id)

    assert ended.state is JobState.COMPLETED
    assert not is_alive(pid)
    assert ended.left is not None
    assert LeftProcess(pid, "sh") in ended.left
    assert f"stopped processes that a job had left job_id={job_id}" in daemon.log()
    assert f"sh ({pid})" in demo.cli("show", job_id).ok().out
    told = demo.json("show", job_id)["left"]
    assert {"pid": pid, "name": "sh", "killed": True} in told


def test_what_a_job_left_ends_with_its_timeout(demo: Project) -> None:
    demo.start()
    job_id, pid = left_of(demo, "slow")

    assert demo.ended(job_id).reason is Reason.TIMEOUT

    assert not is_alive(pid)


def test_what_a_job_left_ends_when_it_is_cancelled(demo: Project) -> None:
    demo.start()
    job_id, pid = left_of(demo, "lasts")

    demo.client.cancel(job_id)

    assert demo.ended(job_id).state is JobState.CANCELLED
    assert not is_alive(pid)


def test_what_a_job_left_ends_when_its_worker_dies_before_it_runs_again(demo: Project) -> None:
    daemon = demo.start()
    job_id, pid = left_of(demo, "lasts")

    os.kill(demo.worker_pid(demo.running(job_id)), signal.SIGKILL)

    def runs_again() -> Job | None:
        job = demo.job(job_id)
        return job if job.attempt == 2 and job.state is JobState.RUNNING else None

    eventually(runs_again)
    assert not is_alive(pid)
    assert f"job_id={job_id}" in _line_of(daemon, "killed what a dead worker had left")


def _line_of(daemon: Daemon, text: str) -> str:
    return next(line for line in daemon.log().splitlines() if text in line)


def test_what_a_job_left_ends_when_the_daemon_stops_at_once(demo: Project) -> None:
    daemon = demo.start()
    _, pid = left_of(demo, "lasts")

    demo.cli("stop", "--now").ok()

    assert daemon.ended() == 0
    assert not is_alive(pid)


def test_what_a_job_left_ends_when_the_supervisor_is_killed(demo: Project) -> None:
    daemon = demo.start()
    _, pid = left_of(demo, "lasts")

    daemon.kill()

    assert_gone(pid)


def test_a_command_that_cannot_be_started_says_so_as_any_other(demo: Project) -> None:
    demo.start()

    refused = demo.ended(demo.submit("refused"))
    pinched = demo.ended(demo.submit("pinched"))

    assert refused.error is not None
    assert "no-such-program" in refused.error.message
    assert pinched.error is not None
    assert "limits.files" in pinched.error.message


def test_limits_niceness_and_umask_hold_for_another_user(demo: Project) -> None:
    demo.start()
    job_id = demo.submit("limited")

    assert demo.ended(job_id).state is JobState.COMPLETED

    texts = [line.text for line in demo.client.logs(job_id)]
    assert texts == ["77", "15", "0027"]


def test_no_group_is_left_by_a_daemon_that_has_stopped_or_was_killed(demo: Project) -> None:
    daemon = demo.start()
    left_of(demo, "lasts")
    before = _groups(demo)
    assert before or demo.prefix[0] == "unshare"

    daemon.kill()

    eventually(lambda: not _groups(demo), within=5)


def _groups(demo: Project) -> set[str]:
    """Folders of the daemon's jobs."""
    texts = (Path("/proc/self/cgroup").read_text(), Path("/proc/self/mountinfo").read_text())
    places = [Path(place.folder) for place in find_places(*texts)]
    return {
        str(found) for place in places for found in place.glob(f"{folder_name(demo.state)}/*/*.*")
    }


LIMITED = """
name: demo
workers: {processes: 1, slots: 4}
defaults: {kill_grace: 0.2s}
tasks:
  eats: {shell: "python3 -c 'x = bytearray(256 << 20)'", limits: {memory: 48M}}
  burns: {shell: "(while :; do :; done) & (while :; do :; done) & sleep 1000", limits: {cpu: 0.5s}}
  forks: {shell: "for n in 1 2 3 4 5 6; do sleep 1 & done; wait", limits: {pids: 4}}
  fits: {shell: "(while [ $(ps | wc -l) -lt 0 ]; do :; done); echo fine", limits: {memory: 48M, pids: 20, cpu: 20s}}
  wipes: {shell: "(setsid env -i /bin/sh -c 'echo $$ >> left; exec sleep 1000' >/dev/null 2>&1 &); sleep 1000"}
"""  # noqa: E501 - a task a line


@pytest.fixture
def limited(project: Projects) -> Project:
    if not can_make_groups():
        pytest.skip("no control groups can be made here")
    made = project(LIMITED)
    made.start()
    return made


@pytest.mark.parametrize(
    ("task", "told"),
    [
        ("eats", "reached limits.memory of 48M"),
        ("burns", "used up limits.cpu of 500ms"),
        ("forks", "reached limits.pids of 4"),
    ],
)
def test_a_limit_holds_for_all_processes_of_a_job_and_its_error_names_it(
    limited: Project, task: str, told: str
) -> None:
    failed = limited.ended(limited.submit(task))

    assert (failed.state, failed.reason) == (JobState.FAILED, Reason.ERROR)
    assert failed.error is not None
    assert told in failed.error.message


def test_a_job_within_its_limits_completes_and_tells_what_it_used(limited: Project) -> None:
    job_id = limited.submit("fits")

    ended = limited.ended(job_id)

    assert ended.state is JobState.COMPLETED
    assert ended.usage is not None
    assert ended.usage.cpu_ms is not None
    assert ended.usage.memory_bytes is None or 0 < ended.usage.memory_bytes < 48 << 20
    assert "processor" in limited.cli("show", job_id).ok().out


def test_a_plain_command_that_wiped_its_environment_ends_with_its_worker(limited: Project) -> None:
    job_id, pid = left_of(limited, "wipes")

    os.kill(limited.worker_pid(limited.running(job_id)), signal.SIGKILL)

    assert_gone(pid)
