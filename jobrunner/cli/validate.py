"""`jobrunner validate`: is the manifest good? All that is wrong is told at once."""

from typing import TYPE_CHECKING

import typer

from jobrunner.cli.group import cli_of
from jobrunner.errors import ExitCode, ManifestError

if TYPE_CHECKING:
    from jobrunner.daemon.plan import Plan


def validate(ctx: typer.Context) -> ExitCode:
    from jobrunner.cli.render import problem_text
    from jobrunner.cli.render_json import check_json
    from jobrunner.daemon.plan import make_plan

    cli = cli_of(ctx)
    path, guard = cli.manifest()
    try:
        plan = make_plan(path, cli.environ, guard)
    except ManifestError as error:
        if not cli.json:
            raise
        cli.write_json(check_json(str(path), None, error.problems, error.left_out))
        return error.exit_code
    if cli.json:
        notes = plan.remarks.all()
        cli.write_json(check_json(str(path), _counts(plan), [], notes=notes))
    else:
        for note in plan.remarks.all():
            cli.note_styled(problem_text(note, cli.has_colours(cli.stderr), label="note"))
        tasks, crons = _counts(plan)
        cli.write(f"{path} is valid: {_counted(tasks, 'task')}, {_counted(crons, 'cron')}")
    return ExitCode.DONE


def _counts(plan: "Plan") -> tuple[int, int]:
    return len(plan.manifest.tasks), len(plan.crons)


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
