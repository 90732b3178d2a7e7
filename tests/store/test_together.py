"""Operations side by side: each gets its own replies, in as few round trips as the longest."""

import pytest

from jobrunner.store.requests import Command, Operation, Pipeline, Series
from jobrunner.store.together import together
from tests.store.clients import calls_of
from tests.store.counting import round_trips
from tests.store.factories import Store


def echo(*texts: str) -> Operation[list[str]]:
    """One round trip per text."""
    found = []
    for text in texts:
        reply: bytes = yield Command(("ECHO", text))
        found.append(reply.decode())
    return found


def echo_at_once(*texts: str) -> Operation[list[str]]:
    replies: list[bytes] = yield Pipeline([Command(("ECHO", text)) for text in texts])
    return [reply.decode() for reply in replies]


def nothing() -> Operation[list[str]]:
    yield from ()
    return []


def test_each_operation_gets_its_own_replies(store: Store) -> None:
    operation = together(echo("a"), echo_at_once("b", "c"), nothing(), echo("d", "e", "f"))

    assert store.run(operation) == [["a"], ["b", "c"], [], ["d", "e", "f"]]


def test_a_series_goes_with_the_others_in_one_round_trip(store: Store) -> None:
    def echo_in_a_row(*texts: str) -> Operation[list[bytes]]:
        replies: list[bytes] = yield Series(Command(("ECHO", text)) for text in texts)
        return replies

    results, trips = round_trips(store, together(echo_in_a_row("a", "b"), echo("c")))

    assert results == [[b"a", b"b"], ["c"]]
    assert trips == 1


def test_the_longest_one_says_how_many_round_trips_there_are(store: Store) -> None:
    results, trips = round_trips(store, together(echo("a"), together(echo("b", "c"), echo("d"))))

    assert results == [["a"], [["b", "c"], ["d"]]]
    assert trips == 2


def test_an_error_ends_all_of_them(store: Store) -> None:
    def fails() -> Operation[None]:
        yield Command(("ECHO",))

    with pytest.raises(Exception, match="wrong number of arguments"):
        store.run(together(echo("a"), fails()))
    assert "echo" in calls_of(store)
