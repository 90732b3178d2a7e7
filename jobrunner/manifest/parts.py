"""The parts of the manifest that stand for themselves: store, workers, parameters, limits …"""

from datetime import timedelta
from enum import StrEnum
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Discriminator, Field, Tag, model_validator

from jobrunner.manifest.fields import (
    SECRET,
    TEXT,
    Argument,
    Bound,
    Duration,
    Integer,
    Positive,
    Processes,
    Size,
    kind_of_env_value,
)
from jobrunner.message import MOST_ARGUMENTS, MOST_RESULT
from jobrunner.params import ParamSpec, ParamType


class Spec(BaseModel):
    """Frozen, and unknown keys are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", coerce_numbers_to_str=True)

    @model_validator(mode="before")
    @classmethod
    def _empty_is_absent(cls, value: Any) -> Any:
        # `crons:` with every line below it commented out is null, and means no crons.
        if not isinstance(value, dict):
            return value
        fields = cls.model_fields
        return {
            key: item
            for key, item in value.items()
            if item is not None or key not in fields or fields[key].default is None
        }


class Delivery(StrEnum):
    VALUE = "value"
    FILE = "file"


class SecretRef(Spec):
    """A value that is read when an attempt starts and is never shown: either `env` or `file`."""

    model_config = ConfigDict(populate_by_name=True)

    env: str | None = Field(None, description="Name of a variable in the daemon's environment.")
    file: str | None = Field(None, description="Path of a file that holds the value.")
    delivery: Delivery = Field(
        Delivery.VALUE,
        alias="as",
        description="What the variable holds: the value, or the path of a private file with it.",
    )


EnvValue = Annotated[
    Annotated[Argument, Tag(TEXT)] | Annotated[SecretRef, Tag(SECRET)],
    Discriminator(kind_of_env_value),
]
Env = dict[str, EnvValue]


class Durability(StrEnum):
    EVERYSEC = "everysec"
    ALWAYS = "always"


class Store(Spec):
    """Where the state lives. Without `url`, on an embedded server."""

    url: str | None = Field(
        None,
        description="redis://, rediss:// or unix:// address of a Redis or Valkey server. "
        "Left out or empty: an embedded server.",
        examples=["redis://localhost:6379/0"],
    )
    durability: Durability = Field(
        Durability.EVERYSEC,
        description="How often the embedded server flushes to disk: everysec may lose the last "
        "second when the machine fails, always loses nothing.",
    )
    server: str | None = Field(
        "auto",
        description="The embedded server's program: auto is the bundled one, or a newer Valkey "
        "that the system has; bundled; or the path of a valkey-server or redis-server.",
        examples=["bundled", "/usr/bin/valkey-server"],
    )


class Workers(Spec):
    """The processes that run jobs."""

    processes: Processes = Field(
        "auto", description="Worker processes; auto is one per processor, at most 4."
    )
    slots: Integer = Field(
        64, ge=1, le=10_000, description="Attempts at the same time, per process."
    )
    drain: Duration = Field(
        timedelta(seconds=30),
        description="How long running jobs may go on when the daemon stops; then they are given "
        "back to their queue.",
    )
    queues: list[str] | None = Field(
        None, description="The queues this daemon works on. Left out: every queue of the manifest."
    )


class Limits(Spec):
    """Resource limits of one command: of all its processes together where the machine lets the
    daemon make control groups, else of each process by itself."""

    memory: Size | None = Field(
        None,
        description="Memory of the whole job, in bytes or e.g. 512M. Without control groups: "
        "address space of each process.",
        examples=["512M"],
    )
    cpu: Duration | None = Field(
        None,
        description="Processor time of the whole job. Without control groups: of each process.",
    )
    pids: Positive | None = Field(
        None,
        description="Processes and threads of the whole job at a time. Without control groups: of "
        "all processes of the task's `user`, and not held where it has none of its own.",
    )
    files: Positive | None = Field(None, description="Open files of each process.")


class Output(Spec):
    """What is kept of the output of an attempt."""

    max_bytes: Size = Field(
        1 << 20,
        description="Bytes kept per attempt; the first and the last part, the cut is marked.",
        examples=["1M"],
    )


class FailWhen(Spec):
    """What makes a failure of an attempt whose exit code is one of a success."""

    stderr: bool = Field(False, description="It wrote anything to its standard error.")
    output: str | None = Field(
        None,
        description="Regular expression: some line of its output, of either stream, matches.",
        examples=["^ERROR"],
    )


class Bounds(Spec):
    """How large what a job carries may be, as JSON."""

    arguments: Bound = Field(
        MOST_ARGUMENTS,
        description="Of a job's arguments; more are refused.",
        examples=["4M"],
    )
    result: Bound = Field(
        MOST_RESULT, description="Of a result; with more the job fails.", examples=["16M"]
    )


class Param(Spec):
    """A declared parameter of a task."""

    type: ParamType = Field(ParamType.STRING, description="The type of its values.")
    default: Any = Field(
        None,
        description="Used when a job gives no value. A date may be `today`, a datetime `now`.",
    )
    required: bool | None = Field(
        None, description="Whether a job must give it. Left out: when there is no default."
    )
    choices: list[Any] | None = Field(None, description="The only values allowed.")
    pattern: str | None = Field(
        None, description="Regular expression, as Rust's, that the whole text must match."
    )
    min: float | None = Field(None, description="Least value of a number.")
    max: float | None = Field(None, description="Greatest value of a number.")
    allow_dash: bool = Field(
        False,
        description="Let a string begin with '-' where it begins a word of a command; a program "
        "may take it for an option.",
    )
    secret: bool = Field(False, description="Mask the value wherever it would be shown.")
    description: str = Field("", description="What it is for, in a few words.")

    def spec(self, name: str) -> ParamSpec:
        """The parameter as clients and workers check it."""
        return ParamSpec(
            name=name,
            type=self.type,
            default=self.default,
            required=self.default is None if self.required is None else self.required,
            choices=self.choices,
            pattern=self.pattern,
            min=self.min,
            max=self.max,
            secret=self.secret,
            description=self.description,
        )

    @classmethod
    def of(cls, spec: ParamSpec) -> "Param":
        """The parameter of a function that was found in a module."""
        return cls(
            type=spec.type,
            default=spec.default,
            required=spec.required,
            choices=spec.choices,
            pattern=spec.pattern,
            min=spec.min,
            max=spec.max,
            secret=spec.secret,
            description=spec.description,
        )


class Retention(Spec):
    """How long finished jobs are kept."""

    completed: Duration = Field(timedelta(days=7), description="Age of completed jobs.")
    failed: Duration = Field(
        timedelta(days=30), description="Age of failed, skipped and cancelled jobs."
    )
    jobs: Integer = Field(
        100_000, ge=0, le=100_000_000, description="At most so many per terminal state."
    )
    logs: Duration = Field(timedelta(days=7), description="Age of a finished job's output.")
