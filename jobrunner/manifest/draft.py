"""A manifest on its way: validated part by part, not yet checked as a whole."""

from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field

from jobrunner.errors import Problem
from jobrunner.manifest.explain import subject
from jobrunner.manifest.faulty import Faulty
from jobrunner.manifest.parts import Env, SecretRef
from jobrunner.manifest.places import Path, Places
from jobrunner.manifest.spec import ManifestFile


@dataclass(frozen=True, slots=True)
class Draft:
    """The valid parts, where they stand, and what is known beyond them.

    `declared` names all tasks and crons, also those whose declaration has problems: a cron of such
    a task is not wrong, too. `is_complete` is False while imported modules may bring further tasks.
    """

    file: ManifestFile
    places: Places
    declared: Mapping[str, Set[str]]
    is_complete: bool
    functions: Set[str] = frozenset()  # tasks whose function was found
    faulty: Faulty = frozenset()  # parts that were left out of `file`, and those around them
    withheld: set[str] = field(default_factory=set)  # variables that no task inherits

    def has_faulty(self, path: Path) -> bool:
        """Whether the part at `path`, or one within it, was left out."""
        return tuple(path) in self.faulty

    def given(self, path: tuple[str, str], keys: Iterable[str]) -> list[str]:
        """Which of a task's or cron's keys have a value, be it a faulty one."""
        spec = getattr(self.file, path[0])[path[1]]
        return [
            key for key in keys if getattr(spec, key) is not None or self.has_faulty((*path, key))
        ]

    def problem(self, path: Path, what: str, why: str | None, fix: str) -> Problem:
        return Problem(self.places.locate(path), what, why, fix)

    def queues(self) -> set[str]:
        """The queues of all tasks, and the default one."""
        default = self.file.defaults.queue
        tasks = self.file.tasks.values()
        return {default, *(task.queue for task in tasks if "queue" in task.model_fields_set)}

    def no_time(self, path: Path) -> Problem:
        """A duration of zero where that would mean "never" or "always"."""
        what = f"{subject(path)} must be longer than zero"
        return self.problem(path, what, None, "write e.g. 30s, or remove the key")

    def check_inherited(self, path: Sequence[str], names: object) -> Iterator[Problem]:
        """Variables that no job inherits, since they open the store."""
        for index, name in enumerate(names if isinstance(names, list) else ()):
            if name in self.withheld:
                yield self.problem(
                    (*path, index),
                    f"{name!r} is not inherited by jobs",
                    "it opens the store, or is the secret of a task",
                    f"give it to one task by `env: {{{name}: {{env: {name}}}}}`",
                )

    def check_env(self, path: Sequence[str], env: Env) -> Iterator[Problem]:
        """Names that no environment can hold, and secrets with two sources or none."""
        for name, value in env.items():
            if not name or "=" in name:
                yield Problem(
                    self.places.locate_key((*path, name)),
                    f"{name!r} cannot be the name of an environment variable",
                    "a name has at least one character and no '='",
                    "write 'NAME: value'",
                )
            if isinstance(value, SecretRef) and (value.env is None) == (value.file is None):
                yield Problem(
                    self.places.locate_key((*path, name)),
                    f"{subject((*path, name))} must have exactly one of env, file",
                    "a secret is read from a variable or from a file",
                    "write {env: NAME} or {file: PATH}",
                )
