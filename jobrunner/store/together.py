"""Several operations in the round trips of the longest one; several commands at one instant."""

from collections.abc import Iterable
from typing import Any

from jobrunner.store.damage import NOT_REPLACED, in_place_of
from jobrunner.store.failures import ReplyError
from jobrunner.store.requests import Command, Operation, Pipeline, Request, Script, Series, Single


def together(*operations: Operation[Any]) -> Operation[list[Any]]:
    """Perform operations that do not need one another; their results, in order.

    For reads: a request that fails ends all of them, and none can answer its error.
    """
    results: list[Any] = [None] * len(operations)
    waiting: dict[int, Single] = {}

    def advance(index: int, reply: Any) -> None:
        try:
            request = operations[index].send(reply)
        except StopIteration as stop:
            waiting.pop(index, None)
            results[index] = stop.value
        else:
            waiting[index] = _in_one(request)

    for index in range(len(operations)):
        advance(index, None)
    while waiting:
        requests = dict(waiting)
        replies = iter((yield Pipeline([p for r in requests.values() for p in _parts(r)])))
        for index, request in requests.items():
            own = [next(replies) for _ in _parts(request)]
            advance(index, own if isinstance(request, Pipeline) else own[0])
    return results


def _in_one(request: Request) -> Single:
    return Pipeline(list(request.requests)) if isinstance(request, Series) else request


def _parts(request: Single) -> list[Command | Script]:
    return request.requests if isinstance(request, Pipeline) else [request]


def at_once(given: Iterable[Command]) -> Operation[list[Any]]:
    """The replies of commands between which nothing else happens; in one round trip.

    A transaction, not a script: long replies would take a script many times longer.
    """
    commands = list(given)
    replies = yield Pipeline([Command(("MULTI",)), *commands, Command(("EXEC",))])
    found: list[Any] = replies[-1]
    for at, reply in enumerate(found):
        if isinstance(reply, ReplyError):
            found[at] = in_place_of(reply, commands[at])
            if found[at] is NOT_REPLACED:
                raise reply
    return found
