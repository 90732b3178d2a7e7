"""The manifest's models: the single source of validation, defaults and JSON Schema.

`ManifestFile` is what a person writes. `Manifest` is what `load` makes of it: defaults merged into
the tasks, short forms written out, paths absolute, functions of the imported modules taken up.
"""

import hashlib
from datetime import timedelta
from enum import StrEnum
from pathlib import Path
from typing import Any

from pydantic import Field

from jobrunner.manifest.argv import Argv, in_process
from jobrunner.manifest.fields import Duration, Files, Inherited, Integer, Nice, Umask
from jobrunner.manifest.interpreter import Interpreter
from jobrunner.manifest.parts import (
    Bounds,
    Env,
    FailWhen,
    Limits,
    Output,
    Param,
    Retention,
    SecretRef,
    Spec,
    Store,
    Workers,
)
from jobrunner.model import Priority
from jobrunner.params import ParamSpec


class Backoff(StrEnum):
    EXPONENTIAL = "exponential"
    LINEAR = "linear"
    FIXED = "fixed"


class Retry(Spec):
    """How often and when a failed attempt is followed by another."""

    attempts: Integer = Field(
        1, ge=1, le=1000, description="Attempts all in all; 1 means no retry."
    )
    delay: Duration = Field(
        timedelta(seconds=5), description="Delay before the second attempt; the unit of `backoff`."
    )
    backoff: Backoff = Field(
        Backoff.EXPONENTIAL,
        description="How the delay grows: doubled each time, by one delay each time, or not.",
    )
    max_delay: Duration = Field(timedelta(hours=1), description="No delay is longer than this.")
    jitter: bool = Field(
        True,
        description="Take a random delay between zero and the computed one, so that jobs that "
        "failed together do not come back together.",
    )
    exit_codes: list[Integer] | None = Field(
        None,
        description="Retry a command only after these exit codes. Left out: after every failure.",
    )
    exceptions: list[str] | None = Field(
        None,
        description="Retry a function only after these exceptions, by name. Left out: after every "
        "one.",
    )


class Conflict(StrEnum):
    SKIP = "skip"
    WAIT = "wait"
    FAIL = "fail"


class Lock(Spec):
    """At most `slots` jobs that share `name` at the same time, across all daemons."""

    name: str = Field(
        description="The lock's name; tasks with the same name share it. May use parameters.",
        examples=["report-{region}"],
    )
    ttl: Duration = Field(
        timedelta(minutes=2),
        description="How long a crash blocks the lock, not how long a job may take.",
    )
    slots: Integer = Field(1, ge=1, le=10_000, description="How many jobs may hold it together.")
    conflict: Conflict = Field(
        Conflict.SKIP,
        description="When the lock is held: record the job as skipped, let it wait, or fail it.",
    )


class Ack(StrEnum):
    BATCH = "batch"
    EACH = "each"


class Record(StrEnum):
    LAZY = "lazy"
    EAGER = "eager"


class TaskDefaults(Spec):
    """What a task may set, and `defaults` may set for all tasks."""

    interpreter: Interpreter | None = Field(
        None,
        description="What runs `shell`. Left out: /bin/sh -eu. bash, zsh or ksh: with -euo "
        "pipefail. A list: these words, then the script.",
        examples=["bash", ["python3", "-u", "-c"]],
    )
    cwd: str | None = Field(
        None, description="Working folder. Left out: the manifest's folder. May use parameters."
    )
    env: Env = Field(
        {},
        description="Environment variables: text, number, true or false, or a secret as "
        "{env: NAME} or {file: PATH}.",
    )
    env_file: Files = Field(
        [], description="Files of NAME=value lines; `env` wins over them.", examples=["task.env"]
    )
    inherit_env: Inherited | None = Field(
        None,
        description="What it gets of the daemon's environment beside PATH, HOME, USER, LOGNAME, "
        "SHELL, LANG and TZ: all, nothing, or these variables. Left out: all, nothing with `user`.",
        examples=[["HTTP_PROXY"]],
    )
    user: str | None = Field(None, description="User to run as; the daemon must run as root.")
    group: str | None = Field(None, description="Group to run as; the daemon must run as root.")
    umask: Umask | None = Field(None, description="Octal, e.g. '027'.", examples=["027"])
    nice: Nice | None = Field(
        None, description="Priority for the processor: 19 is the most modest."
    )
    limits: Limits = Field(Limits(), description="Resource limits.")
    timeout: Duration | None = Field(
        None, description="An attempt that runs longer is stopped and failed. Left out: never."
    )
    kill_grace: Duration = Field(
        timedelta(seconds=10), description="Time between TERM and KILL when an attempt is stopped."
    )
    success_codes: list[Integer] = Field([0], description="Exit codes of a success.")
    fail_when: FailWhen = Field(
        FailWhen(), description="What is a failure though the exit code is one of a success."
    )
    retry: Retry = Field(Retry(), description="What follows a failed attempt.")
    max_lost: Integer = Field(
        3,
        ge=1,
        le=1000,
        description="A job whose worker died so many times fails with reason lost.",
    )
    queue: str = Field("default", description="The queue its jobs wait in.")
    priority: Priority = Field(Priority.NORMAL, description="Priority within the queue.")
    ack: Ack = Field(
        Ack.BATCH,
        description="each: finished jobs are written one by one; slower, but a crash repeats less.",
    )
    record: Record = Field(
        Record.LAZY,
        description="eager: the start is recorded before the attempt begins, even for short jobs.",
    )
    output: Output = Field(Output(), description="What is kept of the output.")
    result_ttl: Duration | None = Field(
        None, description="How long the result is kept. Left out: as long as the job's record."
    )


class Task(TaskDefaults):
    """A declared unit of work: exactly one of `command`, `shell`, `python`."""

    description: str = Field("", description="What it does, in one line.")
    command: Argv | None = Field(
        None,
        description="Program and arguments, no shell; a text is split into words. {name} stands "
        "for a parameter and never splits, {{name}} for itself.",
        examples=[["pg_dump", "--file=/backups/{day}.dump", "shop"]],
    )
    shell: str | None = Field(
        None,
        description="Script for /bin/sh -eu, or for `interpreter`; parameters arrive as "
        "environment variables. ${VAR} is left to the shell.",
    )
    python: str | None = Field(
        None, description="A function, as module:function.", examples=["shop.jobs:cleanup_expired"]
    )
    params: dict[str, Param] = Field(
        {}, max_length=256, description="Its parameters, by name; at most 256."
    )
    lock_ttl: Duration | None = Field(
        None,
        description="Only one of its jobs at a time: short for a lock with the task's name, this "
        "ttl and conflict skip.",
    )
    lock: Lock | None = Field(None, description="The lock its jobs take.")
    cron: str | None = Field(
        None, description="Cron expression: short for a cron of the same name."
    )

    @property
    def kind(self) -> str | None:
        """`command`, `shell` or `python`; None when the manifest says nothing yet."""
        given = (k for k in ("command", "shell", "python") if getattr(self, k) is not None)
        return next(given, None)

    def param_specs(self) -> list[ParamSpec]:
        """The parameters, as clients and workers check them."""
        specs = [param.spec(name) for name, param in self.params.items()]
        if not specs or self.kind not in ("command", "shell"):
            return specs
        return in_process(specs, self.command or (), self.params)


class Misfire(StrEnum):
    SKIP = "skip"
    ONCE = "once"
    ALL = "all"


class Overlap(StrEnum):
    ALLOW = "allow"
    SKIP = "skip"
    QUEUE = "queue"
    REPLACE = "replace"


class CatchUp(Spec):
    """How far misfire policy `all` goes back."""

    window: Duration = Field(timedelta(days=1), description="Older fire times are skipped.")
    count: Integer = Field(100, ge=1, le=10_000, description="At most so many jobs at once.")


class CronSpec(Spec):
    """When a task is asked for: an expression or an interval, a zone and policies."""

    task: str = Field(description="Name of the task.")
    description: str = Field("", description="What it is for, in one line.")
    cron: str | None = Field(
        None,
        description="Five fields, or six with seconds first, or @daily and the like.",
        examples=["0 2 * * *"],
    )
    every: Duration | None = Field(
        None, description="Interval, instead of `cron`.", examples=["90s"]
    )
    timezone: str = Field(
        "UTC",
        description="Time zone of the expression. Left out: the manifest's.",
        examples=["Europe/Berlin"],
    )
    params: dict[str, Any] = Field({}, description="Arguments of its jobs.")
    misfire: Misfire = Field(
        Misfire.ONCE,
        description="What to do about missed fire times: skip them, make one job for the latest, "
        "or one job each, oldest first.",
    )
    grace: Duration = Field(
        timedelta(seconds=10), description="A fire time noticed later than this is a misfire."
    )
    catch_up: CatchUp = Field(CatchUp(), description="Bounds for misfire policy all.")
    overlap: Overlap = Field(
        Overlap.ALLOW, description="What to do while the cron's previous job is not finished."
    )
    jitter: Duration = Field(
        timedelta(0), description="Each job is delayed by a random time up to this."
    )
    lock_ttl: Duration | None = Field(
        None, description="As in a task, for the jobs of this cron only."
    )
    enabled: bool = Field(True, description="false: it never fires by itself.")


class ManifestFile(Spec):
    """A manifest as it is written."""

    name: str = Field("", description="Namespace in the store. Left out: the folder's name.")
    imports: list[str] = Field(
        [], description="Python modules with @task and @cron functions.", examples=[["shop.jobs"]]
    )
    include: Files = Field(
        [],
        description="Further manifests, relative to this one, wildcards allowed; their tasks and "
        "crons are added.",
        examples=["jobs.d/*.yaml"],
    )
    store: Store = Field(Store(), description="Where the state lives.")
    workers: Workers = Field(Workers(), description="Worker processes and their slots.")
    defaults: TaskDefaults = Field(
        TaskDefaults(), description="For every task that does not say otherwise."
    )
    retention: Retention = Field(
        Retention(), description="How long finished jobs and their output are kept."
    )
    bounds: Bounds = Field(Bounds(), description="How large arguments and results may be.")
    adhoc: bool = Field(
        False, description="Allow `jobrunner exec`: commands that no task declares."
    )
    timezone: str = Field(
        "UTC",
        description="Time zone of the crons that name none. The variable TZ has no say.",
        examples=["Europe/Berlin"],
    )
    env: Env = Field({}, description="Environment variables of all tasks; a task's own win.")
    env_file: Files = Field([], description="Files of NAME=value lines for all tasks.")
    tasks: dict[str, Task] = Field({}, description="The tasks, by name.")
    crons: dict[str, CronSpec] = Field({}, description="The crons, by name.")


def secret_variables(file: ManifestFile) -> set[str]:
    """The variables that are read as secrets of tasks."""
    layers = [file.env, file.defaults.env, *(task.env for task in file.tasks.values())]
    refs = [value for env in layers for value in env.values() if isinstance(value, SecretRef)]
    return {ref.env for ref in refs if ref.env is not None}


class Manifest(ManifestFile):
    """The effective manifest: nothing in it is left to be merged. Survives a trip through JSON."""

    path: str = ""  # absolute; empty for one that came from no file
    async_tasks: dict[str, bool] = Field({})  # of tasks whose function was found
    store_variables: list[str] = Field([])  # of the environment, by which `store` was filled in
    secret_variables: list[str] = Field([])  # the same, of values of secret parameters

    @property
    def folder(self) -> Path:
        """Where relative paths and modules are looked up; absolute."""
        return Path(self.path).parent if self.path else Path.cwd()

    def is_async(self, task: str) -> bool | None:
        """Whether the task's function is asynchronous; None when that was not found out."""
        return self.async_tasks.get(task)

    def longest_stop(self) -> timedelta:
        """How long running jobs may hold up a stop: the drain, then the longest `kill_grace`."""
        graces = (task.kill_grace for task in self.tasks.values())
        return self.workers.drain + max(graces, default=timedelta(0))

    def queue_names(self) -> list[str]:
        """Every queue that a task uses, and the default one, in order of name."""
        return sorted({self.defaults.queue, *(task.queue for task in self.tasks.values())})

    def lock_of(self, task: str, cron: str | None = None) -> Lock | None:
        """The lock that a job of the task takes; `lock_ttl` of its cron wins over the task's."""
        lock = self.tasks[task].lock if task in self.tasks else None
        ttl = self.crons[cron].lock_ttl if cron in self.crons else None
        if ttl is None:
            return lock
        return lock.model_copy(update={"ttl": ttl}) if lock else Lock(name=task, ttl=ttl)

    def withheld_variables(self) -> frozenset[str]:
        """Variables of the daemon's environment that no job gets, but who has it as its secret."""
        named = secret_variables(self)
        return frozenset([*named, *self.store_variables, *self.secret_variables])

    def env_layers(self, task: Task) -> list[tuple[list[str], Env]]:
        """Files and variables, weakest first: the manifest's, then the task's.

        Within a layer the variables win over the files.
        """
        return [(self.env_file, self.env), (task.env_file, task.env)]

    def fingerprint(self) -> str:
        """Changes with every change of the effective manifest; hexadecimal."""
        return hashlib.sha256(self.model_dump_json().encode()).hexdigest()[:16]
