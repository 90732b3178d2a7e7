"""The environment of a command: the daemon's own, then files, variables, parameters, our own.

Left out of the daemon's environment: what belongs to the daemon alone (`JOBRUNNER_*`, systemd's
notify and listen variables) and variables that the manifest reads as secrets of particular tasks.
What names the manifest stays, so that a job can submit others by the CLI.
"""

import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from jobrunner.clock import rfc3339
from jobrunner.manifest.obeyed import variable_of, why_obeyed
from jobrunner.manifest.parts import Env, SecretRef
from jobrunner.params import as_text
from jobrunner.runner.attempt import Attempt
from jobrunner.runner.envfile import parse_env_file
from jobrunner.runner.failures import CannotStart
from jobrunner.runner.processes import WORKER_VARIABLE

# Of systemd, for the daemon only: a command that took them would speak for the daemon.
DAEMON_ONLY = frozenset(
    [
        "NOTIFY_SOCKET",
        "WATCHDOG_PID",
        "WATCHDOG_USEC",
        "LISTEN_PID",
        "LISTEN_FDS",
        "LISTEN_FDNAMES",
        "FDSTORE",
        "CREDENTIALS_DIRECTORY",
        "INVOCATION_ID",
        "JOURNAL_STREAM",
        "MAINPID",
        "MANAGERPID",
        "SYSTEMD_EXEC_PID",
        "MEMORY_PRESSURE_WATCH",
        "MEMORY_PRESSURE_WRITE",
    ]
)
OWN_PREFIX = "JOBRUNNER_"
KEPT = frozenset({"JOBRUNNER_FILE", "JOBRUNNER_STATE"})


@dataclass(slots=True)
class Environment:
    """Variables for one attempt, and the values among them that must never be shown."""

    variables: dict[str, str]
    secrets: list[str] = field(default_factory=list)


def base_environment(environ: Mapping[str, str], layers: Iterable[Env] = ()) -> dict[str, str]:
    """What commands get of the daemon's environment; `layers` are all `env` of the manifest."""
    secret = {value.env for env in layers for value in env.values() if isinstance(value, SecretRef)}
    return {
        name: value
        for name, value in environ.items()
        if name not in DAEMON_ONLY | secret and (name in KEPT or not name.startswith(OWN_PREFIX))
    }


def environment_of(attempt: Attempt, base: Mapping[str, str], result_file: str) -> Environment:
    """All variables of an attempt. Raises CannotStart for a file or secret that cannot be read."""
    environment = Environment(dict(base), secret_arguments(attempt))
    task = attempt.task
    for files, env in attempt.env_layers or [(task.env_file, task.env)]:
        for name in files:
            environment.variables |= _file_variables(attempt.folder / name)
        for name, value in env.items():
            if isinstance(value, SecretRef):
                secret = _secret_value(name, value, attempt.folder)
                environment.secrets.append(secret)
                environment.variables[name] = secret
            else:
                environment.variables[name] = value
    environment.variables |= _parameter_variables(attempt)
    environment.variables |= own_variables(attempt)
    environment.variables[f"{OWN_PREFIX}RESULT"] = result_file
    return environment


def own_variables(attempt: Attempt) -> dict[str, str]:
    """What a command is told about its job. Empty, not absent, without a fire time: `sh -u`."""
    return {
        "JOBRUNNER_JOB_ID": attempt.job_id,
        "JOBRUNNER_TASK": attempt.task_name,
        "JOBRUNNER_ATTEMPT": str(attempt.number),
        "JOBRUNNER_FENCE": attempt.fence,
        "JOBRUNNER_FIRE_TIME": rfc3339(attempt.fire_time) if attempt.fire_time else "",
        WORKER_VARIABLE: attempt.worker,
    }


def secret_arguments(attempt: Attempt) -> list[str]:
    """Values of the arguments whose parameters are secret."""
    return [
        text
        for name, param in attempt.task.params.items()
        if param.secret and name in attempt.arguments
        for text in _texts_in(attempt.arguments[name])
    ]


def _texts_in(value: object) -> Iterator[str]:
    """The value as programs get it, and each text in it."""
    if value is None or isinstance(value, bool):
        return  # a word that says nothing, and stands everywhere
    yield as_text(value)
    inner = value.values() if isinstance(value, dict) else value
    if not isinstance(value, str) and isinstance(inner, Iterable):
        for item in inner:
            yield from _texts_in(item)


def _parameter_variables(attempt: Attempt) -> dict[str, str]:
    # One that was left out is set to nothing, else a script run by `sh -u` could not ask for it.
    values = dict.fromkeys(attempt.task.params) | attempt.arguments
    variables = {}
    for name, value in values.items():
        variable = variable_of(name)
        # The manifest's check refuses such a name before: this is for those that came by.
        if (why := why_obeyed(variable)) is not None:
            raise CannotStart(
                f"parameter {name!r} cannot become the variable {variable}",
                why=why,
                fix="give the parameter another name",
            )
        variables[variable] = as_text(value)
    return variables


def _file_variables(path: Path) -> dict[str, str]:
    try:
        return parse_env_file(path.read_text("utf-8-sig"))
    except OSError as error:
        raise CannotStart(f"env_file {str(path)!r} cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise CannotStart(
            f"env_file {str(path)!r} is damaged: {error}",
            fix="write one NAME=value per line, in UTF-8",
        ) from error


def _secret_value(name: str, secret: SecretRef, folder: Path) -> str:
    if secret.file is not None:
        try:
            return (folder / secret.file).read_text("utf-8-sig").rstrip("\r\n")
        except (OSError, ValueError) as error:
            raise CannotStart(
                f"secret {name!r} cannot be read from {secret.file!r}",
                why=error.strerror if isinstance(error, OSError) else "it is not UTF-8 text",
            ) from error
    value = os.environ.get(secret.env or "")
    if value is None:
        raise CannotStart(
            f"secret {name!r} is not there: the daemon has no variable {secret.env!r}",
            fix=f"start the daemon with {secret.env} in its environment",
        )
    return value
