"""What a user can do wrong: a clear error with the right exit code, never a traceback."""

from collections.abc import Callable, Iterator

import pytest

from jobrunner.message import Message, encode
from jobrunner.model import JobState, Reason
from jobrunner.store.submission import Submission, submit
from tests.daemon.harness import PATIENT, ExternalServer, Project, act, eventually

Projects = Callable[..., Project]

MANIFEST = f"""
name: demo
workers: {{processes: 1}}
tasks:
  act: {act()}
  gone: {{command: [no-such-program]}}
  typed: {{command: [echo, "{{n}}"], params: {{n: {{type: integer, max: 9}}}}}}
"""


@pytest.fixture(scope="module")
def demo() -> Iterator[Project]:
    with Project(MANIFEST) as project:
        project.start()
        yield project


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        (["submit", "atc"], 3, "act"),
        (["submit", "typed", "n=ten"], 2, "ten"),
        (["submit", "typed", "n=10"], 2, "9"),
        (["submit", "typed"], 2, "n"),
        (["submit", "typed", "n=1", "m=2"], 2, "m"),
        (["submit", "typed", "n"], 2, "key=value"),
        (["submit", "act", "script=true", "--in", "soon"], 2, "soon"),
        (["submit", "act", "script=true", "--after", "nosuchjob"], 3, "nosuchjob"),
        (["show", "nosuchjob"], 3, "nosuchjob"),
        (["cancel", "nosuchjob"], 3, "nosuchjob"),
        (["trigger", "nosuchcron"], 3, "nosuchcron"),
        (["pause", "nosuchcron"], 3, "nosuchcron"),
        (["exec", "--", "true"], 5, "adhoc"),
        (["list", "--state", "finished"], 2, "completed"),
        (["sbumit"], 2, "submit"),
    ],
)
def test_a_wrong_command_line_is_refused_with_its_reason(
    demo: Project, arguments: list[str], code: int, told: str
) -> None:
    refused = demo.cli(*arguments).refused(code)

    assert told in refused
    assert "fix:" in refused


def test_the_daemon_is_unharmed(demo: Project) -> None:
    assert demo.ended(demo.act("true")).state is JobState.COMPLETED


def test_a_command_that_does_not_exist_fails_its_job_only(demo: Project) -> None:
    failed = demo.ended(demo.submit("gone"))

    assert failed.state is JobState.FAILED
    assert failed.error is not None
    assert "no-such-program" in failed.error.message


@pytest.mark.parametrize(
    ("manifest", "told"),
    [
        ("name: demo\ntasks: {act: {command: [true}}", "jobs.yaml:2:"),
        ("name: demo\ntasks: {act: {command: [], timeout: soon}}", "soon"),
        ("name: demo\nimports: [no_such_module]", "no_such_module"),
        ("name: demo\nimports: [broken]", "deliberately broken"),
        ("name: demo\ntasks: {f: {python: 'broken:f'}}", "deliberately broken"),
        (
            "name: demo\ntasks: {a: {shell: 'true'}}\ncrons: {c: {task: a, cron: '0 0 30 2 *'}}",
            "30 2",
        ),
    ],
)
def test_a_bad_manifest_is_refused_with_its_place_and_leaves_nothing_behind(
    project: Projects, manifest: str, told: str
) -> None:
    demo = project(manifest, {"broken": "raise RuntimeError('deliberately broken')"})

    refused = demo.cli("run").refused(2)

    assert told in refused
    assert not demo.state.exists()


def test_a_missing_manifest_is_told_with_what_to_do(project: Projects) -> None:
    demo = project(MANIFEST)
    demo.manifest.unlink()

    assert "jobrunner init" in demo.cli("run").refused(2)


@pytest.mark.parametrize("command", [["list"], ["submit", "act", "script=true"], ["stop"]])
def test_without_a_daemon_commands_say_that_none_runs(
    project: Projects, command: list[str]
) -> None:
    demo = project(MANIFEST)

    assert "jobrunner run" in demo.cli(*command).refused(4)


def test_a_store_that_cannot_be_reached_is_told_with_its_address(project: Projects) -> None:
    demo = project(MANIFEST + "store: {url: 'redis://user:secret@127.0.0.1:1/0'}\n")

    for command in (["run"], ["list"], ["submit", "act", "script=true"]):
        refused = demo.cli(*command).refused(4)
        assert "127.0.0.1:1" in refused
        assert "secret" not in refused


def test_a_wrong_password_is_told_without_showing_it(
    project: Projects, server: ExternalServer
) -> None:
    server.set_password("right")
    demo = project(MANIFEST + f"store: {{url: '{server.url_with('wrongsecret')}'}}\n")

    for command in (["run"], ["list"]):
        refused = demo.cli(*command).refused(4)
        assert "password" in refused
        assert "wrongsecret" not in refused


def test_a_right_password_is_never_shown(project: Projects, server: ExternalServer) -> None:
    server.set_password("rightsecret")
    demo = project(MANIFEST + f"store: {{url: '{server.url}'}}\n")

    daemon = demo.start()

    job = demo.act("env")
    demo.ended(job)
    assert "rightsecret" not in daemon.log()
    assert "rightsecret" not in demo.cli("logs", job).out
    assert "rightsecret" not in demo.cli("status").out


def test_a_server_that_takes_no_writes_refuses_submits_and_harms_nothing_else(
    demo: Project,
) -> None:
    running = demo.act(PATIENT)
    demo.running(running)
    demo.execute("CONFIG", "SET", "maxmemory", "1")

    refused = demo.cli("submit", "act", "script=true").refused(4)
    (demo.folder / "running").unlink()
    demo.wait_for_lines(1)
    demo.execute("CONFIG", "SET", "maxmemory", "0")
    # A daemon that has seen the full server sees within a second that it has room.
    eventually(lambda: not demo.execute("EXISTS", demo.keys.full()))

    assert "memory" in refused
    ended = demo.ended(running)
    assert (ended.state, ended.attempt) == (JobState.COMPLETED, 1)
    assert demo.ended(demo.act("true")).state is JobState.COMPLETED


HOSTILE = """
name: demo
workers: {processes: 1}
tasks:
  strict: {command: [echo, "{word}"], params: {word: {pattern: "(a+)+$"}}}
  sized: {command: [echo, "{size}"], params: {size: {choices: [small, large]}}}
  quick: {command: ["true"]}
"""


def test_no_argument_holds_up_a_worker_or_passes_without_a_check(
    project: Projects,
) -> None:
    demo = project(HOSTILE)
    demo.start()
    raw = {
        "long": ("strict", Message("strict", {"word": "a" * 5000 + "!"})),
        "placed": ("sized", Message("sized", args=["$(reboot)"])),
        "fits": ("sized", Message("sized", args=["large"])),
    }
    made = [Submission(job, task, encode(body)) for job, (task, body) in raw.items()]

    demo.store.run(submit(demo.keys, made))
    neighbour = demo.ended(demo.submit("quick"))

    assert neighbour.state is JobState.COMPLETED
    ends = {job: demo.ended(job) for job in raw}
    assert ends["long"].reason is ends["placed"].reason is Reason.INVALID_ARGUMENTS
    assert ends["fits"].state is JobState.COMPLETED
