"""When the server's append-only file is rewritten: in a quiet moment, if there is one.

For a rewrite the server forks. Until the copy is on the disk, each page of memory that a command
writes to is copied first: on a busy server, calls that usually take a millisecond took up to forty.
So the server's own rule is only for a file that has grown large without a quiet moment.
"""

from jobrunner.clock import Clock
from jobrunner.embedded.server import EmbeddedServer

MIB = 1 << 20
SMALLEST_GROWTH = 32 * MIB  # below it a start is not much quicker after a rewrite
QUIET = 0.1  # of a processor, between two looks


class Rewriter:
    """Has the file of one server rewritten when it has doubled, and the server has little to do."""

    def __init__(
        self, server: EmbeddedServer, clock: Clock, smallest_growth: int = SMALLEST_GROWTH
    ) -> None:
        """`smallest_growth`: bytes since the last rewrite, below which there is no other."""
        self._server = server
        self._clock = clock
        self._smallest_growth = smallest_growth
        self._looked_at = 0.0  # monotonic
        self._used_s: float | None = None  # the server's processor time then

    def look(self) -> bool:
        """Begin a rewrite if it is time for one; whether it has. Blocks while the server is busy.

        Raises StoreUnavailable when the server ends meanwhile.
        """
        info = self._server.info()
        if info is None:
            return False
        is_quiet = self._is_quiet(float(info["used_cpu_user"]) + float(info["used_cpu_sys"]))
        written = int(info["aof_base_size"])  # by the last rewrite
        growth = int(info["aof_current_size"]) - written
        is_due = growth >= max(self._smallest_growth, written)
        if not (is_quiet and is_due) or info["aof_rewrite_in_progress"] != "0":
            return False
        self._server.rewrite()
        return True

    def _is_quiet(self, used_s: float) -> bool:
        """Since the last look; the first one cannot tell."""
        now, earlier_s = self._clock.monotonic(), self._used_s
        passed_s = now - self._looked_at
        self._looked_at, self._used_s = now, used_s
        return earlier_s is not None and used_s - earlier_s < QUIET * passed_s
