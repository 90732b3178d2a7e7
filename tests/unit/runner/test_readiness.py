"""Descriptors watched through one epoll."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator

import pytest

from jobrunner.runner.readiness import Readiness
from tests.unit.runner.conftest import eventually

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.skipif(sys.platform != "linux", reason="the loop itself watches elsewhere"),
]


@pytest.fixture
async def readiness() -> AsyncIterator[Readiness]:
    readiness = Readiness(asyncio.get_running_loop())
    yield readiness
    readiness.close()


async def test_who_has_something_to_read_is_called_until_it_was_read(readiness: Readiness) -> None:
    read_end, write_end = os.pipe()
    read: list[bytes] = []
    readiness.add_reader(read_end, lambda: read.append(os.read(read_end, 1)))

    os.write(write_end, b"ab")
    await eventually(lambda: len(read) == 2)

    assert read == [b"a", b"b"]
    readiness.remove_reader(read_end)
    os.close(read_end)
    os.close(write_end)


async def test_a_descriptor_that_got_the_number_of_a_forgotten_one_is_not_called_for_it(
    readiness: Readiness,
) -> None:
    first, second = os.pipe(), os.pipe()
    called: list[str] = []

    def replace(ours: tuple[int, int], other: tuple[int, int]) -> None:
        readiness.remove_reader(ours[0])
        readiness.remove_reader(other[0])
        readiness.add_reader(other[0], lambda: called.append("new"))
        os.read(other[0], 1)  # it is a new one: nothing was written to it
        called.append("old")

    readiness.add_reader(first[0], lambda: replace(first, second))
    readiness.add_reader(second[0], lambda: replace(second, first))
    os.write(first[1], b"x")
    os.write(second[1], b"x")
    await eventually(lambda: bool(called))

    assert called == ["old"]
    for end in (*first, *second):
        os.close(end)


async def test_what_is_forgotten_twice_is_forgotten(readiness: Readiness) -> None:
    read_end, write_end = os.pipe()
    readiness.add_reader(read_end, lambda: None)

    readiness.remove_reader(read_end)
    readiness.remove_reader(read_end)

    os.close(read_end)
    os.close(write_end)
