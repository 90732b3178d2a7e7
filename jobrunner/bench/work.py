"""What the benchmark's jobs do: nothing, and they count that they did it.

The result of a job is the number of its call in its process. So the results on record tell whether
each call belongs to one job: a job that ran twice leaves a gap in the numbers. Nothing outside the
process takes part in it, for that would be measured as well.
"""

import asyncio
import os
from itertools import count

# The one state there has to be: it belongs to the process, as the calls do.
_CALLS = count()


def _called() -> str:
    """`<pid>-<number of the call in this process>`."""
    return f"{os.getpid()}-{next(_CALLS)}"


async def noop() -> str:
    """Does nothing, in the worker's loop."""
    return _called()


def hosted_noop() -> str:
    """Does nothing, in a function host."""
    return _called()


async def linger(seconds: float) -> str:
    """Takes so many seconds."""
    await asyncio.sleep(seconds)
    return _called()
