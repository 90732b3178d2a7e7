"""The child's side: imports the modules and describes the tasks in them."""

import inspect
import sys
from collections import Counter
from collections.abc import Callable, Iterable
from difflib import get_close_matches
from types import ModuleType
from typing import Any

from jobrunner.discover.answer import Discovery, Importing, Key, ModuleProblem, Question
from jobrunner.discover.imports import import_module
from jobrunner.discover.plain import NotPlain, plain
from jobrunner.discover.signature import UnusableFunction, params_of
from jobrunner.errors import Location, Problem
from jobrunner.manifest.found import FoundTask
from jobrunner.tasks import NotedCron, TaskFunction


class Scan:
    """One pass over the targets of the manifest's own tasks, then over the imports.

    In this order, because a function that the manifest names goes by the name given there.
    """

    def __init__(self, question: Question, say: Callable[[Importing], None]) -> None:
        self._question = question
        self._say = say
        self._modules: dict[str, ModuleType | None] = {}  # None: could not be imported
        self._found: list[FoundTask] = []
        self._functions: dict[str, Callable[..., Any]] = {}  # by task, also of unusable ones
        self._targets: dict[str, str] = {}  # by task
        self._problems: list[ModuleProblem] = []

    def run(self) -> Discovery:
        for task, target in self._question.targets.items():
            self._scan_target(task, target, ("tasks", task, "python"))
        for position, name in enumerate(self._question.imports):
            self._scan_module(name, ("imports", position))
        return Discovery(self._found, self._problems)

    def _scan_module(self, name: str, key: Key) -> None:
        module = self._import(name, key)
        if module is None:
            return
        for attribute, value in vars(module).items():
            noted = _noted(value)
            if noted is not None and not self._is_known(value):
                target = _target(noted, f"{name}:{attribute}")
                self._add(noted.name, target, noted, value, key)

    def _scan_target(self, task: str, target: str, key: Key) -> None:
        module_name, _, attribute = target.partition(":")
        module = self._import(module_name, key)
        if module is None:
            return
        value = getattr(module, attribute, None)
        if value is None:
            self._problems.append(ModuleProblem(key, _missing(module, attribute)))
        elif not callable(value):
            self._problems.append(ModuleProblem(key, _not_callable(target, value)))
        else:
            self._add(task, target, _noted(value) or TaskFunction(value), value, key)

    def _import(self, name: str, key: Key) -> ModuleType | None:
        """The module; None when it cannot be imported, which is reported once."""
        if name not in self._modules:
            self._say(Importing(name, key))
            imported = import_module(name, self._question.folder)
            if isinstance(imported, Problem):
                self._problems.append(ModuleProblem(key, imported))
            self._modules[name] = imported if isinstance(imported, ModuleType) else None
        return self._modules[name]

    def _add(
        self, task: str, target: str, noted: TaskFunction[..., Any], value: Any, key: Key
    ) -> None:
        if task in self._functions:
            problem = _same_name(task, self._targets[task], target, noted)
            self._problems.append(ModuleProblem(key, problem))
            return
        # Under a second name the function's crons would fire twice.
        crons = () if self._is_known(value) else noted.crons
        self._functions[task] = value
        self._targets[task] = target
        try:
            self._found.append(describe(task, target, noted, crons))
        except (UnusableFunction, NotPlain) as error:
            self._problems.append(ModuleProblem(key, _unusable(task, noted, error)))

    def _is_known(self, function: Callable[..., Any]) -> bool:
        """Named by the manifest, or re-exported by a module that was scanned before."""
        return any(each is function for each in self._functions.values())


def _noted(value: Any) -> TaskFunction[..., Any] | None:
    """What `@task` said of a value, also from below other decorators; None where it said nothing.

    A decorator above `@task` is in the module's name, so it is part of what runs.
    """
    if isinstance(value, TaskFunction) or not inspect.isroutine(value):
        return value if isinstance(value, TaskFunction) else None
    inner = inspect.unwrap(value, stop=lambda each: isinstance(each, TaskFunction))
    if not isinstance(inner, TaskFunction):
        return None
    return TaskFunction(value, inner.options, inner.crons)


def describe(
    task: str, target: str, noted: TaskFunction[..., Any], crons: Iterable[NotedCron]
) -> FoundTask:
    """The function as values. Raises UnusableFunction, and NotPlain for a strange option."""
    options = plain(noted.options)
    options.pop("name", None)
    lines = (inspect.getdoc(noted.function) or "").splitlines()
    return FoundTask(
        name=task,
        target=target,
        is_async=noted.is_async,
        params=params_of(noted.function),
        description=options.pop("description", lines[0] if lines else ""),
        options=options,
        crons=_named(task, [plain(each) for each in crons]),
        where=place_of(noted.function),
    )


def place_of(function: Callable[..., Any]) -> Location | None:
    """Where a function is defined; None for one that is not written in Python."""
    code = getattr(inspect.unwrap(function), "__code__", None)
    return Location(code.co_filename, code.co_firstlineno, 1) if code else None


def _target(noted: TaskFunction[..., Any], otherwise: str) -> str:
    """The place of definition rather than of a re-export, where the name leads to the function."""
    module = sys.modules.get(noted.__module__)
    if getattr(module, noted.__qualname__, None) is noted:
        return f"{noted.__module__}:{noted.__qualname__}"
    return otherwise


def _named(task: str, crons: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Crons without a name get the task's: `cleanup`, then `cleanup-2`, in the source's order."""
    unnamed: Counter[str] = Counter()
    for cron in crons:
        if "name" not in cron:
            unnamed[task] += 1
            cron["name"] = task if unnamed[task] == 1 else f"{task}-{unnamed[task]}"
    return crons


def _missing(module: ModuleType, attribute: str) -> Problem:
    names = [name for name, value in vars(module).items() if _is_own(module, name, value)]
    near = get_close_matches(attribute, names, 1)
    return Problem(
        where=None,
        what=f"module {module.__name__!r} has no function {attribute!r}",
        why=f"it defines {', '.join(sorted(names))}" if names else "it defines none",
        fix=f"did you mean '{module.__name__}:{near[0]}'?" if near else "correct the name",
    )


def _is_own(module: ModuleType, name: str, value: Any) -> bool:
    return (
        callable(value)
        and not name.startswith("_")
        and getattr(value, "__module__", None) == module.__name__
    )


def _not_callable(target: str, value: Any) -> Problem:
    return Problem(
        where=None,
        what=f"{target!r} is not a function",
        why=f"it is a value of type {type(value).__name__}",
        fix="name a function of that module",
    )


def _same_name(task: str, first: str, second: str, noted: TaskFunction[..., Any]) -> Problem:
    return Problem(
        where=place_of(noted.function),
        what=f"two tasks are named {task!r}: {first} and {second}",
        why="a task is submitted by its name",
        fix=f"name one of them otherwise, e.g. `@task(name='{task}-2')`",
    )


def _unusable(
    task: str, noted: TaskFunction[..., Any], error: UnusableFunction | NotPlain
) -> Problem:
    where = place_of(noted.function)
    if isinstance(error, UnusableFunction):
        return Problem(where, f"task {task!r}: {error.what}", error.why, error.fix)
    fix = "use text, numbers, durations, lists and dictionaries"
    return Problem(where, f"task {task!r} has an option of a wrong type", str(error), fix)
