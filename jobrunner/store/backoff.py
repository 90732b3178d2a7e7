"""How long to wait before the next try of something that failed."""

from collections.abc import Callable
from random import random

FIRST_S = 0.05
LONGEST_S = 2.0  # a store that is back is noticed within two seconds


class Backoff:
    """Full jitter: a random delay between 0 and a bound that doubles up to `longest` seconds.

    The randomness spreads the processes that lost the same server at the same instant.
    Source: M. Brooker, "Exponential Backoff And Jitter".
    """

    def __init__(
        self,
        first: float = FIRST_S,
        longest: float = LONGEST_S,
        random: Callable[[], float] = random,
    ) -> None:
        self._first = first
        self._longest = longest
        self._random = random
        self._bound = first

    def next_delay(self) -> float:
        """Seconds to wait now."""
        delay = self._bound * self._random()
        self._bound = min(2 * self._bound, self._longest)
        return delay

    def reset(self) -> None:
        """To be called after a success."""
        self._bound = self._first
