"""When the server's append-only file is rewritten: in a quiet moment, if there is one.

For a rewrite the server forks. Until the copy is on the disk, each page of memory that a command
writes to is copied first: on a busy server, calls that usually take a millisecond took up to forty.
So the server's own rule is only for a file that has grown large without a quiet moment. The more it
has grown, the busier a moment may be: all of it is read at a start, while jobs wait.
"""

from jobrunner.clock import Clock
from jobrunner.embedded.server import EmbeddedServer
from jobrunner.log import EventLog
from jobrunner.store.checks import processor_s

MIB = 1 << 20
SMALLEST_GROWTH = 32 * MIB  # below it a start is not much quicker after a rewrite
LARGE_GROWTH = 256 * MIB  # is read in some five seconds, a third of a lease
QUIET, RATHER_QUIET = 0.1, 0.5  # of a processor, between two looks
FIRST_PAUSE_S = 60.0  # after a rewrite that failed; it doubles with each
LONGEST_PAUSE_S = 3600.0


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
        self._has_tried = False  # and does not know yet whether it failed
        self._pause_s = FIRST_PAUSE_S
        self._not_before = 0.0  # monotonic

    def look(self) -> bool:
        """Begin a rewrite if it is time for one; whether it has. Blocks while the server is busy.

        Raises StoreUnavailable when the server ends meanwhile.
        """
        info = self._server.info()
        if info is None or info.get("aof_enabled") != "1":
            return False
        share = self._share_since_last_look(info)
        if info["aof_rewrite_in_progress"] != "0" or not self._may_try(info):
            return False
        written = int(info["aof_base_size"])  # by the last rewrite
        growth = int(info["aof_current_size"]) - written
        busiest = QUIET if growth < LARGE_GROWTH else RATHER_QUIET
        if growth < max(self._smallest_growth, written) or share >= busiest:
            return False
        self._has_tried = True
        return self._server.rewrite()

    def _share_since_last_look(self, info: dict[str, str]) -> float:
        """Of a processor, which the server has used; the first look cannot tell, and says all."""
        used_s = processor_s(info)
        now, earlier_s = self._clock.monotonic(), self._used_s
        passed_s = now - self._looked_at
        self._looked_at, self._used_s = now, used_s
        return 1.0 if earlier_s is None or passed_s <= 0 else (used_s - earlier_s) / passed_s

    def _may_try(self, info: dict[str, str]) -> bool:
        """Not soon after a failure: on a full disk each try takes the room that jobs need."""
        if info["aof_last_bgrewrite_status"] == "ok":
            self._pause_s = FIRST_PAUSE_S
            return True
        now = self._clock.monotonic()
        if self._has_tried:
            EventLog().warning(
                "could not rewrite the append-only file",
                fix="make room on its disk; server.log in the state folder says why",
            )
            self._not_before = now + self._pause_s
            self._pause_s = min(2 * self._pause_s, LONGEST_PAUSE_S)
            self._has_tried = False
        return now >= self._not_before
