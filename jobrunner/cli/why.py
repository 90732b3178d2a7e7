"""`jobrunner why`: one plain sentence on a job, a cron or a task, and the facts behind it."""

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Annotated

import typer

from jobrunner.cli.complete import subjects
from jobrunner.cli.context import CliContext
from jobrunner.cli.group import cli_of
from jobrunner.cli.store import OpenStore
from jobrunner.errors import ExitCode, JobNotFound, StoreUnavailable

if TYPE_CHECKING:
    from jobrunner.explain.model import Explanation

Subject = Annotated[
    str,
    typer.Argument(
        metavar="ID|CRON|TASK",
        help="A job (as for `show`), CRON@FIRE-TIME, a cron or a task.",
        autocompletion=subjects,
    ),
]


def why(ctx: typer.Context, subject: Subject) -> ExitCode:
    from jobrunner.explain.model import Code

    cli = cli_of(ctx)
    explanations = _explanations(cli, subject)
    _print(cli, explanations)
    stuck = (Code.DAEMON_NOT_RUNNING, Code.STORE_UNREACHABLE)
    # As with `status`: a monitor that only looks at the exit code sees that nothing happens.
    is_stuck = any(explanation.code in stuck for explanation in explanations)
    return ExitCode.UNREACHABLE if is_stuck else ExitCode.DONE


def _explanations(cli: CliContext, subject: str) -> "list[Explanation]":
    """One, or two for a name of both a cron and a task. Raises JobNotFound."""
    from jobrunner.explain.outage import explain_outage

    store = cli.store()
    try:
        return list(_known(store, subject)) or [_job_or_rest(store, subject)]
    except StoreUnavailable as error:
        return [explain_outage(subject, error, store.address)]


def _known(store: OpenStore, name: str) -> "Iterator[Explanation]":
    """Of the cron, then the task of that name."""
    from jobrunner.explain.cron import explain_cron
    from jobrunner.explain.task import explain_task
    from jobrunner.store.facts import read_cron_facts, read_task_facts
    from jobrunner.store.published import read_published

    published = store.run(read_published(store.keys))
    if name in published.crons:
        yield explain_cron(store.run(read_cron_facts(store.keys, published.crons[name])))
    if name in published.tasks:
        yield explain_task(store.run(read_task_facts(store.keys, name, published.tasks[name])))


def _job_or_rest(store: OpenStore, text: str) -> "Explanation":
    """Of the job; else of a fire time without one, or of a task that has left the manifest."""
    from jobrunner.explain.job import explain_job
    from jobrunner.store.facts import read_job_facts

    try:
        return explain_job(store.run(read_job_facts(store.keys, store.job_id(text))))
    except JobNotFound:
        found = _missing_fire(store, text) or _gone_task(store, text)
        if found is None:
            raise _unknown(store, text) from None
        return found


def _missing_fire(store: OpenStore, text: str) -> "Explanation | None":
    from jobrunner.explain.cron import explain_missing_fire
    from jobrunner.store.facts import read_cron_facts
    from jobrunner.store.published import read_published

    name, _, time = text.rpartition("@")
    cron = store.run(read_published(store.keys)).crons.get(name)
    fire_time = _instant(time)
    if cron is None or fire_time is None:
        return None
    return explain_missing_fire(store.run(read_cron_facts(store.keys, cron)), fire_time)


def _instant(text: str) -> datetime | None:
    """A fire time as in an id; None for anything else."""
    try:
        instant = datetime.fromisoformat(text)
    except ValueError:
        return None
    return instant if instant.tzinfo else None


def _gone_task(store: OpenStore, name: str) -> "Explanation | None":
    from jobrunner.explain.task import explain_task
    from jobrunner.store.facts import read_task_facts

    facts = store.run(read_task_facts(store.keys, name, None))
    is_known = facts.last_submitted or facts.last_ended or any(facts.counts.values())
    return explain_task(facts) if is_known else None


def _unknown(store: OpenStore, text: str) -> JobNotFound:
    from jobrunner.nearest import named, nearest
    from jobrunner.store.published import read_published

    published = store.run(read_published(store.keys))
    names = {*published.crons, *published.tasks}
    near = nearest(text, names)
    known = f"; the crons and tasks are {named(names, near)}" if names else ""
    return JobNotFound(
        f"no job, cron or task '{text}'",
        why=f"no record has this id, and no recent one an id that begins so{known}",
        fix=f"did you mean '{near[0]}'?" if near else "`jobrunner list` prints the known jobs",
    )


def _print(cli: CliContext, explanations: "Sequence[Explanation]") -> None:
    from jobrunner.cli.render_why import explanation_json, explanation_text

    if cli.json:
        cli.write_json([explanation_json(each, cli.zone) for each in explanations])
    else:
        cli.write("\n\n".join(explanation_text(each, cli.zone) for each in explanations))
