"""How long a client bears with a store that is away."""

from jobrunner.clock import Clock
from jobrunner.errors import StoreUnavailable
from jobrunner.store.backoff import Backoff
from jobrunner.store.failures import TIMEOUTS, BrokenReply

PATIENCE_S = 30.0  # a server that is started again on its append-only file needs seconds


class Outage:
    """Decides after each loss whether to try again, and when."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._backoff = Backoff()
        self._was_reached = False
        self._lost_at: float | None = None

    def is_over(self) -> None:
        """To be called when the store was reached."""
        self._was_reached = True
        self._lost_at = None
        self._backoff.reset()

    def pause_after(self, error: StoreUnavailable) -> float:
        """Seconds to wait before the next try.

        Raises the error when the store was never reached, or has been away for too long.
        """
        now = self._clock.monotonic()
        if self._lost_at is None:
            self._lost_at = now
        is_known = self._was_reached or was_cut_off(error)
        if not is_known or now - self._lost_at > PATIENCE_S:
            raise error
        return self._backoff.next_delay()


def was_cut_off(error: StoreUnavailable) -> bool:
    """Whether the store had been reached and was lost in mid-flight, as when it is restarted."""
    cut_off = (BrokenReply, ConnectionResetError, BrokenPipeError, *TIMEOUTS)
    return isinstance(error.__cause__, cut_off)
