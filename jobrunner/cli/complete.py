"""What shells may complete: names of tasks, crons, queues and locks, and ids of jobs.

A completion must be quick and must never disturb the line that is being typed: where the store
cannot be reached there is nothing to offer, and nothing is said. So each asks the store once.
"""

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, TypeVar

import typer

from jobrunner.cli.group import cli_of
from jobrunner.errors import JobrunnerError
from jobrunner.locate import Use
from jobrunner.store.failures import ReplyError
from jobrunner.store.keys import Keys
from jobrunner.store.requests import Operation

if TYPE_CHECKING:
    from jobrunner.model import Job
    from jobrunner.store.published import Published

T = TypeVar("T")
MOST_IDS = 200  # newest jobs that are offered
PATIENCE_S = 0.5  # to connect, and for each reply: who pressed TAB can type nothing meanwhile

LONGEST_WORD = 500  # characters; a longer one would fill the line, and be no name of ours
LONGEST_ABOUT = 80

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


def lock_names(ctx: typer.Context, incomplete: str) -> list[Offer]:
    """Locks that are held, each with the tasks of its holders."""
    from jobrunner.store.locks import read_locks

    locks = _asked(ctx, read_locks) or []
    holders = {lock.name: [holder.task for holder in lock.holders] for lock in locks}
    return _fitting(incomplete, ((name, ", ".join(held)) for name, held in holders.items() if held))


def job_ids(ctx: typer.Context, incomplete: str) -> list[Offer]:
    """The newest jobs, with task and state; and `@last`."""
    return _fitting(incomplete, _offers_of(_asked(ctx, _newest) or []))


def subjects(ctx: typer.Context, incomplete: str) -> list[Offer]:
    """What can be explained: crons, tasks and jobs; a name of both a cron and a task once."""
    published, jobs = _asked(ctx, _everything) or (None, [])
    named = {}
    if published:
        named = {task.name: task.description for task in published.tasks.values()}
        named |= {cron.name: cron.words for cron in published.crons.values()}
    return _fitting(incomplete, [*named.items(), *_offers_of(jobs)])


def _newest(keys: Keys) -> "Operation[list[Job]]":
    from jobrunner.store.lookup import Selection, list_jobs

    return list_jobs(keys, Selection(limit=MOST_IDS, is_for_rows=True))


def _everything(keys: Keys) -> "Operation[tuple[Published, list[Job]]]":
    from jobrunner.store.published import read_published

    published = yield from read_published(keys)
    return published, (yield from _newest(keys))


def _offers_of(jobs: "list[Job]") -> list[Offer]:
    last = ("@last", "the job submitted last")
    return [last, *((job.id, f"{job.task}, {job.state}") for job in jobs)]


def _asked(ctx: typer.Context, operation: Callable[[Keys], Operation[T]]) -> T | None:
    """The operation's result; None when the store cannot be asked, or holds something strange."""
    try:
        store = cli_of(ctx).store(PATIENCE_S, Use.COMPLETE)
        return store.run(operation(store.keys))
    except (JobrunnerError, ReplyError):
        return None


def _fitting(incomplete: str, offers: Iterable[Offer]) -> list[Offer]:
    fitting = ((word, about) for word, about in offers if word.startswith(incomplete))
    return [(word, _one_line(about)) for word, about in fitting if _is_offered(word)]


def _is_offered(word: str) -> bool:
    """Whether a word from the store may stand in a command line.

    One with control characters could not be shown as what it is, and one that begins with a dash
    would be taken for an option, such as `--file` of somebody else's manifest.
    """
    return word.isprintable() and not word.startswith("-") and 0 < len(word) <= LONGEST_WORD


def _one_line(about: str) -> str:
    """What a word is, without what a terminal or a script would take for more than text."""
    words = about[:LONGEST_ABOUT].split()
    return "".join(sign if sign.isprintable() else "?" for sign in " ".join(words))
