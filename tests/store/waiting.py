"""Loops under test: run in the background, and waited for without being held up."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any


async def until(check: Callable[[], object], within: float = 5) -> None:
    """Until the check is true; the loop goes on between two looks."""
    async with asyncio.timeout(within):
        while not check():
            await asyncio.sleep(0.002)


@asynccontextmanager
async def in_background(loop: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    """The loop runs during the block, and must not have ended by itself."""
    task = asyncio.create_task(loop)
    yield
    assert not task.done(), task
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
