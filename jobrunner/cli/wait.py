"""`jobrunner wait`: until jobs have ended."""

import typer

from jobrunner.cli.arguments import JobsArgument, TimeoutOption
from jobrunner.cli.context import CliContext
from jobrunner.cli.group import cli_of
from jobrunner.errors import ExitCode
from jobrunner.model import Job, JobState


def wait(ctx: typer.Context, jobs: JobsArgument, timeout: TimeoutOption = None) -> ExitCode:
    cli = cli_of(ctx)
    store = cli.store()
    ended = store.client.wait(store.job_ids(jobs), timeout)
    if cli.json:
        from jobrunner.cli.render_json import jobs_json

        cli.write_json(jobs_json(ended))
    else:
        for job in ended:
            cli.write(f"{job.id} {_outcome(job)}")
    return exit_code_of(ended)


def _outcome(job: Job) -> str:
    from jobrunner.cli.render import duration_text, job_state_text, outcome_text

    text = f"{job_state_text(job)} after {duration_text(job.duration)}"
    outcome = outcome_text(job)
    return text if outcome == "-" else f"{text}: {outcome}"


def exit_code_of(jobs: list[Job]) -> ExitCode:
    """DONE when all have completed."""
    has_failed = any(job.state is not JobState.COMPLETED for job in jobs)
    return ExitCode.FAILED if has_failed else ExitCode.DONE


def tell_end(cli: CliContext, job: Job) -> ExitCode:
    """Print one ended job, as `wait` does; returns its exit code."""
    if cli.json:
        from jobrunner.cli.render_json import job_json

        cli.write_json(job_json(job))
    else:
        cli.note(f"{job.id} {_outcome(job)}")
    return exit_code_of([job])
