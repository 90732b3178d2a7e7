"""One command for several jobs: a job that refuses does not keep the others from being done."""

from collections.abc import Callable, Iterable
from typing import TypeVar

from jobrunner.cli.context import CliContext
from jobrunner.errors import IllegalTransition, JobNotFound, JobrunnerError

T = TypeVar("T")


def do_each(
    job_ids: Iterable[str], action: Callable[[str], T]
) -> tuple[dict[str, T], list[JobrunnerError]]:
    """What the action gave for each job that let it, and what the others said."""
    done: dict[str, T] = {}
    refusals: list[JobrunnerError] = []
    for job_id in job_ids:
        try:
            done[job_id] = action(job_id)
        except (IllegalTransition, JobNotFound) as error:
            refusals.append(error)
    return done, refusals


def raise_refusals(cli: CliContext, refusals: list[JobrunnerError]) -> None:
    """Tell all of them; the last one as the error of the command. Nothing when there are none."""
    for error in refusals[:-1]:
        cli.note_error(error)
    if refusals:
        raise refusals[-1]
