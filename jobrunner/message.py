"""What a job carries through the store: its task's name and arguments, as JSON, never pickle."""

from typing import Any

import msgspec


class Message(msgspec.Struct, frozen=True, array_like=True):
    """Task and arguments of a job. Commands have `kwargs` only; `labels` are taskiq's."""

    task: str
    kwargs: dict[str, Any] = {}
    args: list[Any] = []
    labels: dict[str, Any] = {}
    cron: str | None = None
    fire_time: int | None = None  # milliseconds since the epoch


_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(Message)


def encode(message: Message) -> bytes:
    """The message as JSON. Raises TypeError for a value that JSON cannot carry."""
    fields: list[Any] = [message.task, message.kwargs]
    # Every job keeps its message twice, in the record and in the queue: no byte for nothing.
    if message.args or message.labels or message.cron:
        fields += [message.args, message.labels]
    if message.cron:
        fields += [message.cron, message.fire_time]
    return _encoder.encode(fields)


def decode(text: bytes | str) -> Message:
    """The message back. Raises msgspec.DecodeError when it is damaged."""
    return _decoder.decode(text)
