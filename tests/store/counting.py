"""Counting the round trips of an operation, and looking at its commands."""

from typing import TypeVar

from jobrunner.store.requests import Argument, Command, Operation, Pipeline
from tests.store.factories import Store

T = TypeVar("T")


def round_trips(store: Store, operation: Operation[T]) -> tuple[T, int]:
    """The operation's result, and how many requests it took."""
    trips = 0
    try:
        request = next(operation)
        while True:
            trips += 1
            request = operation.send(store.connection.execute(request))
    except StopIteration as stop:
        result: T = stop.value
        return result, trips


def commands_of(store: Store, operation: Operation[T]) -> tuple[T, list[tuple[Argument, ...]]]:
    """The operation's result, and the commands that it sent; without scripts."""
    sent: list[tuple[Argument, ...]] = []
    try:
        request = next(operation)
        while True:
            parts = request.requests if isinstance(request, Pipeline) else [request]
            sent += [part.args for part in parts if isinstance(part, Command)]
            request = operation.send(store.connection.execute(request))
    except StopIteration as stop:
        result: T = stop.value
        return result, sent
