"""Tells when descriptors can be read, for many that are watched for a short time only.

The loop watches one descriptor, an epoll of our own, and that one all others: a descriptor costs
one system call to watch and one to forget, where libuv makes six. Elsewhere than on Linux the loop
watches each of them.
"""

import asyncio
import select
import sys
from collections.abc import Callable
from typing import Protocol


class Readers(Protocol):
    """What calls back when a descriptor can be read: an event loop, or `Readiness`."""

    def add_reader(self, fd: int, callback: Callable[[], None], /) -> object: ...

    def remove_reader(self, fd: int, /) -> object: ...


class Readiness:
    """Belongs to the loop."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._epoll = select.epoll()
        self._callbacks: dict[int, Callable[[], None]] = {}
        self._loop = loop
        self._loop.add_reader(self._epoll.fileno(), self._on_ready)

    def add_reader(self, fd: int, callback: Callable[[], None]) -> None:
        """Call back, in the loop, whenever there is something to read, or the end."""
        self._epoll.register(fd, select.EPOLLIN)
        self._callbacks[fd] = callback

    def remove_reader(self, fd: int) -> None:
        """Call back no more. Before `fd` is closed: a forked process may keep it open."""
        if self._callbacks.pop(fd, None) is not None:
            self._epoll.unregister(fd)

    def close(self) -> None:
        """Watch nothing any more."""
        self._loop.remove_reader(self._epoll.fileno())
        self._epoll.close()
        self._callbacks.clear()

    def _on_ready(self) -> None:
        ready = [(fd, self._callbacks[fd]) for fd, _ in self._epoll.poll(0)]
        for fd, callback in ready:
            # One called before it may have closed this one, and given its number to another.
            if self._callbacks.get(fd) is callback:
                callback()


def make_readers(loop: asyncio.AbstractEventLoop) -> "Readiness | asyncio.AbstractEventLoop":
    """The cheapest way of this system."""
    return Readiness(loop) if sys.platform == "linux" else loop
