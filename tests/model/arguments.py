"""Keys and arguments of a script as it was sent, for the model to read."""

from collections.abc import Iterator, Sequence

from jobrunner.store.requests import Argument
from tests.model.state import Place


def texts(args: Sequence[Argument]) -> list[str]:
    return [item.decode() if isinstance(item, bytes) else str(item) for item in args]


def rest_of(key: str) -> str:
    """A key without its namespace: `jr:{model}:job:x` -> `job:x`."""
    return key.partition("}:")[2]


def name_of(key: str) -> str:
    """`job:x` -> `x`."""
    return key.partition(":")[2]


def place_of(key: str) -> Place:
    """`queue:default:high` -> its queue and priority."""
    queue, _, level = name_of(key).rpartition(":")
    return queue, level


def rows(args: Sequence[str], start: int, width: int) -> Iterator[list[str]]:
    """The groups of arguments from `start` on, one per job."""
    for at in range(start, len(args), width):
        yield list(args[at : at + width])


def number(text: str) -> int | None:
    """None for an empty argument."""
    return int(text) if text else None
