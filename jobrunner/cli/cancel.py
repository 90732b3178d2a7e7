"""`jobrunner cancel`: returns when the jobs have stopped."""

import typer

from jobrunner.cli.arguments import JobsArgument, TimeoutOption
from jobrunner.cli.group import cli_of
from jobrunner.cli.several import do_each, raise_refusals


def cancel(ctx: typer.Context, jobs: JobsArgument, timeout: TimeoutOption = None) -> None:
    cli = cli_of(ctx)
    store = cli.store()
    # All are told before the first is waited for, so that they stop side by side.
    told, refusals = do_each(store.job_ids(jobs), store.client.cancel)
    stopping = [job_id for job_id, has_ended in told.items() if not has_ended]
    if stopping and cli.stderr.isatty():
        cli.note(f"waiting for {', '.join(stopping)} to stop")
    ended = store.client.wait(list(told), timeout)
    if cli.json:
        from jobrunner.cli.render_json import jobs_json

        cli.write_json(jobs_json(ended))
    else:
        from jobrunner.cli.render import job_state_text

        for job in ended:
            cli.write(f"{job.id} {job_state_text(job)}")
    raise_refusals(cli, refusals)
