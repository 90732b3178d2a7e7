"""What the daemon publishes of its manifest, for clients that read no YAML. No secrets."""

from collections.abc import Mapping
from datetime import date
from typing import TypeVar

import msgspec
from msgspec.structs import replace

from jobrunner import message
from jobrunner.message import MOST_ARGUMENTS, Message
from jobrunner.model import Priority
from jobrunner.params import ParamSpec, check_arguments, secret_names
from jobrunner.store.damage import UNREADABLE
from jobrunner.store.decoding import is_text, text_of
from jobrunner.store.keys import Keys
from jobrunner.store.requests import Argument, Command, Operation, Script

T = TypeVar("T")
ADHOC_TASK = "exec"  # of commands that no task declares; its parameter `command` is the argv


class PublishedTask(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a client needs to submit to a task, and `status` to show it."""

    name: str
    kind: str  # command, shell, python
    description: str = ""
    params: list[ParamSpec] = []
    queue: str = "default"
    priority: Priority = Priority.NORMAL
    lock: str | None = None  # the name, parameters not filled in
    target: str = ""  # of a Python function: module:function
    timeout_s: float | None = None
    most_arguments: int = MOST_ARGUMENTS  # bytes of a job's message


class PublishedCron(msgspec.Struct, frozen=True, omit_defaults=True):
    """A cron for `status`, `crons` and `trigger`."""

    name: str
    task: str
    schedule: str  # as written
    words: str  # "daily at 02:00"
    timezone: str = "UTC"
    params: dict[str, object] = {}  # without those that are secret
    withheld: list[str] = []  # names of those: the worker fills them in
    is_enabled: bool = True
    description: str = ""

    def message_of(self, task: PublishedTask, today: date, fire_time: int | None = None) -> bytes:
        """The message of one of its jobs. Raises InvalidArguments.

        `today` as for `check_arguments`; `fire_time` is milliseconds since the epoch.
        """
        specs = [
            replace(spec, required=False) if spec.name in self.withheld else spec
            for spec in task.params
        ]
        arguments = check_arguments(task.name, specs, self.params, from_text=False, today=today)
        secrets = secret_names(specs, arguments)
        return message.encode(
            Message(task.name, arguments, cron=self.name, fire_time=fire_time, secrets=secrets)
        )


class Published(msgspec.Struct, frozen=True):
    """All that was published; empty when no daemon ever ran in this namespace."""

    tasks: dict[str, PublishedTask]
    crons: dict[str, PublishedCron]
    allows_adhoc: bool = False
    digest: str = ""  # of the manifest's files as the daemon read them


_tasks = msgspec.json.Decoder(PublishedTask)
_crons = msgspec.json.Decoder(PublishedCron)


def publish(keys: Keys, published: Published) -> Operation[None]:
    """Replace what was published before, in one step."""
    fields: list[Argument] = ["adhoc", int(published.allows_adhoc), "digest", published.digest]
    for task in published.tasks.values():
        fields += [f"task:{task.name}", msgspec.json.encode(task)]
    for cron in published.crons.values():
        fields += [f"cron:{cron.name}", msgspec.json.encode(cron)]
    yield Script("publish", [keys.manifest()], fields)


def is_published(keys: Keys) -> Operation[bool]:
    """Whether anything is: not when its key was deleted, or is of another type."""
    return bool((yield Command(("HEXISTS", keys.manifest(), "digest"))))


def read_published(keys: Keys) -> Operation[Published]:
    """Everything that was published."""
    flat = yield Command(("HGETALL", keys.manifest()))
    return _published_of(dict(zip(flat[::2], flat[1::2], strict=True)))


def _published_of(fields: Mapping[bytes, bytes]) -> Published:
    tasks = [_decoded(_tasks, v) for k, v in fields.items() if k.startswith(b"task:")]
    crons = [_decoded(_crons, v) for k, v in fields.items() if k.startswith(b"cron:")]
    return Published(
        {task.name: task for task in tasks if task},
        {cron.name: cron for cron in crons if cron},
        fields.get(b"adhoc") == b"1",
        text_of(fields.get(b"digest")),
    )


def is_readable(field: bytes, text: bytes) -> bool:
    """Whether a field of the manifest's key can be read."""
    if field.startswith(b"task:"):
        return _decoded(_tasks, text) is not None
    if field.startswith(b"cron:"):
        return _decoded(_crons, text) is not None
    return is_text(text)


def read_published_task(keys: Keys, task: str) -> Operation[PublishedTask | None]:
    """One task, without reading the others."""
    text: bytes | None = yield Command(("HGET", keys.manifest(), f"task:{task}"))
    return None if text is None else _decoded(_tasks, text)


def _decoded(decoder: msgspec.json.Decoder[T], text: bytes) -> T | None:
    """None for what is damaged: the daemon publishes it anew when it starts or reloads."""
    try:
        return decoder.decode(text)
    except UNREADABLE:
        return None
