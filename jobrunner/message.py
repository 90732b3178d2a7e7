"""What a job carries through the store: its task's name and arguments, as JSON, never pickle."""

import math
from collections.abc import Callable
from typing import Any

import msgspec

from jobrunner.errors import MASK, InvalidArguments, quoted

MOST_ARGUMENTS = 4 << 20  # bytes of a message, unless `bounds` says otherwise
MOST_RESULT = 16 << 20  # bytes of a result's JSON, likewise


class Message(msgspec.Struct, frozen=True, array_like=True):
    """Task and arguments of a job. Commands have `kwargs` only; `labels` are taskiq's.

    Who makes a job says which of its arguments are secret: the manifest that knew it may be
    another when they are shown.
    """

    task: str
    kwargs: dict[str, Any] = {}
    args: list[Any] = []
    labels: dict[str, Any] = {}
    cron: str | None = None
    fire_time: int | None = None  # milliseconds since the epoch
    secrets: list[str] | None = None  # names of arguments; None: nobody said

    def shown_arguments(self) -> dict[str, Any]:
        """The arguments as they may be shown. Where nobody said which are secret, all may be."""
        hidden = self.kwargs if self.secrets is None else self.secrets
        if not hidden:
            return self.kwargs
        return {name: MASK if name in hidden else value for name, value in self.kwargs.items()}


_decoder = msgspec.json.Decoder(Message)


def encode(message: Message) -> bytes:
    """The message as JSON. Raises InvalidArguments for a value that JSON cannot carry."""
    fields: list[Any] = [message.task, message.kwargs]
    # Every job keeps its message twice, in the record and in the queue: no byte for nothing.
    knows_secrets = message.secrets is not None and bool(message.kwargs)
    if message.args or message.labels or message.cron or knows_secrets:
        fields += [message.args, message.labels]
    if message.cron or knows_secrets:
        fields += [message.cron, message.fire_time]
    if knows_secrets:
        fields.append(message.secrets)
    try:
        return encode_value(fields)
    except (TypeError, ValueError, OverflowError, RecursionError) as error:
        raise InvalidArguments(
            f"an argument of task {quoted(message.task)} cannot be sent",
            why="it is nested too deeply" if isinstance(error, RecursionError) else str(error),
            fix="give values that JSON can carry: texts, numbers, lists, dictionaries, dates",
        ) from error


def fault_in_json(text: bytes) -> str | None:
    """Why a text is no JSON value; None when it is one. For what others have written."""
    try:
        msgspec.json.decode(text)
    except RecursionError:
        return "it is nested too deeply"
    except UnicodeDecodeError as error:
        return f"it is not UTF-8 text ({error.reason} at byte {error.start})"
    except (msgspec.DecodeError, ValueError) as error:
        return str(error)
    return None


def encode_value(value: Any, enc_hook: Callable[[Any], Any] | None = None) -> bytes:
    """A value as JSON. Raises TypeError and ValueError for what JSON cannot carry.

    Such is NaN, or an infinity: the encoder would write `null` for it, and say nothing.
    """
    text = msgspec.json.encode(value, enc_hook=enc_hook)
    # Most values have no null, and need no second look.
    if b"null" in text and _has_no_number(msgspec.to_builtins(value, enc_hook=enc_hook)):
        raise ValueError("JSON has no NaN and no infinity")
    return text


def _has_no_number(value: Any) -> bool:
    pending = [value]
    while pending:
        part = pending.pop()
        if isinstance(part, float) and not math.isfinite(part):
            return True
        if isinstance(part, dict):
            pending += part.values()
            pending += part.keys()
        elif isinstance(part, (list, tuple, set, frozenset)):
            pending += part
    return False


def check_size(size: int, most: int) -> None:
    """Raises InvalidArguments for a message of more than so many bytes."""
    if size > most:
        raise InvalidArguments(
            f"the arguments have {size:,} bytes as JSON, more than the {most:,} of "
            "bounds.arguments",
            why="each job is kept in the server's memory, its message twice while it waits",
            fix="give where the data is, e.g. the path of a file, or raise the bound",
        )


def decode(text: bytes | str) -> Message:
    """The message back. Raises msgspec.DecodeError when it is damaged."""
    try:
        return _decoder.decode(text)
    except RecursionError as error:
        raise msgspec.DecodeError("it is nested too deeply") from error
