"""What a good manifest says that its author may not mean: told, and no reason to refuse it."""

import os
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from jobrunner.crons import describe, interval_note
from jobrunner.errors import Problem
from jobrunner.firing import ScheduledCron
from jobrunner.manifest.load import LoadedManifest

UTC_NAMES = frozenset(["", "UTC", "UTC0", "GMT", "GMT0", "Etc/UTC", "Etc/GMT", "Universal", "Zulu"])
MOST_NAMED = 5


@dataclass(frozen=True, slots=True)
class Remarks:
    """`warnings` the daemon tells at its start as well; `notes` are for who checks the manifest."""

    warnings: tuple[Problem, ...] = ()
    notes: tuple[Problem, ...] = ()

    def all(self) -> list[Problem]:
        """In the order of their places."""
        return sorted(
            (*self.warnings, *self.notes), key=lambda remark: (remark.where is None, remark.where)
        )


def remarks_on(
    loaded: LoadedManifest,
    crons: Sequence[ScheduledCron],
    environ: Mapping[str, str],
    unread: Iterable[Problem] = (),
) -> Remarks:
    """All that is to be told of a manifest and the environment it is read in.

    `unread` are the files for jobs that could not be read.
    """
    return Remarks(
        (
            *loaded.unmatched,
            *unread,
            *_ignored_zone(loaded, crons, environ),
            *_missing_interpreters(loaded, environ),
        ),
        tuple(_intervals(loaded, crons)),
    )


def _ignored_zone(
    loaded: LoadedManifest, crons: Sequence[ScheduledCron], environ: Mapping[str, str]
) -> Iterator[Problem]:
    """TZ is the zone of the daemon's log and of commands, as everywhere; crons do not look at it.

    Daemons on machines of different zones must agree when a cron fires.
    """
    zone = environ.get("TZ", "").removeprefix(":")
    if zone in UTC_NAMES or "timezone" in loaded.written.model_fields_set:
        return
    written = loaded.written.crons
    names = [
        item.name
        for item in crons
        if item.cron.rule is not None
        and not (item.name in written and "timezone" in written[item.name].model_fields_set)
    ]
    if names:
        shown = ", ".join(names[:MOST_NAMED]) + (", …" if len(names) > MOST_NAMED else "")
        yield Problem(
            None,
            f"TZ is {zone!r}, and has no say: {_counted(len(names))} in UTC ({shown})",
            "a cron's time zone stands in the manifest, so that all daemons agree",
            f"write `timezone: {zone}` at the top of the manifest, or `timezone: UTC`",
        )


def _missing_interpreters(loaded: LoadedManifest, environ: Mapping[str, str]) -> Iterator[Problem]:
    """Of scripts; not those whose task has a PATH of its own, which is not looked into here."""
    manifest = loaded.manifest
    for name, task in manifest.tasks.items():
        own = [env for _, env in manifest.env_layers(task)]
        if task.shell is None or not task.interpreter or any("PATH" in env for env in own):
            continue
        program = task.interpreter[0]
        if shutil.which(program, path=environ.get("PATH", os.defpath)) is None:
            yield Problem(
                loaded.locate(("tasks", name, "interpreter")),
                f"the interpreter {program!r} of task {name!r} is not found",
                f"PATH is {environ.get('PATH', os.defpath)!r}",
                "install it, or correct the name; its jobs would fail",
            )


def _counted(number: int) -> str:
    return "1 cron is" if number == 1 else f"{number} crons are"


def _intervals(loaded: LoadedManifest, crons: Sequence[ScheduledCron]) -> Iterator[Problem]:
    for item in crons:
        if (note := interval_note(item.cron)) is not None:
            yield Problem(
                loaded.locate(("crons", item.name, "every")),
                f"cron {item.name!r} fires {describe(item.cron)}",
                note,
                'for another time or day write e.g. cron: "30 2 * * mon"',
            )
