"""Waiting for what no store tells: the end of a process, a reload."""

import time
from collections.abc import Callable
from datetime import timedelta

from jobrunner.clock import Clock

POLL_S = 0.05


def eventually(clock: Clock, is_true: Callable[[], bool], within: timedelta | None) -> bool:
    """Whether it became true in time; None waits for ever."""
    give_up_at = None if within is None else clock.monotonic() + within.total_seconds()
    while not is_true():
        if give_up_at is not None and clock.monotonic() > give_up_at:
            return False
        time.sleep(POLL_S)
    return True
