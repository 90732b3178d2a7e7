"""Subscriptions against a real server."""

import pytest

from jobrunner.errors import StoreUnavailable
from jobrunner.store.address import StoreAddress
from jobrunner.store.connection import AsyncStoreConnection, StoreConnection
from jobrunner.store.keys import Keys
from jobrunner.store.requests import Command, Pipeline
from jobrunner.store.subscription import BlockingSubscription, Subscription

pytestmark = pytest.mark.anyio

KILL_SUBSCRIBERS = Command(("CLIENT", "KILL", "TYPE", "pubsub"))


def publish(channel: str, *messages: str) -> Pipeline:
    return Pipeline([Command(("PUBLISH", channel, message)) for message in messages])


def test_messages_arrive_in_order(
    address: StoreAddress, keys: Keys, connection: StoreConnection
) -> None:
    channel = keys.client_channel("a")
    subscription = BlockingSubscription(address, [channel])
    subscription.connect()

    connection.execute(publish(channel, "1", "2"))

    received = [subscription.next_message(5), subscription.next_message(5)]
    subscription.close()
    assert received == [b"1", b"2"]


def test_a_wait_for_a_message_ends_with_its_timeout(address: StoreAddress, keys: Keys) -> None:
    subscription = BlockingSubscription(address, [keys.client_channel("a")])
    subscription.connect()

    received = subscription.next_message(0.01)

    subscription.close()
    assert received is None


def test_a_lost_subscription_says_so(
    address: StoreAddress, keys: Keys, connection: StoreConnection
) -> None:
    subscription = BlockingSubscription(address, [keys.client_channel("a")])
    subscription.connect()

    connection.execute(KILL_SUBSCRIBERS)

    with pytest.raises(StoreUnavailable):
        subscription.next_message(5)


def test_a_lost_subscription_can_be_connected_again(
    address: StoreAddress, keys: Keys, connection: StoreConnection
) -> None:
    channel = keys.client_channel("a")
    subscription = BlockingSubscription(address, [channel])
    subscription.connect()
    connection.execute(KILL_SUBSCRIBERS)
    with pytest.raises(StoreUnavailable):
        subscription.next_message(5)

    subscription.connect()
    connection.execute(publish(channel, "1"))

    assert subscription.next_message(5) == b"1"
    subscription.close()


async def test_messages_arrive_in_order_in_a_loop(
    address: StoreAddress, keys: Keys, async_connection: AsyncStoreConnection
) -> None:
    channel = keys.client_channel("a")
    async with Subscription(address, [channel]) as messages:
        await async_connection.execute(publish(channel, "1", "2"))

        received = [await messages.next_message(), await messages.next_message()]

    assert received == [b"1", b"2"]


async def test_a_lost_subscription_says_so_in_a_loop_each_time(
    address: StoreAddress, keys: Keys, async_connection: AsyncStoreConnection
) -> None:
    async with Subscription(address, [keys.client_channel("a")]) as messages:
        await async_connection.execute(KILL_SUBSCRIBERS)

        for _ in range(2):
            with pytest.raises(StoreUnavailable):
                await messages.next_message()


async def test_subscribing_without_a_server_fails_at_once(keys: Keys) -> None:
    nowhere = StoreAddress(keys.name, socket="/nonexistent/socket")

    with pytest.raises(StoreUnavailable):
        async with Subscription(nowhere, [keys.client_channel("a")]):
            pass
