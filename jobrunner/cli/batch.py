"""The lines of `submit --batch`: a job each, as JSON. All are read before the first is made."""

from collections.abc import Iterator
from datetime import datetime
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import msgspec

from jobrunner.cli.context import CliContext
from jobrunner.client.request import JobRequest
from jobrunner.errors import UsageError
from jobrunner.model import Priority

STDIN = "-"


class BatchLine(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename={"delay": "in"}):
    """What a line may say; only `task` must be there."""

    task: str
    params: dict[str, Any] = {}
    key: str | None = None
    delay: str | float | None = None
    at: datetime | None = None
    queue: str | None = None
    priority: Priority | None = None


def read_batch(
    cli: CliContext, source: str, queue: str | None, priority: Priority | None
) -> list[JobRequest]:
    """The jobs of a file, or of stdin for `-`. Raises UsageError with the line's number."""
    decoder = msgspec.json.Decoder(BatchLine)
    requests = []
    for number, text in enumerate(_lines(cli, source), start=1):
        if not text.strip():
            continue
        try:
            requests.append(_request(decoder.decode(text), queue, priority))
        except (msgspec.DecodeError, UsageError, UnicodeEncodeError, RecursionError) as error:
            raise _unreadable(source, number, error) from error
    return requests


def _lines(cli: CliContext, source: str) -> Iterator[str]:
    if source == STDIN:
        try:
            yield from cli.stdin
        except (OSError, UnicodeDecodeError) as error:
            reason = error.strerror if isinstance(error, OSError) and error.strerror else error
            raise UsageError(
                f"cannot read the batch from stdin: {reason}", fix="redirect a file or pipe to it"
            ) from error
        return
    try:
        with Path(source).open(encoding="utf-8") as file:
            yield from file
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(
            f"cannot read the batch {source}: {error}", fix="name a readable file, or - for stdin"
        ) from error


def _request(line: BatchLine, queue: str | None, priority: Priority | None) -> JobRequest:
    request = JobRequest(
        line.task,
        line.params,
        delay=line.delay,
        at=line.at,
        key=line.key,
        queue=line.queue or queue,
        priority=line.priority or priority,
    )
    if line.delay is not None:
        request.delay_duration()  # a bad one is told with its line, here
    return request


def _unreadable(source: str, number: int, error: Exception) -> UsageError:
    name = "stdin" if source == STDIN else source
    fields = BatchLine.__struct_encode_fields__
    unknown = str(error).partition("unknown field `")[2].partition("`")[0]
    near = get_close_matches(unknown, fields, n=1) if unknown else []
    return UsageError(
        f"{name}:{number}: {error}",
        why=f"a line is one JSON object with {', '.join(fields)}; no job of the batch was made",
        fix=f"rename it to '{near[0]}'" if near else "correct the line, then submit again",
    )
