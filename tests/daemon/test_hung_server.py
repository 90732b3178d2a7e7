"""A server that is stopped, not dead: it takes connections and answers nothing.

Every command tells what it waits for within three seconds, and gives up within its bound. All are
started at once, since each takes the ten seconds of that bound.
"""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.daemon.harness import ExternalServer, Project, eventually

MANIFEST = """
name: demo
workers: {processes: 1, slots: 4, drain: 5s}
tasks:
  long: {shell: sleep 600, kill_grace: 1s}
  quick: {shell: "true"}
crons:
  yearly: {task: quick, cron: "0 0 1 1 *"}
"""
START_S = 60  # of a machine on which thirty interpreters start at once, and other tests run
SILENT_S = 7 + 6  # between the telling and the end; the machine is loaded
BEARS_S = 30  # who waits for jobs bears an outage for so long


@dataclass
class Run:
    """One command under way; times are monotonic seconds."""

    process: "subprocess.Popen[str]"
    began_at: float
    err: Path
    told_at: float | None = None
    ended_at: float | None = None

    def look(self) -> bool:
        """Note what has happened; whether it has ended."""
        now = time.monotonic()
        has_ended = self.process.poll() is not None
        if self.told_at is None and self.told():
            self.told_at = now
        if self.ended_at is None and has_ended:
            self.ended_at = now
        return has_ended

    def gave_up_in_time(self) -> bool:
        """Whether it told what it waits for, and then did not wait for longer than its bound."""
        if self.told_at is None or self.ended_at is None:
            return False
        return self.ended_at - self.told_at < SILENT_S

    def told(self) -> bool:
        return "waiting for the store at " in self.err.read_text()

    def ended(self, within: float) -> tuple[int, str, str]:
        """Exit code, stdout and stderr."""
        out, _ = self.process.communicate(timeout=within)
        return self.process.returncode, out, self.err.read_text()


@contextmanager
def commands(demo: Project, lines: list[str]) -> Iterator[dict[str, Run]]:
    """Each runs from here on, as a script would run it."""
    with ExitStack() as stack:
        runs = {}
        for number, line in enumerate(lines):
            err = demo.folder / f"err-{number}"
            process = subprocess.Popen(
                [sys.executable, "-m", "jobrunner", *line.split()],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=stack.enter_context(err.open("w")),
                text=True,
                env=demo.environ,
                cwd=demo.folder,
            )
            stack.enter_context(process)  # closes its stdout in the end
            stack.callback(process.kill)
            runs[line] = Run(process, time.monotonic(), err)
        yield runs


@contextmanager
def hung(pid: int) -> Iterator[None]:
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


@pytest.fixture(scope="module")
def demo() -> Iterator[Project]:
    with Project(MANIFEST) as project:
        project.start()
        yield project


def test_every_command_tells_what_it_waits_for_and_gives_up(demo: Project) -> None:
    job, ended = demo.submit("long"), demo.submit("quick")
    demo.running(job)
    demo.ended(ended)
    (demo.folder / "batch").write_text('{"task": "quick"}\n' * 3)
    lines = [
        *("status", "list", "crons", "workers", "locks", "queues", "stats", "doctor", "reload"),
        *("submit quick", "submit quick --wait", "submit quick --durable", "submit --batch batch"),
        *(f"{name} {job}" for name in ("show", "why", "logs", "logs -f", "wait", "cancel")),
        *(f"{name} {ended}" for name in ("retry", "delete")),
        *("history quick", "pause yearly", "resume yearly", "trigger yearly"),
        *("locks --break report --yes", "status --json", "list --json", "submit quick --json"),
        "backfill yearly --from 2024-01-01 --to 2026-01-02 --yes",
    ]

    with hung(demo.server_pid()), commands(demo, lines) as runs:
        eventually(lambda: not sum(not run.look() for run in runs.values()), within=START_S)
        for line, run in runs.items():
            code, out, err = run.ended(1)
            assert code == 4, line
            assert run.gave_up_in_time(), line
            assert "Traceback" not in err, line
            told_of_it = out if line == "doctor" or line.startswith("why") else err
            assert "gives no answer in time" in told_of_it, line
            if "--json" in line:
                assert out == "", line

    eventually(lambda: demo.cli("status").code == 0)


def test_alone_a_command_tells_within_three_seconds_and_ends_within_ten(demo: Project) -> None:
    began_at = time.monotonic()
    demo.cli("status").ok()
    usual_s = time.monotonic() - began_at  # a tenth of what else is asked for, but for the load
    with hung(demo.server_pid()), commands(demo, ["status"]) as runs:
        run = runs["status"]
        eventually(run.look, within=START_S)

    assert run.told_at is not None
    assert run.ended_at is not None
    assert run.told_at - run.began_at < 3 + 2 * usual_s
    assert run.ended_at - run.began_at < 10 + 2 * usual_s
    assert run.process.returncode == 4


def test_who_waits_for_a_job_notices_that_the_server_hangs(demo: Project) -> None:
    job = demo.submit("long")
    demo.running(job)
    with commands(demo, [f"wait {job}", f"logs -f {job}", "submit long --wait"]) as runs:
        eventually(lambda: len([j for j in demo.jobs() if j.task == "long"]) >= 2)
        time.sleep(0.5)  # until all have begun to wait

        with hung(demo.server_pid()):
            for line, run in runs.items():
                eventually(run.told, within=3 + 5)
                code, _, err = run.ended(BEARS_S + START_S)
                assert code == 4, line
                assert "gives no answer in time" in err, line


def test_who_waits_for_a_job_bears_a_server_that_hangs_for_a_while(demo: Project) -> None:
    job = demo.submit("long")
    demo.running(job)
    with commands(demo, [f"wait {job}"]) as runs:
        run = runs[f"wait {job}"]
        time.sleep(0.5)
        with hung(demo.server_pid()):
            eventually(run.told, within=START_S)
        demo.cli("cancel", job).ok()

        code, out, _ = run.ended(START_S)

    assert (code, out) == (1, f"{out.split()[0]} cancelled after {out.split()[-1]}\n")


def test_a_completion_offers_nothing_and_does_not_wait(demo: Project) -> None:
    environ = {
        **demo.environ,
        "_JOBRUNNER_COMPLETE": "complete_bash",
        "_JOBRUNNER_LINE": "jobrunner submit ",
        "_JOBRUNNER_WORD": "",
    }
    with hung(demo.server_pid()):
        began_at = time.monotonic()
        done = subprocess.run(
            [sys.executable, "-m", "jobrunner"],
            env=environ,
            cwd=demo.folder,
            capture_output=True,
            text=True,
            timeout=START_S,
            check=False,
        )
        took = time.monotonic() - began_at

    assert (done.stdout.strip(), done.stderr) == ("", "")
    assert took < 8  # half a second, on a machine that is loaded


def test_a_daemon_tells_that_the_store_it_needs_does_not_answer(
    demo: Project, server: ExternalServer
) -> None:
    other = demo.folder / "other.yaml"
    other.write_text(
        f"name: other\nstore: {{url: '{server.url}'}}\ntasks: {{t: {{shell: 'true'}}}}\n"
    )
    environ = {**demo.environ, "JOBRUNNER_STATE": str(demo.folder / "other")}
    with hung(server.pid()):
        done = subprocess.run(
            [sys.executable, "-m", "jobrunner", "run", "--file", str(other)],
            env=environ,
            cwd=demo.folder,
            capture_output=True,
            text=True,
            timeout=START_S,
            check=False,
        )

    assert done.returncode == 4
    assert "WARNING waiting for the store, which does not answer" in done.stderr
    assert "no answer in time" in done.stderr
