"""What parent and child say to each other."""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import msgspec

from jobrunner.errors import Location, Problem
from jobrunner.manifest.found import FoundTask
from jobrunner.manifest.trust import Guard

Key = tuple[str | int, ...]  # where in the manifest: ("imports", 0), ("tasks", "backup", "python")


class Question(msgspec.Struct, frozen=True):
    """Which modules to scan, and which functions the manifest names; `targets` by task."""

    imports: list[str]
    targets: dict[str, str]
    folder: str
    timeout: timedelta
    guard: Guard = Guard.NONE


class Importing(msgspec.Struct, frozen=True, tag=True):
    """Written before each import, so that the parent can name the module that hung or crashed."""

    module: str
    key: Key


class ModuleProblem(msgspec.Struct, frozen=True):
    """A problem, and the key of the manifest that led to it."""

    key: Key
    problem: Problem


class Discovery(msgspec.Struct, frozen=True, tag=True):
    """The tasks that were found, and what is wrong with the others."""

    found: list[FoundTask]
    problems: list[ModuleProblem]

    def located(self, locate: Callable[[Key], Location | None]) -> list[Problem]:
        """The problems, each with a place: in a module, or else in the manifest by `locate`."""
        return [
            replace(each.problem, where=each.problem.where or locate(each.key))
            for each in self.problems
        ]
