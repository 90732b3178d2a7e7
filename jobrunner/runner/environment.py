"""The environment of a command: the daemon's own, then files, variables, parameters, our own.

Left out of the daemon's environment: what belongs to the daemon alone (`JOBRUNNER_*`, systemd's
notify and listen variables), what opens the store, and the secrets of particular tasks. A task of
another user gets hardly anything of it. What names the manifest stays, so that a job can submit
others by the CLI where the store needs no secret.
"""

import codecs
import errno
import os
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from jobrunner.clock import rfc3339
from jobrunner.manifest.obeyed import variable_of, why_obeyed
from jobrunner.manifest.parts import Delivery, SecretRef
from jobrunner.manifest.spec import Task
from jobrunner.manifest.trust import Guard, read_guarded
from jobrunner.params import as_text
from jobrunner.runner.attempt import Attempt
from jobrunner.runner.envfile import parse_env_file
from jobrunner.runner.failures import CannotStart, no_room
from jobrunner.runner.processes import WORKER_VARIABLE
from jobrunner.runner.secretfiles import SecretFolder
from jobrunner.runner.withheld import variable

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
LARGEST_FILE = 1 << 20  # bytes, of secrets and variables: they are far smaller
OWN_PREFIX = "JOBRUNNER_"
KEPT = frozenset({"JOBRUNNER_FILE", "JOBRUNNER_STATE"})
ACCOUNT = frozenset({"HOME", "USER", "LOGNAME", "SHELL"})
# What programs need to run at all, and to write as people here read.
CLEAN = ACCOUNT | KEPT | {"PATH", "LANG", "TZ"}


@dataclass(slots=True)
class Environment:
    """Variables for one attempt, and the values among them that must never be shown."""

    variables: dict[str, str]
    secrets: list[str] = field(default_factory=list)

    def add_secret(self, name: str, ref: SecretRef, folder: Path, files: SecretFolder) -> None:
        """Read a secret; its variable holds the value, or the path of a file with it."""
        raw = _secret_of(name, ref, folder)
        if ref.delivery is Delivery.FILE:
            self.variables[name] = files.write(name, raw)
            self.secrets.append(_text_of(raw))
        else:
            self.variables[name] = _variable_of(name, raw)
            self.secrets.append(self.variables[name])


def base_environment(environ: Mapping[str, str], withheld: Collection[str] = ()) -> dict[str, str]:
    """What commands may get of the daemon's environment."""
    left_out = DAEMON_ONLY.union(withheld)
    return {
        name: value
        for name, value in environ.items()
        if name not in left_out and (name in KEPT or not name.startswith(OWN_PREFIX))
    }


def _inherited(base: Mapping[str, str], task: Task) -> dict[str, str]:
    """What one task gets of it."""
    wanted = task.inherit_env
    if wanted is None:
        wanted = task.user is None
    if wanted is True:
        return dict(base)
    names = CLEAN.union(wanted or ())
    return {name: value for name, value in base.items() if name in names}


def environment_of(
    attempt: Attempt, base: Mapping[str, str], result_file: str, files: SecretFolder
) -> Environment:
    """All variables of an attempt. Raises CannotStart for a file or secret that cannot be read."""
    task = attempt.task
    environment = Environment(_inherited(base, task), secret_arguments(attempt))
    for env_files, env in attempt.env_layers or [(task.env_file, task.env)]:
        for name in env_files:
            environment.variables |= _file_variables(attempt.folder / name)
        for name, value in env.items():
            if isinstance(value, SecretRef):
                environment.add_secret(name, value, attempt.folder, files)
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


def read_env_file(path: Path) -> dict[str, str]:
    """The variables of a file of `NAME=value` lines.

    Raises OSError, also for what is no file; ValueError for a line that is none, or no UTF-8.
    """
    return parse_env_file(_content_of(path).decode("utf-8-sig"))


def _file_variables(path: Path) -> dict[str, str]:
    try:
        return read_env_file(path)
    except OSError as error:
        what = f"env_file {str(path)!r} cannot be read: {error.strerror}"
        raise no_room(error) or CannotStart(what) from error
    except ValueError as error:
        raise CannotStart(
            f"env_file {str(path)!r} is damaged: {error}",
            fix="write one NAME=value per line, in UTF-8",
        ) from error


def _secret_of(name: str, secret: SecretRef, folder: Path) -> bytes:
    """What the variable or file holds, as it is."""
    if secret.file is not None:
        try:
            return _content_of(folder / secret.file)
        except OSError as error:
            raise no_room(error) or CannotStart(
                f"secret {name!r} cannot be read from {secret.file!r}", why=error.strerror
            ) from error
    value = variable(secret.env or "")
    if value is None:
        raise CannotStart(
            f"secret {name!r} is not there: the daemon has no variable {secret.env!r}",
            fix=f"start the daemon with {secret.env} in its environment",
        )
    return os.fsencode(value)


def _content_of(path: Path) -> bytes:
    """What a file holds. Raises OSError, also for what is no file, or too large for variables."""
    content = read_guarded(path, Guard.NONE, LARGEST_FILE)
    if len(content) > LARGEST_FILE:
        raise OSError(errno.EFBIG, f"it has more than {LARGEST_FILE:,} bytes")
    return content


def _variable_of(name: str, content: bytes) -> str:
    """A secret as the value of a variable: without byte order mark and line end."""
    text = _text_of(content).rstrip("\r\n")
    if "\0" in text:
        raise CannotStart(
            f"secret {name!r} cannot be a variable: it holds a zero byte",
            fix="hand it over as a file: add `as: file`",
        )
    return text


def _text_of(content: bytes) -> str:
    return os.fsdecode(content.removeprefix(codecs.BOM_UTF8))
