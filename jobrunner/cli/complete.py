"""What shells may complete: names of tasks, crons and queues, and ids of jobs.

A completion must be quick and must never disturb the line that is being typed: where the store
cannot be reached there is nothing to offer, and nothing is said.
"""

from collections.abc import Callable, Iterable
from typing import TypeVar

import typer

from jobrunner.cli.group import cli_of
from jobrunner.errors import JobrunnerError
from jobrunner.store.keys import Keys
from jobrunner.store.requests import Operation

T = TypeVar("T")
MOST_IDS = 200  # newest jobs that are offered

Offer = tuple[str, str]  # the word, and what it is


def task_names(ctx: typer.Context, incomplete: str) -> list[Offer]:
    """Declared tasks with their descriptions."""
    from jobrunner.store.published import read_published

    published = _asked(ctx, read_published)
    tasks = published.tasks.values() if published else ()
    return _fitting(incomplete, ((task.name, task.description) for task in tasks))


def cron_names(ctx: typer.Context, incomplete: str) -> list[Offer]:
    """Declared crons with their schedules."""
    from jobrunner.store.published import read_published

    published = _asked(ctx, read_published)
    crons = published.crons.values() if published else ()
    return _fitting(incomplete, ((cron.name, cron.words) for cron in crons))


def queue_names(ctx: typer.Context, incomplete: str) -> list[Offer]:
    """Queues that were ever declared or submitted to."""
    from jobrunner.store.overview import read_queues

    queues = _asked(ctx, read_queues) or []
    return _fitting(incomplete, ((queue.name, "") for queue in queues))


def job_ids(ctx: typer.Context, incomplete: str) -> list[Offer]:
    """The newest jobs, with task and state; and `@last`."""
    from jobrunner.store.lookup import Selection, list_jobs

    newest = Selection(limit=MOST_IDS, is_for_rows=True)
    jobs = _asked(ctx, lambda keys: list_jobs(keys, newest)) or []
    offers = [("@last", "the job submitted last")]
    offers += [(job.id, f"{job.task}, {job.state}") for job in jobs]
    return _fitting(incomplete, offers)


def subjects(ctx: typer.Context, incomplete: str) -> list[Offer]:
    """What can be explained: crons, tasks and jobs; a name of both a cron and a task once."""
    named = dict([*task_names(ctx, incomplete), *cron_names(ctx, incomplete)])
    return [*named.items(), *job_ids(ctx, incomplete)]


def _asked(ctx: typer.Context, operation: Callable[[Keys], Operation[T]]) -> T | None:
    """The operation's result; None when the store cannot be asked."""
    try:
        store = cli_of(ctx).store()
        return store.run(operation(store.keys))
    except JobrunnerError:
        return None


def _fitting(incomplete: str, offers: Iterable[Offer]) -> list[Offer]:
    return [offer for offer in offers if offer[0].startswith(incomplete)]
