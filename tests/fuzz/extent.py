"""How much is tried: a repeatable sample by default, everything with `JOBRUNNER_FUZZ=full`."""

import os

from hypothesis import HealthCheck, settings

VARIABLE = "JOBRUNNER_FUZZ"
FULL = "full"


def is_full() -> bool:
    return os.environ.get(VARIABLE) == FULL


def tries(sample: int, full: int) -> settings:
    """So many examples: the same ones in each sample, new ones in each full run.

    No deadline per example: on a busy machine one says nothing. Tests bound the time themselves.
    """
    return settings(
        max_examples=full if is_full() else sample,
        derandomize=not is_full(),
        deadline=None,
        database=None,  # a found example belongs into a test, not into a folder
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
    )
