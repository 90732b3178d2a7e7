"""Attempts of commands and shell scripts, with real processes."""

import asyncio
import contextlib
import errno
import json
import os
import pwd
import resource
import shutil
import signal
import stat
import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import uvloop
from msgspec.structs import replace

from jobrunner.clock import SystemClock
from jobrunner.manifest.parts import SecretRef
from jobrunner.model import Reason
from jobrunner.runner.attempt import Ended, Outcome, Stop, StopReason
from jobrunner.runner.command import CommandRunner
from jobrunner.runner.environment import base_environment
from jobrunner.runner.output import Output
from jobrunner.runner.prctl import become_subreaper
from jobrunner.runner.processes import ProcessRegistry
from jobrunner.runner.results import ResultFiles
from jobrunner.store.logs import Stream
from tests.unit.runner.conftest import (
    MakeAttempt,
    MemorySink,
    eventually,
    is_alive,
    message_of,
)

pytestmark = pytest.mark.anyio
Run = Callable[..., Awaitable[Outcome]]
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root may become another user")


@pytest.fixture
def results() -> Iterator[ResultFiles]:
    files = ResultFiles("w1")
    yield files
    files.close()


@pytest.fixture
def registry() -> ProcessRegistry:
    reaper = os.getpid() if become_subreaper() else None
    return ProcessRegistry(f"worker-{os.getpid()}", reaper)


def make_runner(registry: ProcessRegistry, results: ResultFiles) -> CommandRunner:
    return CommandRunner(registry, results, base_environment(os.environ), SystemClock())


@pytest.fixture
async def runner(registry: ProcessRegistry, results: ResultFiles) -> AsyncIterator[CommandRunner]:
    runner = make_runner(registry, results)
    yield runner
    runner.close()
    with contextlib.suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:  # orphans came to this process
            pass


@pytest.fixture
def run(runner: CommandRunner, output: Output, make_attempt: MakeAttempt) -> Run:
    """Perform an attempt of a task with these keys, up to the end of its output."""

    async def run(stop: Stop | None = None, **task: Any) -> Outcome:
        attempt = task.pop("attempt", None) or make_attempt(**task)
        outcome = await runner.run(attempt, output, stop or Stop())
        await output.close()
        return outcome

    return run


async def test_a_command_gets_its_words_as_they_are(run: Run, sink: MemorySink) -> None:
    outcome = await run(
        command=["printf", "%s\\n", "a {x} b", "$HOME; *"],
        params={"x": {}},
        arguments={"x": "one  two'"},
    )

    assert outcome.ended is Ended.COMPLETED
    assert sink.texts() == ["a one  two' b", "$HOME; *"]


async def test_a_script_stops_at_its_first_error(run: Run, sink: MemorySink) -> None:
    outcome = await run(shell="echo one\nfalse\necho two\n")

    assert outcome.ended is Ended.FAILED
    assert outcome.exit_code == 1
    assert sink.texts() == ["one"]


async def test_parameters_reach_a_script_as_variables_only(run: Run, sink: MemorySink) -> None:
    outcome = await run(
        shell='echo "$REGION" "$DRY_RUN" "<$NOTE>"',
        params={"region": {}, "dry-run": {"type": "boolean"}, "note": {"required": False}},
        arguments={"region": "$(touch hacked); eu", "dry-run": True},
    )

    assert outcome.ended is Ended.COMPLETED
    assert sink.texts() == ["$(touch hacked); eu true <>"]


async def test_a_parameter_cannot_replace_a_variable_the_shell_needs(run: Run) -> None:
    outcome = await run(shell="true", params={"path": {}}, arguments={"path": "/tmp"})

    assert outcome.ended is Ended.FAILED
    assert "parameter 'path' cannot become the variable PATH" in message_of(outcome)


async def test_stdout_and_stderr_are_told_apart(run: Run, sink: MemorySink) -> None:
    await run(shell="echo out; echo err >&2")

    assert sink.texts(Stream.STDOUT) == ["out"]
    assert sink.texts(Stream.STDERR) == ["err"]


async def test_standard_input_is_empty(run: Run) -> None:
    assert (await run(command=["cat"])).ended is Ended.COMPLETED


async def test_a_command_is_told_about_its_job(
    run: Run, make_attempt: MakeAttempt, sink: MemorySink
) -> None:
    attempt = make_attempt(shell="env | grep ^JOBRUNNER_ | sort", number=3)
    attempt = replace(attempt, fire_time=datetime(2026, 11, 21, 1, tzinfo=UTC))

    await run(attempt=attempt)

    told = dict(line.split("=", 1) for line in sink.texts())
    assert told.pop("JOBRUNNER_RESULT").endswith(".json")
    assert told == {
        "JOBRUNNER_JOB_ID": "job",
        "JOBRUNNER_TASK": "demo",
        "JOBRUNNER_ATTEMPT": "3",
        "JOBRUNNER_FENCE": "7",
        "JOBRUNNER_FIRE_TIME": "2026-11-21T01:00:00Z",
        "JOBRUNNER_WORKER": attempt.worker,
        "JOBRUNNER_OWNER": "",
    }


async def test_variables_come_from_files_then_env_then_parameters(
    run: Run, sink: MemorySink, tmp_path: Path
) -> None:
    (tmp_path / "task.env").write_text("# sizes\nexport A=file\nB='file'\nC=\"fi\\nle\" # end\n")

    await run(
        shell='echo "$A" "$B" "$C"',
        env_file="task.env",
        env={"A": "env", "B": "env"},
        params={"b": {}},
        arguments={"b": "param"},
    )

    assert sink.texts() == ["env param fi", "le"]


async def test_what_belongs_to_the_daemon_is_kept_from_commands() -> None:
    environ = {"PATH": "/bin", "NOTIFY_SOCKET": "/run/n", "JOBRUNNER_FENCE": "1", "TOKEN": "t"}

    assert base_environment(environ, {"TOKEN"}) == {"PATH": "/bin"}


async def test_secrets_are_given_but_never_shown(
    run: Run, sink: MemorySink, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DEMO_TOKEN", "tok-123")
    (tmp_path / "password").write_text("hunter2\n")

    outcome = await run(
        shell='test "$P" = hunter2; echo "$T $P $PIN"; echo "bad $P" >&2; exit 3',
        env={"T": {"env": "DEMO_TOKEN"}, "P": {"file": "password"}},
        params={"pin": {"secret": True}},
        arguments={"pin": "987654"},
    )

    assert sink.texts() == ["*** *** ***", "bad ***"]
    assert message_of(outcome) == "exit code 3: bad ***"


@pytest.mark.parametrize(
    ("task", "message"),
    [
        ({"env": {"T": {"env": "NOT_THERE_9"}}}, "the daemon has no variable 'NOT_THERE_9'"),
        ({"env": {"T": {"file": "nowhere"}}}, "secret 'T' cannot be read from 'nowhere'"),
        ({"env_file": "nowhere.env"}, "nowhere.env' cannot be read: No such file"),
        ({"cwd": "nowhere"}, "cannot enter the working folder"),
        ({"user": "nobody-at-all"}, "there is no user 'nobody-at-all'"),
        ({"group": "nobody-at-all"}, "there is no group 'nobody-at-all'"),
        ({"limits": {"files": 1 << 40}}, "cannot set limits.files to"),
        ({"env": {"T": "a\0b"}}, "cannot start 'true': embedded null byte"),
    ],
)
async def test_what_cannot_be_set_up_fails_the_attempt_and_says_why(
    run: Run, task: dict[str, Any], message: str
) -> None:
    outcome = await run(command=["true"], **task)

    assert outcome.ended is Ended.FAILED
    assert outcome.reason is Reason.ERROR
    assert message in message_of(outcome)


@pytest.fixture(params=["the worker's folder", "another folder"])
def either_spawn(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Both ways to start a process: posix_spawn needs that the command's folder is the worker's."""
    if request.param == "the worker's folder":
        monkeypatch.chdir(tmp_path)


@pytest.mark.usefixtures("either_spawn")
async def test_a_missing_command_is_named(run: Run) -> None:
    outcome = await run(command=["no-such-command", "x"])

    assert outcome.exit_code == 127
    assert "command not found: 'no-such-command'" in message_of(outcome)


@pytest.mark.usefixtures("either_spawn")
async def test_a_command_is_looked_up_along_its_own_path(
    run: Run, sink: MemorySink, tmp_path: Path
) -> None:
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "ls").write_text("#!/bin/sh\necho mine\n")
    (tmp_path / "bin" / "ls").chmod(0o755)

    await run(command=["ls"], env={"PATH": f"/nowhere:{tmp_path}/bin:/bin"})

    assert sink.texts() == ["mine"]


@pytest.mark.usefixtures("either_spawn")
async def test_a_command_has_its_own_session_folder_and_signals(
    run: Run, sink: MemorySink, tmp_path: Path
) -> None:
    outcome = await run(shell="ps -o pid=,pgid=,sid= -p $$; pwd; cat; kill -PIPE $$")

    ids, folder = sink.texts()
    assert len(set(ids.split())) == 1
    assert folder == str(tmp_path)
    assert message_of(outcome) == "killed by SIGPIPE"


@pytest.mark.usefixtures("either_spawn")
async def test_a_file_that_is_not_executable_is_named(run: Run, tmp_path: Path) -> None:
    (tmp_path / "script").write_text("#!/bin/sh\n")

    outcome = await run(command=["./script"])

    assert outcome.exit_code == 126
    assert "command not executable: './script'" in message_of(outcome)


async def test_other_exit_codes_may_be_a_success(run: Run) -> None:
    outcome = await run(command=["sh", "-c", "exit 3"], success_codes=[0, 3])

    assert outcome.ended is Ended.COMPLETED
    assert outcome.exit_code == 3


async def test_a_failure_quotes_the_last_line_of_stderr(run: Run) -> None:
    outcome = await run(shell="echo 'disk full' >&2; exit 22")

    assert message_of(outcome) == "exit code 22: disk full"


async def test_a_command_killed_by_a_signal_says_which(run: Run) -> None:
    outcome = await run(shell="kill -SEGV $$")

    assert outcome.ended is Ended.FAILED
    assert outcome.error is not None
    assert (outcome.error.type, outcome.exit_code) == ("signal", 139)
    assert message_of(outcome) == "killed by SIGSEGV"


async def test_json_in_the_result_file_becomes_the_result(run: Run) -> None:
    outcome = await run(shell="""echo '{"rows": 3}' > "$JOBRUNNER_RESULT" """)

    assert outcome.result == b'{"rows": 3}'


@pytest.mark.parametrize(
    ("script", "message"),
    [
        ("echo '{rows}' > $JOBRUNNER_RESULT", "is not JSON"),
        ("head -c 17000000 /dev/zero > $JOBRUNNER_RESULT", "more than the 16,777,216 bytes"),
        ("ln -s /etc/passwd $JOBRUNNER_RESULT", "is a link"),
        ("ln -s /nowhere $JOBRUNNER_RESULT", "is a link"),
        ("mkfifo $JOBRUNNER_RESULT", "not a regular file"),
    ],
)
async def test_a_bad_result_fails_the_attempt(run: Run, script: str, message: str) -> None:
    outcome = await run(shell=script)

    assert outcome.ended is Ended.FAILED
    assert outcome.error is not None
    assert outcome.error.type == "result"
    assert message in outcome.error.message


async def test_a_timeout_stops_the_whole_tree(run: Run, tmp_path: Path) -> None:
    script = (
        "setsid sleep 1000 & echo $! > pid; (setsid sh -c 'echo $$ > pid2; sleep 1000' &); wait"
    )

    outcome = await run(shell=script, timeout="0.3s", kill_grace="2s")

    assert (outcome.ended, outcome.reason) == (Ended.FAILED, Reason.TIMEOUT)
    assert message_of(outcome) == "ran longer than its timeout of 300ms"
    assert 0.3 <= outcome.duration.total_seconds() < 2
    for name in ("pid", "pid2"):
        assert not is_alive(int((tmp_path / name).read_text()))


async def test_a_command_that_ignores_term_is_killed_after_the_grace(run: Run) -> None:
    outcome = await run(
        shell="trap '' TERM; while :; do sleep 0.05; done", timeout="0.1s", kill_grace="0.3s"
    )

    assert outcome.reason is Reason.TIMEOUT
    assert 0.4 <= outcome.duration.total_seconds() < 2


async def test_a_command_may_clean_up_when_it_is_stopped(run: Run, sink: MemorySink) -> None:
    await run(
        shell="trap 'echo cleaned up; exit 0' TERM; while :; do sleep 0.02; done", timeout="0.2s"
    )

    assert sink.texts(Stream.STDOUT) == ["cleaned up"]


@pytest.mark.parametrize(
    ("reason", "ended"),
    [
        (StopReason.CANCEL, Ended.CANCELLED),
        (StopReason.SHUTDOWN, Ended.ABANDONED),
        (StopReason.LEASE_LOST, Ended.ABANDONED),
    ],
)
async def test_a_stop_ends_the_attempt_as_its_reason_says(
    run: Run, sink: MemorySink, reason: StopReason, ended: Ended
) -> None:
    stop = Stop()
    running = asyncio.ensure_future(run(stop, shell="echo up; exec sleep 1000"))
    await eventually(lambda: sink.texts() == ["up"])

    stop.set(reason)

    assert (await running).ended is ended


async def test_a_lost_lease_gives_no_grace(run: Run, sink: MemorySink) -> None:
    stop = Stop()
    script = "trap '' TERM; echo up; while :; do sleep 0.05; done"
    running = asyncio.ensure_future(run(stop, shell=script, kill_grace="30s"))
    await eventually(lambda: sink.texts() == ["up"])

    stop.set(StopReason.LEASE_LOST)

    assert (await running).duration.total_seconds() < 5


async def test_a_stop_that_came_first_is_obeyed(run: Run) -> None:
    stop = Stop()
    stop.set(StopReason.CANCEL)

    outcome = await run(stop, command=["sleep", "1000"])

    assert outcome.ended is Ended.CANCELLED


async def test_processes_left_in_the_background_end_with_the_job(run: Run, tmp_path: Path) -> None:
    outcome = await run(shell="sleep 1000 & echo $! > pid; (setsid sleep 1001 & echo $! > pid2)")

    assert outcome.ended is Ended.COMPLETED
    for name in ("pid", "pid2"):
        assert not is_alive(int((tmp_path / name).read_text()))


async def test_a_process_out_of_reach_that_holds_stdout_does_not_hang_the_job(
    runner: CommandRunner, output: Output, make_attempt: MakeAttempt, tmp_path: Path
) -> None:
    # It leaves the session, its parent and its environment, so nothing tells whose it was.
    attempt = make_attempt(
        shell="(env -i setsid sh -c 'echo $$ > pid; exec sleep 1000' &) ; sleep 0.2"
    )

    outcome = await runner.run(attempt, output, Stop())

    assert outcome.ended is Ended.COMPLETED
    assert outcome.duration.total_seconds() < 3
    os.kill(int((tmp_path / "pid").read_text()), signal.SIGKILL)


async def test_a_folder_in_place_of_a_result_fails_the_attempt_and_is_removed(
    run: Run, sink: MemorySink
) -> None:
    outcome = await run(shell='mkdir "$JOBRUNNER_RESULT"; echo "$JOBRUNNER_RESULT"')

    assert message_of(outcome) == "the result is not a regular file"
    await eventually(lambda: not Path(sink.texts()[0]).exists())


async def test_a_program_that_has_moved_along_path_is_found_at_once(
    run: Run, tmp_path: Path
) -> None:
    env = {"PATH": f"{tmp_path}/a:{tmp_path}/b:{os.environ['PATH']}"}
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "tool").write_text(f"#!/bin/sh\necho {folder}\n")
        (tmp_path / folder / "tool").chmod(0o755)
    await run(command=["tool"], env=env, cwd=os.getcwd())

    (tmp_path / "a" / "tool").unlink()
    outcome = await run(command=["tool"], env=env, cwd=os.getcwd())

    assert outcome.ended is Ended.COMPLETED


async def test_streams_of_a_short_command_keep_the_order_of_its_steps(
    run: Run, sink: MemorySink
) -> None:
    await run(shell="echo one; sleep 0.02; echo two >&2; sleep 0.02; echo three")

    assert sink.texts() == ["one", "two", "three"]


async def test_cancelling_the_attempt_itself_kills_the_tree(
    runner: CommandRunner, output: Output, make_attempt: MakeAttempt, tmp_path: Path
) -> None:
    attempt = make_attempt(shell="echo $$ > pid.new; mv pid.new pid; sleep 1000")
    running = asyncio.create_task(runner.run(attempt, output, Stop()))
    await eventually((tmp_path / "pid").exists)

    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running

    pid = int((tmp_path / "pid").read_text())
    await eventually(lambda: not is_alive(pid))


async def test_the_process_is_on_record_while_it_runs(
    runner: CommandRunner,
    registry: ProcessRegistry,
    output: Output,
    sink: MemorySink,
    make_attempt: MakeAttempt,
) -> None:
    outcomes: list[Outcome] = []

    runner.begin(make_attempt(shell="echo $$"), output, Stop(), outcomes.append)

    group = registry.group_of("job")
    await eventually(lambda: bool(outcomes))
    await output.close()
    assert group is not None
    assert sink.texts() == [str(group.pid)]
    assert registry.group_of("job") is None


async def test_ten_megabytes_of_output_pass_quickly_and_are_capped(
    run: Run, sink: MemorySink
) -> None:
    outcome = await run(shell="yes 'a line of output as many programs write it' | head -c 10000000")

    kept = sum(len(text) + 1 for text in sink.texts(Stream.STDOUT))
    assert outcome.ended is Ended.COMPLETED
    assert outcome.duration.total_seconds() < 5
    assert 500_000 < kept <= 1 << 20
    assert len(sink.texts(Stream.CUT)) == 1


async def test_a_slow_store_slows_the_command_down(run: Run, sink: MemorySink) -> None:
    sink.is_slow = True
    running = asyncio.ensure_future(run(shell="yes 'a line of output' | head -c 1000000"))
    await eventually(lambda: bool(sink.woken) and sink.woken[0].is_full)

    held = len(sink.woken)
    await asyncio.sleep(0.05)
    assert len(sink.woken) == held  # nothing more was read

    sink.is_slow = False
    sink.write_all()
    assert (await running).ended is Ended.COMPLETED


async def test_attempts_at_the_same_time_keep_their_output_apart(
    runner: CommandRunner, sink: MemorySink, make_attempt: MakeAttempt
) -> None:
    outputs = [Output(f"j{n}", 1, "1", sink, SystemClock()) for n in range(16)]

    async def perform(output: Output) -> None:
        script = f"for i in 1 2 3; do echo {output.job_id}; done"
        attempt = replace(make_attempt(shell=script), job_id=output.job_id)
        await runner.run(attempt, output, Stop())
        await output.close()

    await asyncio.gather(*map(perform, outputs))

    for output in outputs:
        assert sink.texts(job_id=output.job_id) == [output.job_id] * 3


async def test_limits_nice_and_umask_are_set_before_the_command_begins(
    run: Run, sink: MemorySink, tmp_path: Path
) -> None:
    script = "ulimit -v; ulimit -n; ulimit -t; nice; umask; touch made; cat"

    outcome = await run(
        shell=script,
        limits={"memory": "512M", "files": 77, "cpu": "90s"},
        nice=7,
        umask="027",
    )

    assert outcome.ended is Ended.COMPLETED
    assert sink.texts() == [str(512 * 1024), "77", "90", "7", "0027"]
    assert stat.S_IMODE((tmp_path / "made").stat().st_mode) == 0o640


async def test_a_command_over_its_cpu_limit_is_stopped_and_says_so(run: Run) -> None:
    outcome = await run(shell="while :; do :; done", limits={"cpu": "1s"})

    assert message_of(outcome) == "killed by SIGXCPU: it used up limits.cpu"


async def test_a_missing_command_behind_a_limit_is_named_too(run: Run) -> None:
    outcome = await run(command=["no-such-command"], nice=5)

    assert outcome.exit_code == 127
    assert "no-such-command" in message_of(outcome)


@needs_root
async def test_a_command_runs_as_another_user(run: Run, sink: MemorySink, tmp_path: Path) -> None:
    account = pwd.getpwnam("nobody")

    outcome = await run(
        shell='id -un; id -gn; echo "$USER"; echo "$HOME"; echo 1 > "$JOBRUNNER_RESULT"',
        user="nobody",
        cwd="/",
    )

    group = sink.texts()[1]
    assert sink.texts() == ["nobody", group, "nobody", account.pw_dir]
    assert json.loads(outcome.result or b"null") == 1


@needs_root
async def test_only_the_group_may_be_changed(run: Run, sink: MemorySink) -> None:
    await run(shell="id -u; id -g", group="1", nice=3)

    assert sink.texts() == ["0", "1"]


@needs_root
async def test_limits_and_nice_are_set_for_another_user_too(run: Run, sink: MemorySink) -> None:
    outcome = await run(
        shell="ulimit -v; ulimit -n; ulimit -Hn; ulimit -t; ulimit -Ht; nice; id -un",
        limits={"memory": "512M", "files": 77, "cpu": "90s"},
        nice=7,
        user="nobody",
        cwd="/",
    )

    assert outcome.ended is Ended.COMPLETED
    assert sink.texts() == [str(512 * 1024), "77", "77", "90", "95", "7", "nobody"]


@needs_root
async def test_a_number_without_an_account_is_a_user_of_no_other_group(
    run: Run, sink: MemorySink
) -> None:
    outcome = await run(shell='id -u; id -g; id -G; echo "$HOME $USER"', user="54321", cwd="/")

    assert outcome.ended is Ended.COMPLETED
    assert sink.texts() == ["54321", "54321", "54321", "/ 54321"]


@pytest.mark.parametrize(
    ("task", "what"),
    [
        # The system takes the largest number for "do not change it": the job would be root's.
        ({"user": "4294967295"}, "4294967295 is no number of a user"),
        ({"group": "4294967295"}, "4294967295 is no number of a user or group"),
        ({"user": "12345:6"}, "there is no user '12345:6'; write `user: 12345` and `group: 6`"),
    ],
)
async def test_what_is_no_user_is_refused(run: Run, task: dict[str, str], what: str) -> None:
    outcome = await run(shell="id", **task)

    assert what in message_of(outcome)


async def test_a_limit_beyond_the_daemons_own_is_refused_with_the_right_that_is_missing(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(errno.EPERM, os.strerror(errno.EPERM))

    monkeypatch.setattr("resource.prlimit", refuse)
    monkeypatch.setattr("os.setpriority", refuse)

    assert "CAP_SYS_RESOURCE" in message_of(await run(shell="id", limits={"files": 1 << 30}))
    assert "CAP_SYS_NICE" in message_of(await run(shell="id", nice=-20))


def test_commands_run_on_uvloop(
    registry: ProcessRegistry, results: ResultFiles, sink: MemorySink, make_attempt: MakeAttempt
) -> None:
    async def perform() -> Outcome:
        runner = make_runner(registry, results)
        output = Output("job", 1, "1", sink, SystemClock())
        outcome = await runner.run(make_attempt(shell="echo hello; exit 3"), output, Stop())
        await output.close()
        runner.close()
        return outcome

    outcome = uvloop.run(perform())

    assert outcome.exit_code == 3
    assert sink.texts() == ["hello"]


async def test_a_secret_is_masked_in_the_result_of_a_command(run: Run, tmp_path: Path) -> None:
    (tmp_path / "token").write_text("sesame-open\n")

    outcome = await run(
        shell='echo "{\\"got\\": \\"$TOKEN\\", \\"pin\\": $PIN}" > "$JOBRUNNER_RESULT"',
        env={"TOKEN": SecretRef(file="token")},
        params={"pin": {"secret": True, "type": "integer"}},
        arguments={"pin": 4711},
    )

    assert json.loads(outcome.result or b"") == {"got": "***", "pin": "***"}


async def test_a_byte_order_mark_is_no_part_of_a_secret_or_of_a_variable(
    run: Run, sink: MemorySink, tmp_path: Path
) -> None:
    (tmp_path / "token").write_bytes(b"\xef\xbb\xbfsesame-open\n")
    (tmp_path / "job.env").write_bytes(b"\xef\xbb\xbfFIRST=1\n")

    await run(
        shell='printf %s "$TOKEN" | wc -c; echo "$FIRST"',
        env={"TOKEN": SecretRef(file="token")},
        env_file=["job.env"],
    )

    assert [text.strip() for text in sink.texts()] == ["11", "1"]


async def test_each_text_within_a_secret_argument_is_masked(run: Run, sink: MemorySink) -> None:
    await run(
        shell="echo user sesame-open",
        params={"login": {"secret": True, "type": "any"}},
        arguments={"login": {"name": "user", "keys": ["sesame-open", True]}},
    )

    assert sink.texts() == ["*** ***"]


@pytest.mark.parametrize("cwd", [{"cwd": "/usr"}, {}])
async def test_pwd_is_the_folder_of_the_command(
    run: Run, sink: MemorySink, tmp_path: Path, cwd: dict[str, str]
) -> None:
    await run(command=["env"], env={"PWD": "/elsewhere", "OLDPWD": "/before"}, **cwd)

    folders = [line for line in sink.texts() if line.startswith(("PWD=", "OLDPWD="))]
    assert folders == [f"PWD={cwd.get('cwd', tmp_path)}"]


async def test_a_job_that_would_leave_its_folder_does_not_start(run: Run) -> None:
    outcome = await run(
        command=["true"], cwd="/usr/{x}", params={"x": {}}, arguments={"x": "../etc"}
    )

    assert (outcome.ended, outcome.reason) == (Ended.FAILED, Reason.INVALID_ARGUMENTS)
    assert "'/usr/{x}' is not below '/usr'" in message_of(outcome)


@pytest.mark.usefixtures("either_spawn")
@pytest.mark.parametrize("line", ["#!/bin/sh", "#!/usr/bin/env sh", "#!/bin/sh -e"])
async def test_windows_line_ends_in_the_interpreter_line_are_the_reason_told(
    run: Run, tmp_path: Path, line: str
) -> None:
    (tmp_path / "job").write_bytes(line.encode() + b"\r\necho hi\r\n")
    (tmp_path / "job").chmod(0o755)

    outcome = await run(command=["./job"])

    assert outcome.ended is Ended.FAILED
    assert "its lines end with CR LF, as on Windows" in message_of(outcome)


@pytest.mark.skipif(shutil.which("bash") is None, reason="no bash here")
async def test_a_failing_pipe_is_a_failure_where_bash_runs_the_script(run: Run) -> None:
    outcome = await run(shell="false | cat", interpreter="bash")

    assert (outcome.ended, outcome.exit_code) == (Ended.FAILED, 1)


async def test_a_script_in_another_language_gets_its_parameters_as_variables(
    run: Run, sink: MemorySink
) -> None:
    await run(
        shell="import os\nprint(os.environ['N'])",
        interpreter=["python3", "-u"],
        params={"n": {}},
        arguments={"n": "5"},
    )

    assert sink.texts() == ["5"]


async def test_an_interpreter_that_is_not_there_is_named(run: Run) -> None:
    outcome = await run(shell="x", interpreter=["no-such-shell", "-c"])

    assert "command not found: 'no-such-shell'" in message_of(outcome)


@pytest.mark.parametrize(
    ("script", "fail_when", "message"),
    [
        (
            "echo odd >&2",
            {"stderr": True},
            "exit code 0, but it wrote to its standard error: odd",
        ),
        ("printf odd >&2", {"stderr": True}, "it wrote to its standard error: odd"),
        ("echo fine; echo 'ERROR: x'", {"output": "^ERROR"}, "matches '^ERROR': ERROR: x"),
        ("echo 'an ERROR' >&2", {"output": "ERROR"}, "matches 'ERROR': an ERROR"),
        ("printf 'no end ERROR'", {"output": "ERROR$"}, "matches 'ERROR$': no end ERROR"),
        ("echo ERROR; sleep 0.1; echo ERROR2", {"output": "(E+)+R"}, "'(E+)+R': ERROR"),
    ],
)
async def test_output_can_make_a_failure_of_an_exit_code_of_a_success(
    run: Run, script: str, fail_when: dict[str, Any], message: str
) -> None:
    outcome = await run(shell=script, fail_when=fail_when)

    assert (outcome.ended, outcome.exit_code) == (Ended.FAILED, 0)
    assert message in message_of(outcome)


@pytest.mark.parametrize(
    ("script", "fail_when"),
    [
        ("echo ERROR", {"stderr": True}),
        ("echo fine; echo odd >&2", {"output": "^ERROR"}),
        ("echo odd >&2", {}),
    ],
)
async def test_other_output_leaves_a_success(
    run: Run, script: str, fail_when: dict[str, Any]
) -> None:
    assert (await run(shell=script, fail_when=fail_when)).ended is Ended.COMPLETED


async def test_a_line_is_matched_though_it_is_cut_from_what_is_kept(
    make_attempt: MakeAttempt, runner: CommandRunner, sink: MemorySink
) -> None:
    output = Output("job", 1, "1", sink, SystemClock(), max_bytes=1000)
    script = (
        "yes filler | head -n 2000; printf '%0300dERROR%0300d\\n' 0 0; yes filler | head -n 2000"
    )

    attempt = make_attempt(shell=script, fail_when={"output": "0ERROR0"})
    outcome = await runner.run(attempt, output, Stop())

    assert outcome.ended is Ended.FAILED
    assert not any("ERROR" in text for text in sink.texts())


async def test_the_reason_of_a_failure_may_lack_a_line_end(run: Run) -> None:
    outcome = await run(shell="printf 'disk full' >&2; exit 3")

    assert message_of(outcome) == "exit code 3: disk full"


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("#!/bin/sh\r\n", "its lines end with CR LF"),
        ("#!/opt/none\n", "its interpreter '/opt/none' is not there"),
        (None, "command not found: './job'"),
    ],
)
async def test_with_limits_the_reason_of_a_failed_start_is_as_true(
    run: Run, tmp_path: Path, content: str | None, said: str
) -> None:
    if content is not None:
        (tmp_path / "job").write_bytes(content.encode())
        (tmp_path / "job").chmod(0o755)

    outcome = await run(command=["./job"], limits={"files": 100})

    assert outcome.exit_code == 127
    assert said in message_of(outcome)


async def test_no_error_about_the_folder_quotes_parts_of_a_secret(run: Run) -> None:
    secret = {"params": {"x": {"secret": True}}, "command": ["true"]}

    outside = await run(cwd="/tmp/{x}", arguments={"x": "../SUBsecret"}, **secret)
    missing = await run(cwd="/tmp/{x}", arguments={"x": "none/.//../SUBsecret"}, **secret)

    for outcome in (outside, missing):
        assert outcome.ended is Ended.FAILED
        assert "'/tmp/{x}'" in message_of(outcome)
        assert "SUBsecret" not in message_of(outcome)


async def test_a_left_process_that_is_named_as_a_secret_is_not_named(
    run: Run, tmp_path: Path
) -> None:
    outcome = await run(
        shell=f"cp /bin/sleep {tmp_path}/SUBsecretName; {tmp_path}/SUBsecretName 600 &\n"
        "until grep -q SUBsecret /proc/$!/comm; do :; done",
        params={"x": {"secret": True}},
        arguments={"x": "SUBsecretName"},
        kill_grace="0.5s",
    )
    assert [each.name for each in outcome.left or []] == ["***"]


@pytest.fixture
def busy_nobody() -> Iterator[None]:
    processes = [subprocess.Popen(["sleep", "600"], user="nobody") for _ in range(4)]
    yield
    for process in processes:
        process.kill()
        process.wait()


@needs_root
@pytest.mark.usefixtures("busy_nobody")
async def test_other_processes_of_the_user_that_reach_limits_pids_are_told_as_the_cause(
    run: Run,
) -> None:
    outcome = await run(command=["true"], user="nobody", limits={"pids": 2})

    assert (outcome.ended, outcome.reason) == (Ended.FAILED, Reason.ERROR)
    assert "limits.pids of 2 was reached before it began" in message_of(outcome)
    assert "other ones of that user" in message_of(outcome)


@needs_root
@pytest.mark.usefixtures("busy_nobody")
async def test_for_want_of_a_process_of_the_user_an_attempt_is_given_back(run: Run) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NPROC)
    resource.setrlimit(resource.RLIMIT_NPROC, (2, hard))
    try:
        outcome = await run(command=["true"], user="nobody")
    finally:
        resource.setrlimit(resource.RLIMIT_NPROC, (soft, hard))

    assert outcome.ended is Ended.ABANDONED
    assert "no room for another process" in message_of(outcome)
