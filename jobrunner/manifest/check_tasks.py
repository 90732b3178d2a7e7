"""The checks of one task."""

import re
from collections.abc import Iterator
from datetime import date, timedelta

from jobrunner.errors import Problem
from jobrunner.manifest.draft import Draft
from jobrunner.manifest.explain import nearest, quoted
from jobrunner.manifest.naming import (
    NAME_RULE,
    PARAM_RULE,
    is_valid_name,
    is_valid_param,
    make_valid,
)
from jobrunner.manifest.obeyed import variable_of, why_obeyed
from jobrunner.manifest.parts import Param
from jobrunner.manifest.places import describe
from jobrunner.manifest.spec import Task, TaskDefaults
from jobrunner.params import ParamSpec, ParamType, check_value, default_value, placeholders
from jobrunner.patterns import fault

KINDS = ("command", "shell", "python")
OF_PROCESSES = [
    "interpreter",
    "cwd",
    "env",
    "env_file",
    "inherit_env",
    "user",
    "group",
    "umask",
    "nice",
    "limits",
    "success_codes",
    "fail_when",
]
SHORTEST_LOCK = timedelta(seconds=1)  # it is renewed at a third of it
_TARGET = re.compile(r"[^\W\d]\w*(?:\.[^\W\d]\w*)*:[^\W\d]\w*")
_ANY_DAY = date(2000, 1, 1)  # what `today` is does not matter to the check of a declaration
_NUMBERS = (ParamType.INTEGER, ParamType.NUMBER)
_TEXTS = (ParamType.STRING, ParamType.ANY)

TaskPath = tuple[str, str]


def check_task(draft: Draft, name: str, task: Task) -> Iterator[Problem]:
    """Every problem of one task, apart from those of single values."""
    path = ("tasks", name)
    if not is_valid_name(name):
        what = f"task name {quoted(name)} is not allowed"
        fix = f"rename it, e.g. to {make_valid(name, 'task')!r}"
        yield Problem(draft.places.locate_key(path), what, NAME_RULE, fix)
    yield from _check_kind(draft, path, task)
    yield from _check_function(draft, path, task)
    if task.command is not None and "interpreter" in task.model_fields_set:
        yield _no_script(draft, path)
    yield from check_fail_when(draft, path, task)
    yield from _check_lock(draft, path, task)
    yield from draft.check_env((*path, "env"), task.env)
    yield from draft.check_inherited((*path, "inherit_env"), task.inherit_env)
    if "queue" in task.model_fields_set:
        yield from check_queue(draft, (*path, "queue"), task.queue)
    if task.timeout == timedelta(0):
        yield draft.no_time((*path, "timeout"))
    for spec in task.param_specs():
        yield from _check_param(draft, path, task, spec)
    yield from _check_placeholders(draft, path, task)


def _check_kind(draft: Draft, path: TaskPath, task: Task) -> Iterator[Problem]:
    given = draft.given(path, KINDS)
    # A task without any may take its function from an imported module, under its name.
    if len(given) > 1 or (not given and draft.is_complete):
        yield Problem(
            draft.places.locate_key((*path, given[1]) if given else path),
            f"task {path[1]!r} has {' and '.join(given) or 'nothing to do'}",
            f"a task has exactly one of {', '.join(KINDS)}",
            "keep one of them" if given else "add one of them",
        )
    if task.command is not None and not any(task.command[:1]):
        what = f"'command' of task {path[1]!r} is empty"
        yield draft.problem((*path, "command"), what, None, "write a program and its arguments")
    if task.python is not None and not _TARGET.fullmatch(task.python):
        what = f"'python' of task {path[1]!r} is {quoted(task.python)}, which names no function"
        fix = "write module:function, e.g. shop.jobs:cleanup"
        yield draft.problem((*path, "python"), what, "a function is named as module:function", fix)


def _check_function(draft: Draft, path: TaskPath, task: Task) -> Iterator[Problem]:
    """Functions share a process with others: what belongs to a process cannot be a task's own."""
    if task.python is None:
        return
    for key in OF_PROCESSES:
        if key in task.model_fields_set:
            yield Problem(
                draft.places.locate_key((*path, key)),
                f"{key!r} has no meaning for the function of task {path[1]!r}",
                "functions run in processes that they share; only a command has its own",
                "remove it, or make the task a command, e.g. [python, -m, shop.jobs]",
            )


def _no_script(draft: Draft, path: TaskPath) -> Problem:
    return Problem(
        draft.places.locate_key((*path, "interpreter")),
        f"'interpreter' has no meaning for the command of task {path[1]!r}",
        "it runs a script, and a command is started as it stands",
        "write shell in place of command, or begin the command with the program",
    )


def check_fail_when(draft: Draft, path: tuple[str, ...], task: TaskDefaults) -> Iterator[Problem]:
    """Whether lines can be matched with its pattern."""
    why = pattern_fault(task.fail_when.output)
    if why is not None and "fail_when" in task.model_fields_set:
        what = f"'output' of fail_when of {describe(path)} cannot be used"
        place = (*path, "fail_when", "output")
        yield draft.problem(place, what, why, "correct the regular expression, or remove the key")


def _check_lock(draft: Draft, path: TaskPath, task: Task) -> Iterator[Problem]:
    if task.lock and task.lock_ttl is not None:
        yield Problem(
            draft.places.locate_key((*path, "lock_ttl")),
            f"task {path[1]!r} has both lock and lock_ttl",
            "lock_ttl is short for a lock with the task's name",
            "remove lock_ttl and set 'ttl' in lock",
        )
    if task.lock and task.lock.ttl < SHORTEST_LOCK:
        yield short_lock(draft, (*path, "lock", "ttl"))
    if task.lock_ttl is not None and task.lock_ttl < SHORTEST_LOCK:
        yield short_lock(draft, (*path, "lock_ttl"))
    if task.lock and not task.lock.name:
        what = f"the lock of task {path[1]!r} has no name"
        yield draft.problem((*path, "lock", "name"), what, None, f"write e.g. {path[1]!r}")


def short_lock(draft: Draft, path: tuple[str, ...]) -> Problem:
    return draft.problem(
        path,
        f"{path[-1]!r} of {path[0].removesuffix('s')} {path[1]!r} must be at least one second",
        "a lock is renewed at a third of its ttl",
        "write e.g. 2m: it is how long a crash blocks, not how long a job may take",
    )


def check_queue(draft: Draft, path: tuple[str, ...], queue: str) -> Iterator[Problem]:
    """Whether a queue's name is allowed."""
    if not is_valid_name(queue):
        what = f"queue name {quoted(queue)} is not allowed"
        yield draft.problem(path, what, NAME_RULE, f"write e.g. {make_valid(queue, 'default')!r}")


def _check_param(
    draft: Draft, task_path: TaskPath, task: Task, spec: ParamSpec
) -> Iterator[Problem]:
    name, param = spec.name, task.params[spec.name]
    path = (*task_path, "params", name)
    place = f"parameter {name!r} of task {task_path[1]!r}"
    if not is_valid_param(name):
        what = f"parameter name {quoted(name)} is not allowed"
        fix = "rename it, e.g. with '_' for '-'"
        yield Problem(draft.places.locate_key(path), what, PARAM_RULE, fix)
    if task.kind in ("command", "shell"):
        yield from _check_variable(draft, path, place)
    if (why := pattern_fault(param.pattern)) is not None:
        what = f"'pattern' of {place} cannot be used"
        yield draft.problem((*path, "pattern"), what, why, "correct it, or remove the key")
        return  # values cannot be matched with it
    yield from _check_bounds(draft, path, place, param)
    yield from _check_values(draft, path, place, param, spec)


def _check_variable(draft: Draft, path: tuple[str, ...], place: str) -> Iterator[Problem]:
    """Whoever may submit a job must not steer the programs that it starts."""
    variable = variable_of(path[-1])
    if (why := why_obeyed(variable)) is not None:
        yield Problem(
            draft.places.locate_key(path),
            f"{place} would become the variable {variable}",
            why,
            f"give it another name, e.g. {f'my_{path[-1]}'!r}",
        )


def pattern_fault(pattern: str | None) -> str | None:
    """Why a pattern cannot be used."""
    return None if pattern is None else fault(pattern)


def _check_bounds(
    draft: Draft, path: tuple[str, ...], place: str, param: Param
) -> Iterator[Problem]:
    for key in ("min", "max"):
        if getattr(param, key) is not None and param.type not in _NUMBERS:
            what = f"{key!r} of {place} has no meaning"
            why = f"its type is {param.type.value}; only numbers have a least and a greatest value"
            yield draft.problem((*path, key), what, why, "remove it, or set type: integer")
    if param.pattern is not None and param.type is not ParamType.STRING:
        what = f"'pattern' of {place} has no meaning"
        why = f"its type is {param.type.value}; only strings are matched"
        yield draft.problem((*path, "pattern"), what, why, "remove it, or set type: string")
    if param.allow_dash and param.type not in _TEXTS:
        what = f"'allow_dash' of {place} has no meaning"
        why = f"its type is {param.type.value}; only a string could be taken for an option"
        yield draft.problem((*path, "allow_dash"), what, why, "remove it, or set type: string")
    if param.min is not None and param.max is not None and param.min > param.max:
        what = f"'min' of {place} is greater than its 'max'"
        yield draft.problem((*path, "min"), what, "no value could fit", "exchange the two")


def _check_values(
    draft: Draft, path: tuple[str, ...], place: str, param: Param, spec: ParamSpec
) -> Iterator[Problem]:
    # Without choices: a choice need not be among them.
    free = ParamSpec(spec.name, spec.type, secret=spec.secret)
    for index, choice in enumerate(param.choices or []):
        try:
            check_value(free, choice, from_text=isinstance(choice, str), today=_ANY_DAY)
        except ValueError as error:
            yield draft.problem(
                (*path, "choices", index),
                f"a choice of {place} {error}",
                f"its type is {spec.type.value}",
                "correct the choice, or the type",
            )
    if param.choices == []:
        what = f"'choices' of {place} is empty"
        yield draft.problem((*path, "choices"), what, "no value could fit", "add one, or remove it")
    elif spec.default is not None:
        try:
            default_value(spec, _ANY_DAY)
        except ValueError as error:
            what = f"the default of {place} {error}"
            yield draft.problem((*path, "default"), what, None, "correct the default")


def _check_placeholders(draft: Draft, path: TaskPath, task: Task) -> Iterator[Problem]:
    is_open = task.kind in (None, "python") and path[1] not in draft.functions
    if (is_open and not task.params) or draft.has_faulty((*path, "params")):
        return  # its parameters are those of a function that was not found yet, or are at fault
    for key, text in _templates(task):
        for name in placeholders(text):
            if name not in task.params:
                yield _unknown_placeholder(draft, (*path, *key), name, task)
            elif key[0] == "lock" and task.params[name].secret:
                yield _secret_in_lock(draft, (*path, *key), name)


def _templates(task: Task) -> Iterator[tuple[tuple[str | int, ...], str]]:
    """The texts that may refer to parameters, with their keys."""
    for index, word in enumerate(task.command or []):
        yield ("command", index), word
    if task.cwd is not None:
        yield ("cwd",), task.cwd
    if task.lock is not None:
        yield ("lock", "name"), task.lock.name


def _secret_in_lock(draft: Draft, path: tuple[str | int, ...], name: str) -> Problem:
    return draft.problem(
        path,
        f"{{{name}}} in the lock's name of task {path[1]!r} is a secret parameter",
        "the names of locks are shown by `locks`, `status` and `why`",
        "use a parameter that says whose the secret is, e.g. an account, and add it to params",
    )


def _unknown_placeholder(
    draft: Draft, path: tuple[str | int, ...], name: str, task: Task
) -> Problem:
    near = nearest(name, task.params)
    declared = ", ".join(task.params)
    return draft.problem(
        path,
        f"{{{name}}} in {path[2]!r} of task {path[1]!r} is no parameter",
        f"its parameters are {declared}" if declared else "the task declares no parameters",
        f"write {{{near}}}"
        if near
        else f"declare {name!r} in params, or write {{{{{name}}}}} for the text itself",
    )
