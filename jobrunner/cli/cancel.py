"""`jobrunner cancel`: returns when the jobs have stopped."""

import typer

from jobrunner.cli.arguments import JobsArgument, TimeoutOption
from jobrunner.cli.group import cli_of


def cancel(ctx: typer.Context, jobs: JobsArgument, timeout: TimeoutOption = None) -> None:
    cli = cli_of(ctx)
    store = cli.store()
    ids = store.job_ids(jobs)
    stopping = [job_id for job_id in ids if not store.client.cancel(job_id)]
    if stopping and cli.stderr.isatty():
        cli.note(f"waiting for {', '.join(stopping)} to stop")
    # All were told before the first is waited for, so that they stop side by side.
    ended = store.client.wait(ids, timeout)
    if cli.json:
        from jobrunner.cli.render_json import jobs_json

        cli.write_json(jobs_json(ended))
    else:
        from jobrunner.cli.render import job_state_text

        cli.write("\n".join(f"{job.id} {job_state_text(job)}" for job in ended))
