"""Manifest files in, a checked manifest out; or every problem, in the order of the files."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, replace
from itertools import chain, islice
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from jobrunner.errors import Location, ManifestError, Problem
from jobrunner.manifest.check import check
from jobrunner.manifest.draft import Draft
from jobrunner.manifest.effective import effective
from jobrunner.manifest.explain import explain
from jobrunner.manifest.faulty import NAMED, Faulty, around, faulty_parts, without
from jobrunner.manifest.found import FoundTask
from jobrunner.manifest.gather import INCLUDE, Gathered, gather, read_text
from jobrunner.manifest.merge_found import merge_found
from jobrunner.manifest.naming import default_name
from jobrunner.manifest.places import Path as KeyPath
from jobrunner.manifest.places import Places
from jobrunner.manifest.spec import Manifest, ManifestFile, secret_variables
from jobrunner.manifest.trust import Guard, Untrusted
from jobrunner.manifest.values import Values

Reference = tuple[KeyPath, str]
Check = Callable[[Draft], Iterator[Problem]]


def no_more(_draft: Draft) -> Iterator[Problem]:
    """Nothing to check beyond what this package knows."""
    yield from ()


@dataclass(frozen=True, slots=True)
class LoadedManifest:
    """A manifest without problems, and where its parts stand."""

    manifest: Manifest
    written: ManifestFile  # before defaults were merged
    places: Places
    files: tuple[str, ...]  # the main file and the included ones, in the order they were read
    references: Sequence[Reference]  # values that may be secret, with their variable
    unmatched: tuple[Problem, ...] = ()  # patterns of `include` that match nothing, as they may

    def locate(self, path: KeyPath) -> Location:
        """The place of a part: `locate(("crons", "nightly", "cron"))`.

        Of a value, or of the key where the value is a list or mapping; for what no file holds, of
        the nearest part around it.
        """
        return self.places.locate(path)

    def in_file_order(self, problems: Iterable[Problem]) -> list[Problem]:
        """Sorted as a reader meets them; those of other files (modules) come last."""
        return _in_file_order(problems, self.files)


def load_manifest(
    path: Path, environ: Mapping[str, str], also: Check = no_more, guard: Guard = Guard.NONE
) -> LoadedManifest:
    """Read and check the manifest of a file. Raises ManifestError with all its problems.

    `also` is what a higher layer checks. A manifest with `imports` may refer to tasks of those
    modules: `with_found_tasks` goes on.
    """
    try:
        text = read_text(str(path), guard)
    except Untrusted as error:
        raise ManifestError([Problem(None, error.what, error.why, error.fix)]) from error
    if isinstance(text, Problem):
        raise ManifestError([text])
    return read_manifest(text, str(path), environ, also, guard)


def read_manifest(
    text: str,
    file: str,
    environ: Mapping[str, str],
    also: Check = no_more,
    guard: Guard = Guard.NONE,
) -> LoadedManifest:
    """Check a manifest given as text; relative paths start from the folder of `file`.

    Raises ManifestError with all its problems, and nothing else, whatever the text.
    """
    gathered = gather(text, file, environ, guard)
    places = Places(gathered.root)
    values = Values(environ)
    written, problems, left_out, faulty = _validate(values.of(gathered.root), gathered, places)
    is_complete = gathered.is_whole and "imports" not in gathered.root.entries
    draft = Draft(written, places, _declared(gathered), is_complete, faulty=around(faulty))
    draft.withheld.update(name for at, name in values.references if at[0] == "store")
    draft.withheld.update(secret_variables(written))
    checked = _first(chain(check(draft), also(draft)))
    found = [*gathered.problems, *values.problems, *problems, *checked]
    if found:
        told = map(values.as_written, found)
        raise ManifestError(_in_file_order(told, gathered.files), left_out)
    loaded = _loaded(written, places, tuple(gathered.files), {}, values.references)
    return replace(loaded, unmatched=tuple(gathered.unmatched))


def with_found_tasks(
    loaded: LoadedManifest, found: Iterable[FoundTask], also: Check = no_more
) -> LoadedManifest:
    """The manifest with the tasks and crons of its modules; what the manifest says of them wins.

    A found task goes by the name of the manifest's task with that function, if there is one. Also
    for a manifest without imports: only now everything is known. Raises ManifestError.
    """
    merging = merge_found(loaded.written, loaded.places, found)
    names = {section: set(getattr(merging.file, section)) for section in NAMED}
    draft = Draft(
        merging.file, merging.places, names, is_complete=True, functions=set(merging.async_tasks)
    )
    problems = [*merging.problems, *_first(chain(check(draft), also(draft)))]
    if problems:
        raise ManifestError(loaded.in_file_order(problems))
    whole = _loaded(
        merging.file, merging.places, loaded.files, merging.async_tasks, loaded.references
    )
    return replace(whole, unmatched=loaded.unmatched)


def _loaded(
    written: ManifestFile,
    places: Places,
    files: tuple[str, ...],
    async_tasks: Mapping[str, bool],
    references: Sequence[Reference],
) -> LoadedManifest:
    path = Path(files[0]).absolute()
    name = written.name or default_name(path)
    _place_short_crons(written, places)
    manifest = effective(written, path, name, async_tasks, references)
    return LoadedManifest(manifest, written, places, files, references)


def _place_short_crons(written: ManifestFile, places: Places) -> None:
    """A cron written inside its task is found there."""
    for name, task in written.tasks.items():
        if task.cron is not None:
            places.others["crons", name] = places.locate(("tasks", name, "cron"))


def _validate(
    data: dict[str, Any], gathered: Gathered, places: Places
) -> tuple[ManifestFile, list[Problem], int, Faulty]:
    """The valid parts; problems of the others, how many more there are; which parts those are."""
    if gathered.includes:
        data = {**data, INCLUDE: gathered.includes}
    try:
        return ManifestFile.model_validate(data), [], 0, frozenset()
    except ValidationError as error:
        valid, faulty = _valid_parts(data, faulty_parts(error))
        problems = explain(error, places, most=ManifestError.MOST)
        return valid, problems, error.error_count() - len(problems), faulty


def _valid_parts(data: dict[str, Any], faulty: Faulty) -> tuple[ManifestFile, Faulty]:
    """What is left without the faulty parts, and all that had to go."""
    try:
        return ManifestFile.model_validate(without(data, faulty)), faulty
    except ValidationError as error:
        # A key that went is missing now: what cannot do without it goes, too.
        return _valid_parts(data, faulty | faulty_parts(error))


def _first(problems: Iterable[Problem]) -> list[Problem]:
    """As many as are told: to find them takes longer than to check what is right."""
    return list(islice(problems, ManifestError.MOST + 1))


def _declared(gathered: Gathered) -> dict[str, Set[str]]:
    return {section: gathered.names(section) for section in NAMED}


def _in_file_order(problems: Iterable[Problem], files: Iterable[str]) -> list[Problem]:
    order = {file: number for number, file in enumerate(files)}

    def key(problem: Problem) -> tuple[int, int, int]:
        where = problem.where
        if where is None:
            return (len(order), 0, 0)
        return (order.get(where.file, len(order)), where.line, where.column)

    return sorted(dict.fromkeys(problems), key=key)
