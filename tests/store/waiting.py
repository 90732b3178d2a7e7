"""Waiting for what the loops under test do, without holding them up."""

import asyncio
from collections.abc import Callable


async def until(check: Callable[[], object], within: float = 5) -> None:
    """Until the check is true; the loop goes on between two looks."""
    async with asyncio.timeout(within):
        while not check():
            await asyncio.sleep(0.002)
