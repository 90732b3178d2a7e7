"""What a job carries through the store: its task's name and arguments, as JSON, never pickle."""

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


_encoder = msgspec.json.Encoder()
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
        return _encoder.encode(fields)
    except (TypeError, ValueError, OverflowError, RecursionError) as error:
        raise InvalidArguments(
            f"an argument of task {quoted(message.task)} cannot be sent",
            why="it is nested too deeply" if isinstance(error, RecursionError) else str(error),
            fix="give values that JSON can carry: texts, numbers, lists, dictionaries, dates",
        ) from error


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
