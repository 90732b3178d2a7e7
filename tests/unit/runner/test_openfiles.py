"""The limit of open files: raised for slots, and given back to what is started."""

import asyncio
import os
import resource
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from jobrunner.clock import SystemClock
from jobrunner.runner.attempt import Attempt, Ended, Outcome, Stop
from jobrunner.runner.command import CommandRunner
from jobrunner.runner.failures import no_room
from jobrunner.runner.hostpool import HostPool
from jobrunner.runner.hoststart import HostSettings
from jobrunner.runner.openfiles import OpenFiles, files_for, limit, raise_limit, slots_within
from jobrunner.runner.output import Output
from jobrunner.runner.processes import ProcessRegistry
from jobrunner.runner.results import ResultFiles
from tests.unit.runner.conftest import MemorySink

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.skipif(sys.platform != "linux", reason="other systems keep the raised limit"),
]
MakeAttempt = Callable[..., Attempt]
ROOT = Path(__file__).parents[3]
SHOW = "ulimit -Sn; ulimit -Hn"


@pytest.fixture
def own_limit() -> Iterator[int]:
    """The hard limit of this process; the soft one is put back."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    yield hard
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.fixture
def raised(own_limit: int) -> OpenFiles:
    """This process has raised its limit, and has more files open than what it starts may have."""
    resource.setrlimit(resource.RLIMIT_NOFILE, (256, own_limit))
    raise_limit(2048)
    return OpenFiles(256)


@contextmanager
def many_open(number: int) -> Iterator[None]:
    opened = [os.open(os.devnull, os.O_RDONLY) for _ in range(number)]
    yield
    for file in opened:
        os.close(file)


@contextmanager
def none_to_spare(own_limit: int) -> Iterator[None]:
    """More files are open than may be, also when some are closed."""
    resource.setrlimit(resource.RLIMIT_NOFILE, (3, own_limit))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (1024, own_limit))


def a_runner(open_files: OpenFiles | None = None) -> CommandRunner:
    registry = ProcessRegistry("w1")
    return CommandRunner(
        registry, ResultFiles("w1"), dict(os.environ), SystemClock(), open_files=open_files
    )


async def run(runner: CommandRunner, attempt: Attempt, output: Output) -> Outcome:
    async with asyncio.timeout(20):
        outcome = await runner.run(attempt, output, Stop())
    await output.close()
    return outcome


@pytest.mark.parametrize(
    ("slots", "files", "allowed"),
    [(64, 1024, 64), (400, 1024, 112), (400, 1 << 20, 400), (10, 100, 1), (1, 0, 1)],
)
def test_no_more_slots_are_used_than_files_may_be_open(
    slots: int, files: int, allowed: int
) -> None:
    assert slots_within(slots, files) == allowed
    assert allowed == 1 or files_for(allowed) <= files


def test_the_usual_slots_need_no_higher_limit_than_the_usual_one() -> None:
    assert files_for(64) <= 1024


def test_the_limit_is_raised_as_far_as_needed_and_never_lowered(own_limit: int) -> None:
    resource.setrlimit(resource.RLIMIT_NOFILE, (256, own_limit))

    raise_limit(100)
    assert limit() == 256
    raise_limit(300)
    assert limit() == 300
    raise_limit(own_limit + 1)
    assert limit() == own_limit


@pytest.mark.parametrize("task", [{}, {"cwd": "/"}, {"umask": "077"}, {"nice": 19}], ids=str)
async def test_a_command_gets_the_limit_from_before(
    task: dict[str, object],
    raised: OpenFiles,
    own_limit: int,
    make_attempt: MakeAttempt,
    output: Output,
    sink: MemorySink,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    monkeypatch.chdir(tmp_path)  # where commands without `cwd` run, so that they are plain
    with many_open(600):
        outcome = await run(a_runner(raised), make_attempt(shell=SHOW, **task), output)

    assert outcome.ended is Ended.COMPLETED, outcome
    assert sink.texts() == ["256", str(own_limit)]
    assert limit() == 2048


async def test_limits_of_a_task_win(
    raised: OpenFiles, make_attempt: MakeAttempt, output: Output, sink: MemorySink
) -> None:
    attempt = make_attempt(shell=SHOW, limits={"files": 99})

    await run(a_runner(raised), attempt, output)

    assert sink.texts() == ["99", "99"]


async def test_the_host_of_a_function_gets_the_limit_from_before(
    raised: OpenFiles, make_attempt: MakeAttempt, output: Output
) -> None:
    settings = HostSettings(
        ProcessRegistry("w1"),
        ROOT,
        dict(os.environ),
        SystemClock(),
        lambda *_: None,
        open_files=raised,
    )
    pool = HostPool(settings, 4)
    attempt = make_attempt(python="tests.unit.runner.demo:open_files")

    outcome = await pool.run(attempt, output, Stop())

    assert outcome.result == b"256"
    await pool.close()


@pytest.mark.parametrize("task", [{}, {"user": "nobody"}, {"user": "54321"}], ids=str)
async def test_a_command_that_finds_no_free_descriptor_is_not_tried(
    task: dict[str, str], own_limit: int, make_attempt: MakeAttempt, output: Output
) -> None:
    runner = a_runner()
    before = len(os.listdir("/proc/self/fd"))
    with none_to_spare(own_limit):
        outcome = await run(runner, make_attempt(shell="true", **task), output)

    assert (outcome.ended, outcome.reason) == (Ended.ABANDONED, None)
    assert outcome.error is not None
    assert "Too many open files" in outcome.error.message
    assert len(os.listdir("/proc/self/fd")) == before


async def test_a_function_for_which_no_host_can_be_started_is_not_tried(
    own_limit: int, make_attempt: MakeAttempt, output: Output
) -> None:
    settings = HostSettings(
        ProcessRegistry("w1"), ROOT, dict(os.environ), SystemClock(), lambda *_: None
    )
    pool = HostPool(settings, 4)
    before = len(os.listdir("/proc/self/fd"))
    with none_to_spare(own_limit):
        attempt = make_attempt(python="tests.unit.runner.demo:open_files")
        outcome = await pool.run(attempt, output, Stop())

    assert outcome.ended is Ended.ABANDONED
    assert len(os.listdir("/proc/self/fd")) == before
    await pool.close()


async def test_a_command_that_ends_while_no_descriptor_is_free_keeps_its_result(
    own_limit: int, make_attempt: MakeAttempt, output: Output, tmp_path: Path
) -> None:
    runner = a_runner()
    script = f"echo 7 > $JOBRUNNER_RESULT; while [ ! -e {tmp_path}/go ]; do sleep 0.02; done"
    ending: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
    runner.begin(make_attempt(shell=script), output, Stop(), ending.set_result)

    with none_to_spare(own_limit):
        gate = tmp_path / "go"
        os.mkfifo(gate)  # needs no descriptor
        await asyncio.sleep(0.5)
        assert not ending.done()
    outcome = await asyncio.wait_for(ending, 10)

    assert (outcome.ended, outcome.result) == (Ended.COMPLETED, b"7")


@pytest.mark.parametrize(
    ("error", "is_want"),
    [
        (OSError(24, "Too many open files"), True),
        (OSError(11, "Resource temporarily unavailable"), True),
        (OSError(12, "Cannot allocate memory"), True),
        (OSError(28, "No space left on device"), True),
        (RuntimeError("can't start new thread"), True),
        (RuntimeError("a bug"), False),
        (FileNotFoundError(2, "No such file or directory"), False),
        (PermissionError(13, "Permission denied"), False),
        (OSError(7, "Argument list too long"), False),
    ],
    ids=str,
)
def test_what_the_machine_lacks_is_told_from_what_is_wrong(error: Exception, is_want: bool) -> None:
    assert (no_room(error) is not None) == is_want
