"""Requests in a row, each made while the server works on the one before."""

from collections.abc import Iterator

from jobrunner.errors import StoreUnavailable
from jobrunner.store.address import StoreAddress
from jobrunner.store.connection import StoreConnection
from jobrunner.store.failures import ReplyError
from jobrunner.store.keys import Keys
from jobrunner.store.requests import Command, Script, Series
from tests.store.kinds import PING, Run, both_kinds
from tests.store.switch import Switch


def echo(number: int) -> Command:
    return Command(("ECHO", number))


@both_kinds
def test_a_series_gets_its_replies_in_order(run: Run, address: StoreAddress) -> None:
    [replies] = run(address, [Series(echo(number) for number in range(100))])

    assert replies == [str(number).encode() for number in range(100)]


@both_kinds
def test_an_empty_series_needs_no_server(run: Run) -> None:
    assert run(StoreAddress("test", socket="/nowhere"), [Series(iter(()))]) == [[]]


@both_kinds
def test_the_next_is_made_while_the_one_before_is_under_way(
    run: Run, address: StoreAddress, socket_path: str
) -> None:
    with Switch(socket_path, address) as switch:

        def requests() -> Iterator[Command]:
            switch.hang()
            yield echo(1)
            switch.up()
            yield echo(2)

        [replies] = run(switch.address, [Series(requests())])

    assert replies == [b"1", b"2"]


@both_kinds
def test_scripts_that_the_server_forgets_meanwhile_are_loaded_and_called_once(
    run: Run, address: StoreAddress, connection: StoreConnection, keys: Keys
) -> None:
    is_paused = Script("resume", [keys.cron("nightly")], [])

    def requests() -> Iterator[Command | Script]:
        yield is_paused
        yield echo(0)
        yield echo(1)  # when the next is made, the first has been answered
        connection.execute(Command(("HSET", keys.cron("nightly"), "paused", "1")))
        connection.execute(Command(("SCRIPT", "FLUSH")))
        yield is_paused
        yield Command(("INCR", keys.tokens()))
        yield is_paused
        yield Command(("INCR", keys.tokens()))

    [replies] = run(address, [Series(requests())])

    assert replies == [0, b"0", b"1", 1, 1, 0, 2]


@both_kinds
def test_after_an_error_nothing_more_is_made_and_the_connection_serves_on(
    run: Run, address: StoreAddress, keys: Keys
) -> None:
    made = []

    def requests() -> Iterator[Command]:
        for number in range(9):
            made.append(number)
            yield Command(("INCRBY", keys.tokens(), "not a number"))

    error, reply = run(address, [Series(requests()), PING])

    assert isinstance(error, ReplyError)
    assert made == [0, 1]
    assert reply == b"PONG"


@both_kinds
def test_a_series_ends_with_its_connection(
    run: Run, address: StoreAddress, socket_path: str
) -> None:
    with Switch(socket_path, address) as switch:

        def requests() -> Iterator[Command]:
            yield echo(1)
            switch.lose_reply()
            yield echo(2)
            yield echo(3)
            yield echo(4)

        [error] = run(switch.address, [Series(requests())])

    assert isinstance(error, StoreUnavailable)
