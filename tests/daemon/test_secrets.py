"""Secrets of the daemon and of tasks: who gets them, and where they must not be seen."""

import os
import signal
import stat
import sys
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest

from jobrunner.model import JobState
from tests.daemon.harness import ExternalServer, Project, eventually

Projects = Callable[..., Project]
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root may become another user")

MODULE = {
    "funcs": """
        import os, subprocess
        from jobrunner import task, Client

        def seen() -> dict:
            child = subprocess.run(["env"], capture_output=True, text=True).stdout
            return {"own": sorted(os.environ), "child": child}

        @task
        def sync_env() -> dict:
            return seen()

        @task
        async def async_env() -> dict:
            return seen()

        @task
        def sync_submits() -> str:
            with Client.from_manifest() as client:
                return client.submit("quiet").id

        @task
        async def async_submits() -> str:
            with Client.from_manifest() as client:
                return client.submit("quiet").id
        """
}
JOBRUNNER = f"{sys.executable} -m jobrunner"
MANIFEST = f"""
    name: withheld
    adhoc: true
    imports: [funcs]
    store: {{url: "${{THE_URL}}"}}
    workers: {{processes: 1}}
    tasks:
      quiet: {{command: [env]}}
      script: {{shell: env}}
      owner: {{shell: env, env: {{TOKEN: {{env: THE_TOKEN}}}}}}
      granted: {{shell: {JOBRUNNER} submit quiet, env: {{THE_URL: {{env: THE_URL}}}}}}
    """


def output_of(project: Project, job_id: str) -> str:
    job = project.ended(job_id)
    assert job.state is JobState.COMPLETED, job.error
    return "\n".join(line.text for line in project.client.logs(job_id))


@pytest.fixture
def withholding(project: Projects, server: ExternalServer) -> Project:
    """A daemon whose store and one task's secret come from its environment."""
    made = project(MANIFEST, MODULE)
    made.environ |= {"THE_URL": server.url, "THE_TOKEN": "sesame-open", "OTHER": "inherited"}
    made.start()
    return made


def test_no_command_gets_the_stores_variable_or_the_secret_of_another_task(
    withholding: Project,
) -> None:
    for job in (
        withholding.submit("quiet"),
        withholding.submit("script"),
        withholding.submit("exec", {"command": ["env"]}),
    ):
        seen = output_of(withholding, job)

        assert "OTHER=inherited" in seen
        assert "THE_URL" not in seen
        assert "THE_TOKEN" not in seen


def test_a_secret_reaches_its_own_task_under_its_own_name_and_is_masked(
    withholding: Project,
) -> None:
    seen = output_of(withholding, withholding.submit("owner"))

    assert "TOKEN=***" in seen.splitlines()
    assert "THE_TOKEN" not in seen


@pytest.mark.parametrize("task", ["sync_env", "async_env"])
def test_functions_and_what_they_start_do_not_get_what_is_withheld(
    withholding: Project, task: str
) -> None:
    seen = withholding.ended(withholding.submit(task)).result

    assert "OTHER" in seen["own"]
    assert "OTHER=inherited" in seen["child"]
    for name in ("THE_URL", "THE_TOKEN"):
        assert name not in seen["own"]
        assert name not in seen["child"]


@pytest.mark.parametrize("task", ["sync_submits", "async_submits"])
def test_functions_submit_to_the_store_whose_address_is_withheld(
    withholding: Project, task: str
) -> None:
    job = withholding.ended(withholding.submit(task))

    assert job.state is JobState.COMPLETED, job.error
    assert withholding.ended(job.result).task == "quiet"


def test_a_command_that_is_given_the_stores_variable_can_submit(withholding: Project) -> None:
    submitted = output_of(withholding, withholding.submit("granted"))

    assert withholding.ended(submitted.strip()).task == "quiet"


@needs_root
def test_a_task_of_another_user_cannot_reach_the_store_of_a_daemon_that_is_root(
    project: Projects, server: ExternalServer
) -> None:
    made = project(
        f"""
        name: lowly
        adhoc: true
        store: {{url: "${{THE_URL}}"}}
        tasks:
          lowly: {{shell: 'id -un; env; ! {JOBRUNNER} exec -- touch by-root', user: nobody}}
        """
    )
    made.folder.chmod(0o755)
    made.manifest.chmod(0o644)
    made.environ |= {"THE_URL": server.url, "OTHER": "of root"}
    made.start()

    seen = output_of(made, made.submit("lowly")).splitlines()

    assert seen[0] == "nobody"
    assert "USER=nobody" in seen
    assert not [line for line in seen if line.startswith(("THE_URL", "OTHER"))]
    assert [job.task for job in made.jobs()] == ["lowly"]


FILES = """
    name: files
    workers: {processes: 1}
    tasks:
      read:
        shell: 'stat -c "%a %u" "$KEY"; cat "$KEY"; echo "$KEY" > path'
        env: {KEY: {env: THE_KEY, as: file}}
      hold:
        shell: 'echo "$KEY" > path; sleep 1000'
        env: {KEY: {env: THE_KEY, as: file}}
    """


def test_a_secret_as_a_file_is_there_for_its_job_and_gone_after_it(project: Projects) -> None:
    made = project(FILES)
    made.start(environ={"THE_KEY": "sesame-open"})

    seen = output_of(made, made.submit("read")).splitlines()

    assert seen == [f"600 {os.geteuid()}", "***"]
    [path] = made.lines("path")
    assert not Path(path).parent.exists()


def test_a_secret_as_a_file_is_removed_when_its_worker_was_killed(project: Projects) -> None:
    made = project(FILES)
    made.start(environ={"THE_KEY": "sesame-open"})
    job = made.running(made.submit("hold"))
    [path] = made.wait_for_lines(1, "path")
    assert stat.S_IMODE(Path(path).stat().st_mode) == 0o600

    os.kill(made.worker_pid(job), 9)

    eventually(lambda: not Path(path).parent.exists())


def test_a_secret_as_a_file_is_removed_by_the_next_daemon_when_all_were_killed(
    project: Projects,
) -> None:
    made = project(FILES)
    daemon = made.start(environ={"THE_KEY": "sesame-open"})
    job = made.running(made.submit("hold"))
    [path] = made.wait_for_lines(1, "path")
    worker = made.worker_pid(job)
    os.kill(daemon.pid, signal.SIGSTOP)  # so that it cannot clear away
    os.kill(worker, signal.SIGKILL)
    daemon.kill()
    assert Path(path).exists()

    made.start(environ={"THE_KEY": "sesame-open"})

    eventually(lambda: not Path(path).parent.exists(), within=30)


@needs_root
def test_a_secret_as_a_file_belongs_to_the_user_of_its_task(project: Projects) -> None:
    made = project(
        """
        name: files
        tasks:
          read:
            shell: 'stat -c "%a %U" "$KEY"; cat "$KEY"'
            user: nobody
            env: {KEY: {env: THE_KEY, as: file}}
        """
    )
    made.folder.chmod(0o755)
    made.start(environ={"THE_KEY": "sesame-open"})

    assert output_of(made, made.submit("read")).splitlines() == ["600 nobody", "***"]


SECRETS = ("sesame-argument", "sesame-default", "sesame-cron")
SHOWN = """
    name: shown
    workers: {processes: 1}
    tasks:
      t:
        shell: |
          echo "out $TOK $PIN"; echo "err $TOK" >&2
          echo "{\\"token\\": \\"$TOK\\"}" > "$JOBRUNNER_RESULT"
          test "$PIN" != fail
        params: {tok: {secret: true, default: sesame-default}, pin: {default: ok}}
      u: {command: ["true"]}
    crons:
      c: {task: t, every: 100d, params: {tok: sesame-cron}}
    """
COMMANDS = (
    *("status", "list", "crons", "queues", "workers", "locks", "stats", "doctor"),
    *("history t", "why t", "why c", "next c"),
)
OF_A_JOB = ("show", "why", "logs", "wait", "status")


def all_that_is_shown(made: Project, lines: Iterable[str]) -> str:
    """What each command prints, for people and as JSON, and what the daemon has logged."""
    told = [made.cli(*line.split(), *more) for line in lines for more in ([], ["--json"])]
    logs = [daemon.log() for daemon in made.daemons]
    return "\n".join([*(f"{each.out}{each.err}" for each in told), *logs])


def test_no_secret_is_shown_by_any_command_and_none_of_the_manifest_is_in_the_store(
    project: Projects,
) -> None:
    made = project(SHOWN)
    daemon = made.start()
    by_cli = made.cli("submit", "t", "tok=sesame-argument", "pin=fail", "--wait")
    refused = made.cli("submit", "t", "tok=sesame-argument", "pn=fail")
    triggered = made.cli("trigger", "c").ok().out.strip()
    made.ended(triggered)
    job_ids = [by_cli.out.strip(), made.submit("t"), triggered]
    made.all_ended(job_ids)

    by_job = [*(f"{command} {job_ids[0]}" for command in OF_A_JOB), f"show {triggered}"]
    shown = all_that_is_shown(made, [*COMMANDS, *by_job])

    for secret in SECRETS:
        assert secret not in f"{shown}{by_cli.out}{by_cli.err}{refused.out}{refused.err}"
    assert "out *** fail" in shown
    assert [job.result for job in map(made.job, job_ids)] == [None, *[{"token": "***"}] * 2]
    stored = made.execute("HGETALL", made.keys.manifest())
    assert not [text for text in stored if b"sesame" in text]
    messages = [made.execute("HGET", made.keys.job(job), "message") for job in job_ids]
    assert [b"sesame" in text for text in messages] == [True, False, False]

    # The task leaves the manifest: the jobs themselves say what is secret.
    made.write("name: shown\nworkers: {processes: 1}\ntasks: {u: {command: ['true']}}\n")
    made.cli("reload").ok()
    daemon.wait_for_log("reloaded")

    shown = all_that_is_shown(made, ["list", "history t", *(f"show {job}" for job in job_ids)])

    assert "arguments  tok=*** pin=fail" in shown
    for secret in SECRETS:
        assert secret not in shown


def test_a_job_with_a_secret_is_retried_with_it(project: Projects) -> None:
    made = project(
        """
        name: again
        tasks:
          t:
            shell: '[ -e ok ] && [ "$TOK" = sesame-open ] && echo again >> witness'
            params: {tok: {secret: true}}
        """
    )
    made.start()
    job = made.submit("t", {"tok": "sesame-open"})
    assert made.ended(job).state is JobState.FAILED
    (made.folder / "ok").touch()

    made.cli("retry", job).ok()

    assert made.ended(job).state is JobState.COMPLETED
    assert made.lines() == ["again"]


def test_a_fire_time_and_a_backfill_use_a_secret_that_is_not_in_the_store(
    project: Projects,
) -> None:
    made = project(
        """
        name: fired
        tasks:
          t:
            shell: 'echo "$TOK" | wc -c >> witness'
            params: {tok: {secret: true}}
        crons:
          c: {task: t, cron: "* * * * * *", params: {tok: sesame-cron}}
          old: {task: t, cron: "0 0 * * *", params: {tok: sesame}}
        """
    )
    made.start()
    made.wait_for_lines(1)
    made.cli("pause", "c").ok()

    made.cli("backfill", "old", "--from", "2026-01-01", "--to", "2026-01-02").ok()

    backfilled = made.ended("old@2026-01-01T00:00:00Z")
    assert backfilled.state is JobState.COMPLETED
    assert {line.strip() for line in made.lines()} == {"12", "7"}
    messages = [made.execute("HGET", made.keys.job(job.id), "message") for job in made.jobs()]
    assert messages
    assert not [text for text in messages if b"sesame" in text]
