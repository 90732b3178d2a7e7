"""Counting the round trips of an operation."""

from typing import TypeVar

from jobrunner.store.requests import Operation
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
