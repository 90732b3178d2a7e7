"""What passes the proxy, by name, and the traps that wait for it.

A point is what a request is called: the name of our script that it runs ("finish"), or the
command itself ("XADD", also "EVALSHA" for a script that is not ours).
"""

import os
import threading
from collections import Counter, defaultdict
from collections.abc import Callable
from enum import StrEnum
from hashlib import sha1

from jobrunner.store.failures import ReplyError
from jobrunner.store.scripts import lua_script, script_names

Who = Callable[[int], bool]  # whether this pid is meant
Kill = Callable[[int], None]
SCRIPT_CALLS = (b"EVALSHA", b"EVAL")


class When(StrEnum):
    """On which side of the store's work a trap springs."""

    BEFORE = "before"  # the request never reaches the store
    AFTER = "after"  # its reply has reached the proxy, and never reaches the client


class Trap:
    """Springs once, at the nth request of a point; may be waited for in any thread.

    It ends the connection; with `kill` it kills the client first, and then only clients whose
    pid is known and `who` names, and never the process that has the proxy.
    """

    def __init__(
        self, point: str | None, when: When, nth: int, who: Who | None, kill: Kill | None
    ) -> None:
        self.point = point
        self.when = when
        self.pid: int | None = None  # of the client that was killed
        self._left = nth  # requests until it springs; 0 while the fate of that one is open
        self._who = who
        self._kill = kill
        self._has_sprung = threading.Event()

    def wait(self, timeout: float) -> bool:
        """Whether it has sprung, at the latest after `timeout` seconds."""
        return self._has_sprung.wait(timeout)

    @property
    def has_sprung(self) -> bool:
        return self._has_sprung.is_set()

    def counts(self, point: str, pid: int | None) -> bool:
        """Count a request; true when it is the nth."""
        if not self._left or self.point not in (None, point) or not self._means(pid):
            return False
        self._left -= 1
        return not self._left

    def spring(self, pid: int | None) -> bool:
        """Kill the client; false when it was dead already, then the trap waits for another."""
        if self._kill is not None and pid is not None:
            try:
                self._kill(pid)
            except ProcessLookupError:
                self.wait_for_another()
                return False
            self.pid = pid
        self._has_sprung.set()
        return True

    def wait_for_another(self) -> None:
        """The request it was to spring at came to nothing: the next one will do."""
        self._left = 1

    def reply_lost(self) -> None:
        """The connection ended while the reply was awaited."""
        if self._kill is None:
            self._has_sprung.set()
        else:
            self.wait_for_another()

    def _means(self, pid: int | None) -> bool:
        if self._kill is None:
            return True
        # The process with the proxy has clients too, and must outlive its faults.
        return pid is not None and pid != os.getpid() and (self._who is None or self._who(pid))


class Wiretap:
    """The names of what passed, by client, and the traps that are set. Not for many threads."""

    def __init__(self) -> None:
        self._names = {lua_script(name).sha.encode(): name for name in script_names()}
        self._passed: defaultdict[int | None, Counter[str]] = defaultdict(Counter)
        self._traps: list[Trap] = []

    def set(self, trap: Trap) -> None:
        """Raises ValueError for a point that no request can have."""
        if trap.point is not None and not self._is_point(trap.point):
            raise ValueError(
                f"{trap.point!r} is neither a script of ours nor an upper-case command"
            )
        self._traps.append(trap)

    def withdraw(self, trap: Trap) -> None:
        """The trap springs no more, unless its request is on its way already."""
        if trap in self._traps:
            self._traps.remove(trap)

    def points(self, who: Who | None) -> Counter[str]:
        """How often each point has passed, of the clients that `who` names."""
        total: Counter[str] = Counter()
        for pid, passed in self._passed.items():
            if who is None or (pid is not None and who(pid)):
                total += passed
        return total

    def note(self, request: list[bytes], pid: int | None) -> Trap | None:
        """Count a request; the trap that springs at it."""
        point = self._name(request)
        self._passed[pid][point] += 1
        if not self._traps:
            return None
        # Each trap counts for itself: no short cut at the first that springs.
        sprung = [trap for trap in self._traps if trap.counts(point, pid)]
        self._traps = [trap for trap in self._traps if not trap.has_sprung]
        for late in sprung[1:]:
            late.wait_for_another()
        return sprung[0] if sprung else None

    def _name(self, request: list[bytes]) -> str:
        command = request[0].upper()
        if command in SCRIPT_CALLS and len(request) > 1:
            sha = request[1].lower() if command == b"EVALSHA" else _sha_of(request[1])
            if name := self._names.get(sha):
                return name
        return command.decode(errors="replace")

    def _is_point(self, point: str) -> bool:
        return point in self._names.values() or (point != "" and point == point.upper())


def is_unknown_script(reply: object) -> bool:
    """Whether the server has not run the script: its client loads it, and calls it again."""
    return isinstance(reply, ReplyError) and reply.code == "NOSCRIPT"


def _sha_of(text: bytes) -> bytes:
    return sha1(text, usedforsecurity=False).hexdigest().encode()
